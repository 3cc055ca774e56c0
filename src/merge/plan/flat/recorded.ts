import { dtypeByCode, dtypeByName } from '../../../base/dtype.ts';
import { mapBounded } from '../../../base/map-bounded.ts';
import { optionWith, worded } from '../../../base/option-words.ts';
import { ByteReader } from '../../../base/store/byte-reader.ts';
import type { MasterFragment } from '../../../checkpoints/containers/types.ts';
import { boxesOfRun } from '../../../checkpoints/tensors/box-runs.ts';
import { sectionOf } from '../../../checkpoints/tensors/section.ts';
import { elementsOf } from '../../../checkpoints/tensors/table.ts';
import type { TensorPlace } from '../../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { stateTensor } from '../../../model/roles/optimizer-state.ts';
import { OPEN_AT_ONCE } from '../inputs/inputs.ts';
import type { Gap } from './gaps.ts';
import type { FlatMasters, FlatResult } from './masters.ts';
import { type Buffer32, type BufferRun, firstOther, readRun, type WeightPart, weightParts } from './parts.ts';
import { otherForm } from './proof.ts';

/** Bytes that are looked at at a time for a number that is not zero. */
const BLOCK = 1 << 20;

type Recorded = Checkpoint & { readonly fragments: readonly MasterFragment[] };

/** A recorded part of a weight's master: a run of the weight's elements in row-major order, and one of a buffer. */
interface PlacedFragment extends BufferRun {
  readonly weight: string;
  readonly whole: WeightPart;
  /** First element of it in its weight. */
  readonly first: number;
  readonly elements: number;
}

/** What does not hold. */
class Unproven extends Error {
  readonly file: string;
  readonly tensor: string;
  readonly kind: Fault;

  constructor(file: string, tensor: string, message: string, kind: Fault) {
    super(message);
    this.file = file;
    this.tensor = tensor;
    this.kind = kind;
  }
}

/**
 * Whether members are cut in other places, nothing is recorded, what is recorded cannot be of these files, or the values in
 * the places that are recorded are others.
 */
type Fault = 'unlike' | 'unrecorded' | 'damaged' | 'values';

/** What to do, by what does not hold. */
function helpFor(kind: Fault, layout: Recorded): string {
  const alone = `merge the model alone, with ${optionWith('format', 'safetensors')}`;
  if (kind === 'unlike') return otherForm(layout);
  if (kind === 'unrecorded') return `Older DeepSpeed records none: ${alone}.`;
  if (kind === 'damaged')
    return `A rank's file is damaged, or of another rank or step: copy the step again from where the training ran; or ${alone}.`;
  return NOT_SO();
}

/** Of a record that is not so, DeepSpeed's own tools would make wrong weights as well. */
const NOT_SO = (): string =>
  `DeepSpeed records other places than it uses where \`round_robin_gradients\` is on: train on without it, and merge what is saved then. Else files of ranks may have been exchanged: copy the step again. Or merge the model alone, with ${optionWith('format', 'safetensors')}.`;

/**
 * Proves what a checkpoint records of its buffers: that each part of a weight is the recorded run of a buffer,
 * rounded, in every element and every member, and that what is of no weight is zero, as padding is.
 * @param others members, which have to be cut like the layout
 * @param buffers of float32 masters, in the layout
 * @param thorough compare values; else only what is recorded
 * @param moments whether the optimizer's state is written, too
 * @throws MergeError what reading throws; `signal.reason` on an abort
 */
export async function proveRecorded(
  layout: Recorded,
  others: readonly Checkpoint[],
  buffers: readonly TensorPlace[],
  { thorough, moments, signal }: { readonly thorough: boolean; readonly moments: boolean; readonly signal?: AbortSignal | undefined },
): Promise<FlatResult> {
  try {
    const without = others.find(({ fragments }) => fragments === undefined);
    if (without !== undefined) {
      const message = `${without.path} has no float32 masters of its weights, which the newest member has`;
      const help = worded`Leave it out, or merge the model alone, with --format safetensors.`;
      return { conflict: { code: 'E_NO_OPTIMIZER', message, file: without.path, help } };
    }
    for (const other of others) sameCut(layout, other as Recorded, buffers);
    const placed = placeFragments(layout, layout, buffers);
    const padding = gapsBetween(layout, buffers, placed);
    if (moments) sameMoments(layout, buffers);
    const members = [layout, ...others];
    if (thorough) {
      await mapBounded(members, OPEN_AT_ONCE, (member) => compareValues(member as Recorded, layout, buffers, padding, signal));
    }
    return { masters: { runs: runsOf(layout, placed), buffers, padding: [] } satisfies FlatMasters };
  } catch (error) {
    if (!(error instanceof Unproven)) throw error;
    const { message, file, tensor, kind } = error;
    return { conflict: { code: 'E_LAYOUT_FORM', message, file, tensor, help: helpFor(kind, layout) } };
  }
}

const nameOf = ({ shards }: Pick<Checkpoint, 'shards'>, { shard, row }: TensorPlace): string => shards[shard]!.tensors.names[row]!;

/** @throws Unproven where a member was cut otherwise */
function sameCut(layout: Recorded, other: Recorded, buffers: readonly TensorPlace[]): void {
  const ranksOf = ({ fragments }: Recorded): number => new Set(fragments.map(({ buffer }) => buffer.split('.')[1])).size;
  const [own, theirs] = [ranksOf(layout), ranksOf(other)];
  const [first] = buffers;
  if (own !== theirs) {
    const message = `${other.path} was saved by ${theirs} data-parallel ranks and ${layout.path} by ${own}, so that their optimizers' state is cut in other places`;
    throw new Unproven(other.path, first === undefined ? '' : nameOf(layout, first), message, 'unlike');
  }
  for (const buffer of buffers) {
    const name = nameOf(layout, buffer);
    const place = other.locate(name);
    const sizeOf = ({ shards }: Checkpoint, { shard, row }: TensorPlace): string => {
      const { tensors } = shards[shard]!;
      return `${dtypeByCode(tensors.dtypes[row]!).name} [${tensors.shapes[row]!.join(', ')}]`;
    };
    const [ours, its] = [sizeOf(layout, buffer), place === undefined ? 'not there' : sizeOf(other, place)];
    if (ours !== its) throw new Unproven(other.path, name, `${name} is ${ours} in ${layout.path}, and ${its} in ${other.path}`, 'unlike');
  }
  const textOf = ({ buffer, weight, start, elements }: MasterFragment): string =>
    `${weight} in elements ${start} to ${start + elements} of ${buffer}`;
  for (let i = 0; i < Math.max(layout.fragments.length, other.fragments.length); i++) {
    const [a, b] = [layout.fragments[i], other.fragments[i]];
    if (a !== undefined && b !== undefined && textOf(a) === textOf(b)) continue;
    const said = (one: MasterFragment | undefined): string => (one === undefined ? 'nothing more' : textOf(one));
    const message = `${other.path} records ${said(b)}, and ${layout.path} ${said(a)}: their partitions are not alike`;
    throw new Unproven(other.path, (a ?? b)!.weight, message, 'unlike');
  }
}

/** Finds what is recorded, in the weights and buffers of a member. @throws Unproven where that cannot be */
function placeFragments(member: Recorded, layout: Recorded, buffers: readonly TensorPlace[]): PlacedFragment[] {
  const numbers = new Map(buffers.map((place, i) => [nameOf(layout, place), i]));
  const reached = new Map<string, number>();
  const wholes = new Map<string, WeightPart>();
  const fault = (weight: string, text: string): never => {
    throw new Unproven(member.path, weight, `${member.path}: ${text}`, 'damaged');
  };
  if (member.fragments.length === 0) {
    const message = `${member.path}: its optimizer does not record which part of a buffer is of which weight (param_slice_mappings)`;
    throw new Unproven(member.path, '', message, 'unrecorded');
  }
  const placed = member.fragments.flatMap(({ buffer, weight, start, elements }): PlacedFragment[] => {
    if (elements === 0) return [];
    const place = member.locate(weight);
    const whole = wholes.get(weight) ?? (place === undefined ? undefined : weightAt(member, place));
    if (whole === undefined)
      return fault(weight, `${buffer} is said to hold a part of ${weight}, which is no weight of the model in one piece`);
    wholes.set(weight, whole);
    const number = numbers.get(buffer);
    const own = number === undefined ? undefined : member.locate(buffer);
    const size = own === undefined ? -1 : elementsOf(member.shards[own.shard]!.tensors, own.row);
    const first = reached.get(weight) ?? 0;
    reached.set(weight, first + elements);
    if (number === undefined || start + elements > size)
      return fault(
        weight,
        `${weight} is said to lie in elements ${start} to ${start + elements} of ${buffer}, which ${size < 0 ? 'is no float32 buffer' : `has ${size}`}`,
      );
    return [{ weight, whole, first, elements, buffer: number, from: start }];
  });
  for (const [weight, count] of reached) {
    const { elements } = wholes.get(weight)!;
    if (count !== elements)
      fault(weight, `the recorded parts of the master of ${weight} have ${count} elements, and ${weight} has ${elements}`);
  }
  return placed;
}

/** A float weight that lies in one piece. */
function weightAt(member: Checkpoint, place: TensorPlace): WeightPart | undefined {
  const { tensors } = member.shards[place.shard]!;
  if (sectionOf(tensors, place.row) !== 'model' || dtypeByCode(tensors.dtypes[place.row]!).kind !== 'float') return undefined;
  const parts = weightParts(member, place);
  return parts?.length === 1 ? parts[0] : undefined;
}

/** Elements of the buffers that are of no weight. @throws Unproven where two weights have one element */
function gapsBetween(layout: Recorded, buffers: readonly TensorPlace[], placed: readonly PlacedFragment[]): Gap[] {
  const gaps: Gap[] = [];
  for (const [buffer, { shard, row }] of buffers.entries()) {
    const size = elementsOf(layout.shards[shard]!.tensors, row);
    let end = 0;
    const own = placed.filter((one) => one.buffer === buffer).sort((a, b) => a.from - b.from);
    for (const { weight, from, elements } of own) {
      if (from < end) {
        const message = `${layout.path}: ${weight} is said to begin at element ${from} of ${nameOf(layout, buffers[buffer]!)}, where another weight still lies`;
        throw new Unproven(layout.path, weight, message, 'damaged');
      }
      if (from > end) gaps.push({ buffer, from: end, to: from });
      end = from + elements;
    }
    if (size > end) gaps.push({ buffer, from: end, to: size });
  }
  return gaps;
}

/** Each rank has the moments that others have, at least as long as its masters. @throws Unproven with the file of the one that has not */
function sameMoments(layout: Recorded, buffers: readonly TensorPlace[]): void {
  const found = new Map<string, { readonly of: string; readonly elements: number; readonly name: string }>();
  const wanted = new Set<string>();
  for (const { tensors } of layout.shards) {
    for (const [row, name] of tensors.names.entries()) {
      const [, rank, group, part = ''] = MOMENT.exec(name) ?? [];
      if (rank === undefined || !stateTensor(name).kind.endsWith('moment')) continue;
      wanted.add(`${group} ${part}`);
      found.set(`${rank} ${group} ${part}`, { of: part, elements: elementsOf(tensors, row), name });
    }
  }
  for (const { shard, row } of buffers) {
    const { tensors, path } = layout.shards[shard]!;
    const master = tensors.names[row]!;
    const [, rank, group] = MASTER.exec(master) ?? [];
    const elements = elementsOf(tensors, row);
    for (const want of rank === undefined || elements === 0 ? [] : wanted) {
      const [of, part] = want.split(' ') as [string, string];
      if (of !== group) continue;
      const moment = found.get(`${rank} ${want}`);
      // Masters are saved without what pads them, moments with it.
      if (moment !== undefined && (moment.elements >= elements || FACTORED.test(part))) continue;
      const what =
        moment === undefined
          ? `has no ${part} of group ${group}, which files of other ranks have`
          : `has ${moment.elements} elements in ${part} of group ${group}, and ${elements} in its masters`;
      throw new Unproven(path, moment?.name ?? master, `${path}: ${what}`, 'damaged');
    }
  }
}

const MASTER = /^optimizer\.zero_pp_rank_(\d+)\.single_partition_of_fp32_groups\.(\d+)$/;
const MOMENT = /^optimizer\.zero_pp_rank_(\d+)\.base_optimizer_state(?:\.state)?\.(\d+)\.(.+)$/;
/** Moments of rows and columns, as of Adafactor, have other lengths. */
const FACTORED = /row|col/;

/** Compares all that is recorded of a member. @throws Unproven at the first element that is another */
async function compareValues(
  member: Recorded,
  layout: Recorded,
  buffers: readonly TensorPlace[],
  padding: readonly Gap[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const reader = new ByteReader();
  const own = buffers.map((buffer): Buffer32 => ({ checkpoint: member, place: member.locate(nameOf(layout, buffer))! }));
  try {
    for (const { weight, whole, first, elements, buffer, from } of placeFragments(member, layout, buffers)) {
      const part = { ...whole, elements, offset: whole.offset + (first * dtypeByName(whole.dtype)!.bits) / 8 };
      const element = await firstOther(reader, part, own[buffer]!, from, signal);
      if (element < 0) continue;
      const message = `${member.path}: ${weight} is not what ${nameOf(layout, buffers[buffer]!)} holds of it from element ${from} on, rounded (first at element ${first + element} of the weight): its weights were not made from its masters, or what it records of them is not so`;
      throw new Unproven(member.path, weight, message, 'values');
    }
    for (const { buffer, from, to } of padding) {
      for (let at = from; at < to; at += BLOCK) {
        signal?.throwIfAborted();
        const bytes = await readRun(reader, own[buffer]!, at, Math.min(BLOCK, to - at));
        const other = bytes.findIndex((byte) => byte !== 0);
        if (other < 0) continue;
        const name = nameOf(layout, buffers[buffer]!);
        const message = `${member.path}: element ${at + Math.floor(other / 4)} of ${name} is of no weight that is recorded, and is not zero as padding is`;
        throw new Unproven(member.path, name, message, 'values');
      }
    }
  } finally {
    await reader.close();
  }
}

/** The masters of the weights, and of those that are the same bytes under another name. */
function runsOf(layout: Recorded, placed: readonly PlacedFragment[]): FlatMasters['runs'] {
  const same = new Map<string, WeightPart[]>();
  const keyOf = ({ path, offset, dtype, size }: WeightPart): string => `${path} ${offset} ${dtype} ${size.join()}`;
  for (const [shard, { tensors }] of layout.shards.entries()) {
    for (let row = 0; row < tensors.count; row++) {
      const part = weightAt(layout, { shard, row });
      if (part !== undefined) same.set(keyOf(part), [...(same.get(keyOf(part)) ?? []), part]);
    }
  }
  return placed.flatMap(({ whole, first, elements, buffer, from }) => {
    const bytes = dtypeByName(whole.dtype)!.bits / 8;
    return same.get(keyOf(whole))!.flatMap((weight) =>
      boxesOfRun(weight.size, first, elements).map(({ start, size, at }) => {
        const count = size.reduce((product, length) => product * length, 1);
        const part = { ...weight, start, size, elements: count, offset: weight.offset + at * bytes };
        return { part, buffer, from: from + at - first };
      }),
    );
  });
}
