import { dtypeByCode } from '../base/dtype.ts';
import type { TensorTable } from './tensors/types.ts';

/** Bytes of a block that is looked at. */
export const BLOCK_BYTES = 4096;
/** Fewest bytes of a tensor in a sample that say something: a bias may be zero. */
const SPOT_BYTES = 256;
const ZEROS = Buffer.alloc(BLOCK_BYTES);

/** The tensor that a key of the spots of a sample is about. */
export const tensorOfSpot = (key: string): string => key.slice(0, key.lastIndexOf('@'));

/** See `FileDigest`. */
export type Spots = ReadonlyMap<string, boolean>;

/** Bytes of a file, from byte `at` on. */
export interface SeenBytes {
  readonly at: number;
  readonly bytes: Buffer;
}

/** Looks at the matrices of pieces of a file, the whole of it or blocks: whether all of one is zero there. */
export function addSpots(
  spots: Map<string, boolean>,
  { count, names, shapes, offset, bytes }: TensorTable,
  pieces: readonly SeenBytes[],
): void {
  for (const { at: start, bytes: piece } of pieces) {
    const end = start + piece.length;
    for (let row = firstEndingAfter(offset, bytes, start); row < count && offset[row]! < end; row++) {
      const from = Math.max(start, offset[row]!);
      const to = Math.min(end, offset[row]! + bytes[row]!);
      if (to - from < SPOT_BYTES || shapes[row]!.length < 2) continue;
      // Of what is there as a whole each block, and at least both halves: files end in the middle of a tensor.
      const step = Math.max(SPOT_BYTES, Math.min(BLOCK_BYTES, Math.ceil(bytes[row]! / 2)));
      for (let at = from; at < to; at += step) {
        const seen = piece.subarray(at - start, Math.min(at + step, to) - start);
        if (seen.length >= SPOT_BYTES) spots.set(`${names[row]}@${at - offset[row]!}`, isZero(seen));
      }
    }
  }
}

function isZero(bytes: Buffer): boolean {
  return bytes.equals(ZEROS.subarray(0, bytes.length));
}

/**
 * The same of tensors in boxes, whose files begin at other bytes in each checkpoint: a place is a block of a
 * box here.
 */
export class BoxSpots {
  readonly #tables: readonly TensorTable[];
  /** [files + 1] The first of each file's boxes in the columns. */
  readonly #first: Int32Array;
  /** [boxes of matrices] Their table, their row in it, and their number there: those of a file together. */
  readonly #table: Int32Array;
  readonly #row: Int32Array;
  readonly #box: Int32Array;

  constructor(tables: readonly TensorTable[]) {
    this.#tables = tables;
    let files = 0;
    for (const { boxes } of tables) for (const file of boxes?.file ?? []) files = Math.max(files, file + 1);
    const first = new Int32Array(files + 1);
    eachBoxOfMatrices(tables, (_table, _row, _box, file) => {
      first[file + 1]!++;
    });
    for (let file = 0; file < files; file++) first[file + 1]! += first[file]!;
    const boxes = first[files]!;
    [this.#table, this.#row, this.#box] = [new Int32Array(boxes), new Int32Array(boxes), new Int32Array(boxes)];
    const next = first.slice();
    eachBoxOfMatrices(tables, (table, row, box, file) => {
      const at = next[file]!++;
      this.#table[at] = table;
      this.#row[at] = row;
      this.#box[at] = box;
    });
    this.#first = first;
  }

  /** @param pieces of one file, in the order of its bytes */
  add(spots: Map<string, boolean>, file: number, pieces: readonly SeenBytes[]): void {
    const found: { readonly at: number; readonly key: string; readonly zero: boolean }[] = [];
    const past = this.#first[file + 1] ?? 0;
    for (let own = this.#first[file] ?? 0; own < past; own++) {
      const [row, box] = [this.#row[own]!, this.#box[own]!];
      const { boxes, names, shapes, dtypes } = this.#tables[this.#table[own]!]!;
      const { first, offset, boundsAt, bounds } = boxes!;
      const rank = shapes[row]!.length;
      const from = boundsAt[row]! + (box - first[row]!) * 3 * rank;
      const begin = offset[box]!;
      const end = begin + (runOf(bounds, from + rank, rank) * dtypeByCode(dtypes[row]!).bits) / 8;
      for (let p = firstEndingBehind(pieces, begin); p < pieces.length && pieces[p]!.at < end; p++) {
        const piece = pieces[p]!;
        const last = Math.min(end, piece.at + piece.bytes.length);
        for (let at = Math.max(begin, piece.at); last - at >= SPOT_BYTES; at += BLOCK_BYTES) {
          const seen = piece.bytes.subarray(at - piece.at, Math.min(at + BLOCK_BYTES, last) - piece.at);
          const place = `${bounds.subarray(from, from + rank).join()}+${Math.floor((at - begin) / BLOCK_BYTES)}`;
          found.push({ at, key: `${names[row]}@${place}`, zero: isZero(seen) });
        }
      }
    }
    found.sort((a, b) => a.at - b.at);
    for (const { key, zero } of found) spots.set(key, zero);
  }
}

function eachBoxOfMatrices(tables: readonly TensorTable[], visit: (table: number, row: number, box: number, file: number) => void): void {
  for (const [t, { boxes, shapes, count }] of tables.entries()) {
    if (boxes === null) continue;
    for (let row = 0; row < count; row++) {
      if (shapes[row]!.length < 2) continue;
      for (let box = boxes.first[row]!; box < boxes.first[row + 1]!; box++) visit(t, row, box, boxes.file[box]!);
    }
  }
}

/**
 * Elements of a box whose elements follow one another in its file; 0 of any other.
 * @param at where its sizes begin in `bounds`, and its strides behind them
 */
function runOf(bounds: Float64Array, at: number, rank: number): number {
  let run = 1;
  for (let axis = rank - 1; axis >= 0; axis--) {
    const size = bounds[at + axis]!;
    if (size !== 1 && bounds[at + rank + axis] !== run) return 0;
    run *= size;
  }
  return run;
}

/** The first of a file's pieces, in their order, that ends behind a byte. */
function firstEndingBehind(pieces: readonly SeenBytes[], byte: number): number {
  let [low, high] = [0, pieces.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (pieces[middle]!.at + pieces[middle]!.bytes.length <= byte) low = middle + 1;
    else high = middle;
  }
  return low;
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
