import { dtypeByCode } from '../base/dtype.ts';
import { groupBy } from '../base/group-by.ts';
import type { TensorTable } from './tensors/types.ts';

/** Bytes of a block that is looked at. */
export const BLOCK_BYTES = 4096;
/** Fewest bytes of a tensor in a sample that say something: a bias may be zero. */
const SPOT_BYTES = 256;
const ZEROS = Buffer.alloc(BLOCK_BYTES);

/** The tensor that a key of the spots of a sample is about. */
export const tensorOfSpot = (key: string): string => key.slice(0, key.lastIndexOf('@'));

/** Looks at the matrices of a piece of a file, the whole of it or a block: whether all of it is zero. */
export function addSpots(
  spots: Map<string, boolean>,
  { count, names, shapes, offset, bytes }: TensorTable,
  start: number,
  piece: Buffer,
): void {
  const end = start + piece.length;
  for (let row = firstEndingAfter(offset, bytes, start); row < count && offset[row]! < end; row++) {
    const from = Math.max(start, offset[row]!);
    const to = Math.min(end, offset[row]! + bytes[row]!);
    if (to - from < SPOT_BYTES || shapes[row]!.length < 2) continue;
    // Of what is there as a whole each block, and at least both halves: files end in the middle of a tensor.
    const step = Math.max(SPOT_BYTES, Math.min(BLOCK_BYTES, Math.ceil(bytes[row]! / 2)));
    for (let at = from; at < to; at += step) {
      const seen = piece.subarray(at - start, Math.min(at + step, to) - start);
      if (seen.length >= SPOT_BYTES) spots.set(`${names[row]}@${at - offset[row]!}`, seen.equals(ZEROS.subarray(0, seen.length)));
    }
  }
}

/** Bytes of a file of a checkpoint in boxes. */
export interface SampledBytes {
  readonly file: number;
  readonly at: number;
  readonly bytes: Buffer;
}

/**
 * The same of tensors in boxes, whose files begin at other bytes in each checkpoint: a place is a block of a
 * box here.
 * @param pieces in the order of files and bytes
 */
export function addSpotsOfBoxes(spots: Map<string, boolean>, tables: readonly TensorTable[], pieces: readonly SampledBytes[]): void {
  if (pieces.length === 0) return;
  const byFile = groupBy(pieces, ({ file }) => file);
  const found: { piece: SampledBytes; at: number; key: string; zero: boolean }[] = [];
  for (const { boxes, names, shapes, dtypes, count } of tables) {
    if (boxes === null) continue;
    const { first, file, offset, boundsAt, bounds } = boxes;
    for (let row = 0; row < count; row++) {
      const rank = shapes[row]!.length;
      if (rank < 2) continue;
      for (let box = first[row]!; box < first[row + 1]!; box++) {
        const from = boundsAt[row]! + (box - first[row]!) * 3 * rank;
        const elements = runOf(bounds.subarray(from + rank, from + 2 * rank), bounds.subarray(from + 2 * rank, from + 3 * rank));
        const begin = offset[box]!;
        const end = begin + (elements * dtypeByCode(dtypes[row]!).bits) / 8;
        for (const piece of overlapping(byFile.get(file[box]!) ?? [], begin, end)) {
          const last = Math.min(end, piece.at + piece.bytes.length);
          for (let at = Math.max(begin, piece.at); last - at >= SPOT_BYTES; at += BLOCK_BYTES) {
            const seen = piece.bytes.subarray(at - piece.at, Math.min(at + BLOCK_BYTES, last) - piece.at);
            const place = `${bounds.subarray(from, from + rank).join()}+${Math.floor((at - begin) / BLOCK_BYTES)}`;
            found.push({ piece, at, key: `${names[row]}@${place}`, zero: seen.equals(ZEROS.subarray(0, seen.length)) });
          }
        }
      }
    }
  }
  found.sort((a, b) => a.piece.file - b.piece.file || a.at - b.at);
  for (const { key, zero } of found) spots.set(key, zero);
}

/** Elements of a box whose elements follow one another in its file; 0 of any other. */
function runOf(size: Float64Array, stride: Float64Array): number {
  let run = 1;
  for (let axis = size.length - 1; axis >= 0; axis--) {
    if (size[axis] !== 1 && stride[axis] !== run) return 0;
    run *= size[axis]!;
  }
  return run;
}

/** Those of a file's pieces, in their order, that share bytes with a range. */
function overlapping(pieces: readonly SampledBytes[], begin: number, end: number): readonly SampledBytes[] {
  let [low, high] = [0, pieces.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (pieces[middle]!.at + pieces[middle]!.bytes.length <= begin) low = middle + 1;
    else high = middle;
  }
  let past = low;
  while (past < pieces.length && pieces[past]!.at < end) past++;
  return pieces.slice(low, past);
}

/** Rows are in the order of their data. */
function firstEndingAfter(offset: Float64Array, bytes: Float64Array, at: number): number {
  let [low, high] = [0, offset.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (offset[middle]! + bytes[middle]! <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}
