import { type AveragedDtypeName, dtypeByName } from '../../../base/dtype.ts';
import { decodeFloat, encodeFloat } from '../../../base/numbers/float.ts';
import type { ByteReader } from '../../../base/store/byte-reader.ts';
import { elementsOf } from '../../../checkpoints/tensors/table.ts';
import { type Buffer32, type BufferRun, firstOther, readRun, type WeightPart } from './parts.ts';

/** A part of a weight, and all runs of buffers that are its values when rounded. */
export interface FoundPart {
  readonly part: WeightPart;
  readonly runs: readonly BufferRun[];
}

/** Elements by which parts are looked for, before all of theirs are compared. */
const HEAD = 64;

/**
 * Finds the parts of weights in buffers of their float32 masters by their values: a checkpoint says where a
 * buffer's weights, and what pads them, begin, and not which they are. A part begins where something begins, or
 * where another part ends: gate and up of a SwiGLU are one parameter of their rank.
 * @param buffers of one checkpoint, that of the parts
 * @throws MergeError what reading throws; `signal.reason` on an abort
 */
export async function findParts(
  parts: readonly WeightPart[],
  buffers: readonly Buffer32[],
  reader: ByteReader,
  signal?: AbortSignal,
): Promise<FoundPart[]> {
  const groups = groupsOf(parts, await headsOf(parts, reader));
  const found = new Map<WeightPart, BufferRun[]>(parts.map((part) => [part, []]));
  const sizes = buffers.map(({ checkpoint, place }) => elementsOf(checkpoint.shards[place.shard]!.tensors, place.row));
  for (const [buffer, own] of buffers.entries()) {
    const size = sizes[buffer]!;
    const starts = startsOf(own);
    const known = new Set(starts);
    // What ends within a parameter is found on the way, and looked at in its turn.
    for (const from of starts) {
      signal?.throwIfAborted();
      const head = await readRun(reader, own, from, Math.min(HEAD, size - from));
      const matches: WeightPart[] = [];
      for (const part of groups.flatMap((group) => group.partsLike(head))) {
        if (from + part.elements > size) continue;
        if ((await firstOther(reader, part, own, from, signal)) < 0) matches.push(part);
      }
      // What is the beginning of a longer one, as of nothing but ones, is not what lies there.
      const longest = Math.max(0, ...matches.map(({ elements }) => elements));
      for (const part of matches.filter(({ elements }) => elements === longest)) found.get(part)!.push({ buffer, from });
      const end = from + longest;
      if (longest > 0 && end < size && !known.has(end)) {
        known.add(end);
        starts.push(end);
      }
    }
  }
  return parts.map((part) => ({ part, runs: found.get(part)! }));
}

/** Where something begins in a buffer that a rank saved by itself. */
function startsOf({ checkpoint, place }: Buffer32): number[] {
  const { boxes, shapes } = checkpoint.shards[place.shard]!.tensors;
  const rank = shapes[place.row]!.length;
  if (boxes === null || rank !== 1) return [0];
  const starts = new Set<number>();
  for (let box = boxes.first[place.row]!; box < boxes.first[place.row + 1]!; box++) {
    const at = boxes.boundsAt[place.row]! + (box - boxes.first[place.row]!) * 3;
    if (boxes.bounds[at + 1]! > 0) starts.add(boxes.bounds[at]!);
  }
  return [...starts].sort((a, b) => a - b);
}

/** The first elements of each part, in bytes. */
async function headsOf(parts: readonly WeightPart[], reader: ByteReader): Promise<Buffer[]> {
  const heads: Buffer[] = [];
  for (const { path, offset, elements, dtype } of parts) {
    heads.push(await reader.read(path, offset, (Math.min(HEAD, elements) * dtypeByName(dtype)!.bits) / 8));
  }
  return heads;
}

/** Parts of one dtype whose heads are as long as one another's. */
class Group {
  readonly #dtype: AveragedDtypeName;
  readonly #elements: number;
  readonly #parts = new Map<string, WeightPart[]>();

  constructor(dtype: AveragedDtypeName, elements: number) {
    this.#dtype = dtype;
    this.#elements = elements;
  }

  add(part: WeightPart, head: Buffer): void {
    const key = head.toString('latin1');
    const others = this.#parts.get(key);
    if (others === undefined) this.#parts.set(key, [part]);
    else others.push(part);
  }

  /** Those that begin with the numbers of a run of float32, rounded. */
  partsLike(head: Buffer): readonly WeightPart[] {
    if (head.length < this.#elements * 4) return [];
    const numbers = new DataView(head.buffer, head.byteOffset, head.length);
    const rounded = Buffer.alloc((this.#elements * dtypeByName(this.#dtype)!.bits) / 8);
    const view = new DataView(rounded.buffer, rounded.byteOffset, rounded.length);
    for (let i = 0; i < this.#elements; i++) encodeFloat(this.#dtype, decodeFloat('F32', numbers, i), view, i);
    return this.#parts.get(rounded.toString('latin1')) ?? [];
  }
}

function groupsOf(parts: readonly WeightPart[], heads: readonly Buffer[]): Group[] {
  const groups = new Map<string, Group>();
  for (const [i, part] of parts.entries()) {
    const elements = Math.min(HEAD, part.elements);
    const key = `${part.dtype} ${elements}`;
    let group = groups.get(key);
    if (group === undefined) {
      group = new Group(part.dtype, elements);
      groups.set(key, group);
    }
    group.add(part, heads[i]!);
  }
  return [...groups.values()];
}
