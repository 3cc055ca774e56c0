import { dtypeByCode } from '../../../base/dtype.ts';
import type { Conflict } from '../../../base/errors.ts';
import { mapBounded } from '../../../base/map-bounded.ts';
import { optionWith, worded } from '../../../base/option-words.ts';
import { ByteReader } from '../../../base/store/byte-reader.ts';
import type { TensorPlace } from '../../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { OPEN_AT_ONCE } from '../inputs/inputs.ts';
import { type Buffer32, type BufferRun, firstOther, sameRun, type WeightPart, weightParts } from './parts.ts';

/**
 * What the trainer writes instead of buffers, each of many weights and cut by ranks: Megatron-core weight by weight,
 * DeepSpeed its universal form, which it can save for any number of ranks.
 */
export function otherForm({ fragments }: Pick<Checkpoint, 'fragments'>): string {
  if (fragments === undefined)
    return `Have Megatron write it weight by weight, with \`--dist-ckpt-optim-fully-reshardable\`, or use ${optionWith('optimizer', 'drop')}.`;
  const make = 'python -m deepspeed.checkpoint.ds_to_universal --input_folder STEP --output_folder STEP_universal';
  return `Have DeepSpeed cut all members alike: \`${make}\` makes a form for any ranks, which the newest's training loads ("checkpoint": {"load_universal": true}) and saves; or merge the model alone, with ${optionWith('format', 'safetensors')}.`;
}

interface Member {
  readonly checkpoint: Checkpoint;
  readonly buffers: readonly Buffer32[];
  readonly reader: ByteReader;
}

/** The same weights and buffers in other members. To be closed. */
export class Proof {
  readonly #layout: Checkpoint;
  readonly #buffers: readonly TensorPlace[];
  readonly #members: readonly Member[];
  readonly #parts = new Map<string, readonly WeightPart[]>();

  private constructor(layout: Checkpoint, buffers: readonly TensorPlace[], members: readonly Member[]) {
    this.#layout = layout;
    this.#buffers = buffers;
    this.#members = members;
  }

  /** The proof, or why there is none: a member lacks a buffer of the layout, or has another of its name. */
  static of(layout: Checkpoint, others: readonly Checkpoint[], buffers: readonly TensorPlace[]): Proof | { conflict: Conflict } {
    const members: Member[] = [];
    for (const checkpoint of others) {
      const own: Buffer32[] = [];
      for (const { shard, row } of buffers) {
        const ours = layout.shards[shard]!.tensors;
        const tensor = ours.names[row]!;
        const place = checkpoint.locate(tensor);
        const where = { file: checkpoint.path, tensor };
        if (place === undefined) {
          const help = worded`Leave that member out, or merge the model alone, with --weights-from model.`;
          return { conflict: { code: 'E_TENSOR_MISSING', message: `tensor ${tensor} is missing from ${checkpoint.path}`, ...where, help } };
        }
        const theirs = checkpoint.shards[place.shard]!.tensors;
        const [a, b] = [ours.shapes[row]!, theirs.shapes[place.row]!];
        if (a.join() !== b.join() || theirs.dtypes[place.row] !== ours.dtypes[row]) {
          const other = a.join() !== b.join();
          const of = (table: typeof ours, at: number): string =>
            other ? `[${table.shapes[at]!.join(', ')}]` : dtypeByCode(table.dtypes[at]!).name;
          const message = `tensor ${tensor} is ${of(ours, row)} in the layout and ${of(theirs, place.row)} in ${checkpoint.path}`;
          return { conflict: { code: other ? 'E_SHAPE' : 'E_MIXED_DTYPES', message, ...where, help: otherForm(layout) } };
        }
        own.push({ checkpoint, place });
      }
      members.push({ checkpoint, buffers: own, reader: new ByteReader() });
    }
    return new Proof(layout, buffers, members);
  }

  /** Where a part is not the rounded run of a buffer; null where it is in all members. */
  async firstOther(
    part: WeightPart,
    { buffer, from }: BufferRun,
    signal?: AbortSignal,
  ): Promise<{ member: Checkpoint; element: number } | null> {
    const found = await mapBounded([...this.#members.entries()], OPEN_AT_ONCE, async ([m, { buffers, reader }]) => {
      const own = this.#partIn(m, part);
      return own === undefined ? null : firstOther(reader, own, buffers[buffer]!, from, signal);
    });
    const m = found.findIndex((element) => element === null || element >= 0);
    return m < 0 ? null : { member: this.#members[m]!.checkpoint, element: found[m] ?? -1 };
  }

  async close(): Promise<void> {
    await Promise.all(this.#members.map(({ reader }) => reader.close()));
  }

  /** Whether two runs are the same bytes in the layout and in all members. */
  async sameMasters(a: BufferRun, b: BufferRun, elements: number, reader: ByteReader, signal?: AbortSignal): Promise<boolean> {
    const layout = this.#buffers.map((place): Buffer32 => ({ checkpoint: this.#layout, place }));
    for (const buffers of [layout, ...this.#members.map((member) => member.buffers)]) {
      const [left, right] = [a, b].map(({ buffer, from }) => ({ ...buffers[buffer]!, from }));
      if (!(await sameRun(reader, left!, right!, elements, signal))) return false;
    }
    return true;
  }

  /** The same part of the same weight in a member. */
  #partIn(m: number, { weight, start, size }: WeightPart): WeightPart | undefined {
    const name = this.#layout.shards[weight.shard]!.tensors.names[weight.row]!;
    const key = `${m} ${name}`;
    let parts = this.#parts.get(key);
    if (parts === undefined) {
      const { checkpoint } = this.#members[m]!;
      const place = checkpoint.locate(name);
      const isFloat = place !== undefined && dtypeByCode(checkpoint.shards[place.shard]!.tensors.dtypes[place.row]!).kind === 'float';
      parts = isFloat ? (weightParts(checkpoint, place) ?? []) : [];
      this.#parts.set(key, parts);
    }
    return parts.find((other) => other.start.join() === start.join() && other.size.join() === size.join());
  }
}
