import { type AveragedDtypeName, dtypeByCode, dtypeByName } from '../../../base/dtype.ts';
import { firstNotRounded } from '../../../base/numbers/rounds-to.ts';
import type { ByteReader } from '../../../base/store/byte-reader.ts';
import { readTensor } from '../../../checkpoints/tensors/extents.ts';
import type { TensorPlace, TensorSource } from '../../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';

/** A box of a weight as one rank saved it, in one piece and in row-major order. */
export interface WeightPart {
  readonly weight: TensorPlace;
  readonly start: readonly number[];
  readonly size: readonly number[];
  readonly elements: number;
  readonly dtype: AveragedDtypeName;
  readonly path: string;
  /** Of its first element, in bytes from the beginning of that file. */
  readonly offset: number;
}

/** Elements of a buffer of many weights, one behind the other. */
export interface BufferRun {
  /** Index into the buffers. */
  readonly buffer: number;
  readonly from: number;
}

/** Elements that are compared at a time. */
const BLOCK = 1 << 20;

/** The parts of a float weight; null where one of them lies in another order than the weight's own. */
export function weightParts({ shards, files }: TensorSource, weight: TensorPlace): WeightPart[] | null {
  const { tensors, path } = shards[weight.shard]!;
  const { row } = weight;
  const shape = tensors.shapes[row]!;
  const dtype = dtypeByCode(tensors.dtypes[row]!).name as AveragedDtypeName;
  const count = (size: readonly number[]): number => size.reduce((product, length) => product * length, 1);
  if (tensors.boxes === null) {
    const elements = count(shape);
    return elements === 0 ? [] : [{ weight, start: shape.map(() => 0), size: shape, elements, dtype, path, offset: tensors.offset[row]! }];
  }
  const { first, file, offset, boundsAt, bounds } = tensors.boxes;
  const rank = shape.length;
  const parts: WeightPart[] = [];
  for (let box = first[row]!; box < first[row + 1]!; box++) {
    const at = boundsAt[row]! + (box - first[row]!) * 3 * rank;
    const [start, size, stride] = [0, 1, 2].map((kind) => [...bounds.subarray(at + kind * rank, at + (kind + 1) * rank)]);
    const elements = count(size!);
    if (elements === 0) continue;
    let run = 1;
    for (let axis = rank - 1; axis >= 0; axis--) {
      if (size![axis] !== 1 && stride![axis] !== run) return null;
      run *= size![axis]!;
    }
    parts.push({ weight, start: start!, size: size!, elements, dtype, path: files[file[box]!]!.path, offset: offset[box]! });
  }
  return parts;
}

/** A buffer of many weights in some checkpoint. */
export interface Buffer32 {
  readonly checkpoint: Checkpoint;
  readonly place: TensorPlace;
}

/** Elements of a buffer, in bytes. @throws MergeError what reading throws */
export function readRun(reader: ByteReader, { checkpoint, place }: Buffer32, from: number, elements: number): Promise<Buffer> {
  return readTensor(reader, checkpoint, place, from * 4, elements * 4);
}

/**
 * The first element of a part that is not the rounded one of a run of float32; -1 where there is none.
 * @throws MergeError what reading throws; `signal.reason` on an abort
 */
export async function firstOther(
  reader: ByteReader,
  part: WeightPart,
  buffer: Buffer32,
  from: number,
  signal?: AbortSignal,
): Promise<number> {
  const size = dtypeByName(part.dtype)!.bits / 8;
  for (let at = 0; at < part.elements; at += BLOCK) {
    signal?.throwIfAborted();
    const count = Math.min(BLOCK, part.elements - at);
    const weights = await reader.read(part.path, part.offset + at * size, count * size);
    const other = firstNotRounded(await readRun(reader, buffer, from + at, count), 'F32', weights, part.dtype);
    if (other >= 0) return at + other;
  }
  return -1;
}

/** Whether two runs of a buffer's elements, or of two buffers', are the same bytes. */
export async function sameRun(
  reader: ByteReader,
  a: Buffer32 & Pick<BufferRun, 'from'>,
  b: Buffer32 & Pick<BufferRun, 'from'>,
  elements: number,
  signal?: AbortSignal,
): Promise<boolean> {
  for (let at = 0; at < elements; at += BLOCK) {
    signal?.throwIfAborted();
    const count = Math.min(BLOCK, elements - at);
    const left = await readRun(reader, a, a.from + at, count);
    if (!left.equals(await readRun(reader, b, b.from + at, count))) return false;
  }
  return true;
}
