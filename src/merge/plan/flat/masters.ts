import { dtypeByCode, dtypeByName } from '../../../base/dtype.ts';
import type { Conflict } from '../../../base/errors.ts';
import { ByteReader } from '../../../base/store/byte-reader.ts';
import { sectionOf } from '../../../checkpoints/tensors/section.ts';
import { elementsOf } from '../../../checkpoints/tensors/table.ts';
import type { TensorPlace } from '../../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { stateTensor } from '../../../model/roles/optimizer-state.ts';
import { ALIGNMENT, type Gap, gapsOf, withoutCoincidence } from './gaps.ts';
import { type Buffer32, type BufferRun, type WeightPart, weightParts } from './parts.ts';
import { otherForm, Proof } from './proof.ts';
import { proveRecorded } from './recorded.ts';
import { type FoundPart, findParts } from './search.ts';

/** Where in buffers of many weights the float32 master of each part of a weight lies. */
export interface FlatMasters {
  /** By weight of the layout, in the order in which its parts lie there. */
  readonly runs: readonly (BufferRun & { readonly part: WeightPart })[];
  readonly buffers: readonly TensorPlace[];
  /** What lies between weights, which nobody wrote: it may be anything. */
  readonly padding: readonly Gap[];
}

/** What was proven of masters in buffers of many weights, or why it was not. */
export type FlatResult = { readonly masters: FlatMasters } | { readonly conflict: Conflict };

/** Places of buffers of many weights that hold float32 masters. */
export function masterBuffers({ shards }: Pick<Checkpoint, 'shards'>): TensorPlace[] {
  return shards.flatMap(({ tensors }, shard) =>
    tensors.names.flatMap((name, row): TensorPlace[] => {
      if (sectionOf(tensors, row) !== 'optimizer' || tensors.dtypes[row] !== dtypeByName('F32')!.code) return [];
      const { flat, kind } = stateTensor(name);
      return flat && kind === 'master' && tensors.bytes[row]! > 0 ? [{ shard, row }] : [];
    }),
  );
}

/**
 * Proves which part of which weight each part of the buffers is. A checkpoint may say it, as DeepSpeed's do, and
 * then it is compared. Where it does not, the trainer
 * made each weight of its master by rounding, so that a run of a buffer is a part of a weight where it is that,
 * rounded, in every element and in every member; and it is proven for all where each element of the buffers is
 * of such a run or pads one.
 * @param layout in which parts are looked for
 * @param others members in which what was found has to hold
 * @param moments whether the optimizer's state is written, too
 * @param thorough compare all of them in full; else only where the layout alone does not decide
 * @throws MergeError what reading throws; `signal.reason` on an abort
 */
export async function proveMasters(
  layout: Checkpoint,
  others: readonly Checkpoint[],
  { thorough, moments, signal }: { readonly thorough: boolean; readonly moments: boolean; readonly signal?: AbortSignal | undefined },
): Promise<FlatResult> {
  const buffers = masterBuffers(layout);
  if (layout.fragments !== undefined)
    return proveRecorded({ ...layout, fragments: layout.fragments }, others, buffers, { thorough, moments, signal });
  const nameOf = ({ shard, row }: TensorPlace): string => layout.shards[shard]!.tensors.names[row]!;
  const refused = (message: string, file: string, tensor: string): FlatResult => ({
    conflict: { code: 'E_LAYOUT_FORM', message, file, tensor, help: otherForm(layout) },
  });
  const floats = layout.shards.flatMap(({ tensors }, shard) =>
    Array.from({ length: tensors.count }, (_, row) => ({ shard, row })).filter(
      ({ row }) => sectionOf(tensors, row) === 'model' && dtypeByCode(tensors.dtypes[row]!).kind === 'float',
    ),
  );
  const parts = floats.flatMap((weight) => weightParts(layout, weight) ?? []);
  const reader = new ByteReader();
  let proof: Proof | undefined;
  try {
    const inLayout = buffers.map((place): Buffer32 => ({ checkpoint: layout, place }));
    const found = await findParts(parts, inLayout, reader, signal);
    const unknown = (gap: Gap, member: string): FlatResult => {
      const name = nameOf(buffers[gap.buffer]!);
      const aligned = Math.ceil(gap.from / ALIGNMENT) * ALIGNMENT;
      const message = `${member}: elements ${aligned < gap.to ? aligned : gap.from} to ${gap.to} of ${name} are the values of no weight, rounded to its dtype, so that it is not proven which part of that buffer is of which weight`;
      return refused(message, layout.path, name);
    };
    const missed = gapsOf(found, inLayout).find(({ padding }) => !padding);
    if (missed !== undefined) return unknown(missed, layout.path);
    const made = Proof.of(layout, others, buffers);
    if ('conflict' in made) return made;
    proof = made;
    const held: FoundPart[] = [];
    for (const { part, runs } of found) {
      // What one run alone can be is not compared again by who has it from another process.
      const trusted = !thorough && runs.length === 1;
      const own: BufferRun[] = [];
      let last: { member: Checkpoint; element: number } | null = null;
      for (const run of runs) {
        last = trusted ? null : await proof.firstOther(part, run, signal);
        if (last === null) own.push(run);
      }
      if (own.length === 0 && last !== null) {
        const [name, buffer] = [nameOf(part.weight), nameOf(buffers[runs[0]!.buffer]!)];
        const { member, element } = last;
        const message =
          element < 0
            ? `${member.path} holds ${name} in other parts than ${layout.path}, so that where its master lies in ${buffer} is not proven`
            : `${member.path}: ${name} is not what ${buffer} holds of it from element ${runs[0]!.from} on, rounded (first at element ${element} of that part), though it is in ${layout.path}: their buffers are not laid out alike, or its weights were not made from its masters`;
        return refused(message, member.path, name);
      }
      if (own.length > 0) held.push({ part, runs: own });
    }
    const kept = withoutCoincidence(held);
    const gaps = gapsOf(kept, inLayout);
    const gap = gaps.find(({ padding }) => !padding);
    if (gap !== undefined) return unknown(gap, `${layout.path} and the members before it`);
    const users = new Map<string, WeightPart[]>();
    const keyOf = ({ buffer, from }: BufferRun): string => `${buffer} ${from}`;
    for (const { part, runs } of kept) for (const run of runs) users.set(keyOf(run), [...(users.get(keyOf(run)) ?? []), part]);
    const chosen: (BufferRun & { part: WeightPart })[] = [];
    for (const { part, runs } of kept) {
      const [first, ...more] = runs;
      if (first === undefined) continue;
      const rivals = runs.flatMap((run) => users.get(keyOf(run))!).filter((other) => other !== part);
      // Where another weight has the same values, either would do if the masters are the same as well.
      for (const other of rivals.length === 0 ? [] : more) {
        if (await proof.sameMasters(first, other, part.elements, reader, signal)) continue;
        const names = `${nameOf(part.weight)} and ${nameOf(rivals[0]!.weight)}`;
        const message = `${layout.path}: ${names} have the same values in all members, and their masters in ${nameOf(buffers[first.buffer]!)} have not: nothing says which is of which`;
        return refused(message, layout.path, nameOf(part.weight));
      }
      chosen.push({ part, ...first });
    }
    const whole = new Map<string, number>();
    const weightOf = ({ weight }: WeightPart): string => `${weight.shard} ${weight.row}`;
    for (const { part } of chosen) whole.set(weightOf(part), (whole.get(weightOf(part)) ?? 0) + part.elements);
    const torn = floats.find((weight) => {
      const count = whole.get(`${weight.shard} ${weight.row}`);
      return count !== undefined && count !== elementsOf(layout.shards[weight.shard]!.tensors, weight.row);
    });
    if (torn !== undefined) {
      const message = `${layout.path}: only a part of ${nameOf(torn)} is among the values of ${nameOf(buffers[0]!)} and its like, rounded to its dtype`;
      return refused(message, layout.path, nameOf(torn));
    }
    return { masters: { runs: chosen, buffers, padding: gaps } };
  } finally {
    await Promise.all([reader.close(), proof?.close()]);
  }
}
