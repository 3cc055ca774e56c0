import type { BoxedMatrix, MatrixBox } from '../../../checkpoints/tensors/matrix.ts';
import type { InputBoxes } from '../../native/job.ts';

/** Numbers things in the order in which they are met: the files of a call. */
export class Numbering<T> {
  readonly #numbers = new Map<T, number>();

  of(thing: T): number {
    const known = this.#numbers.get(thing);
    if (known !== undefined) return known;
    this.#numbers.set(thing, this.#numbers.size);
    return this.#numbers.size - 1;
  }

  list(): T[] {
    return [...this.#numbers.keys()];
  }
}

/** What the columns and files of boxes are called in a call. */
interface Units {
  /** Bytes that a column counts: those of an element where bytes are copied, else 1. */
  readonly unit: number;
  /** The call's number of a file of the boxes. */
  fileOf(file: number): number;
}

/** The boxes of a call's inputs, as columns: of each only those that its part of the tensor touches. */
export class BoxLists {
  readonly #first: Int32Array;
  readonly #columns: Float64Array;
  readonly #start: Float64Array;
  readonly #boxes: MatrixBox[] = [];
  #filled = 0;

  /** @param inputs of the call: segments times members */
  constructor(inputs: number) {
    this.#first = new Int32Array(inputs + 1);
    this.#columns = new Float64Array(inputs);
    this.#start = new Float64Array(inputs);
  }

  /**
   * Inputs are added in ascending order.
   * @param gathered a tensor, and the element of it that the segment begins with
   * @param piece of the segment, in elements (bytes, where bytes are copied)
   */
  add(
    input: number,
    { matrix, start }: { readonly matrix: BoxedMatrix; readonly start: number },
    piece: { readonly from: number; readonly to: number },
    { unit, fileOf }: Units,
  ): void {
    while (this.#filled < input) this.#first[++this.#filled] = this.#boxes.length;
    const columns = matrix.columns * unit;
    const from = start * unit + piece.from;
    const [firstRow, lastRow] = [Math.floor(from / columns), Math.ceil((from + piece.to - piece.from) / columns)];
    const { boxes } = matrix;
    // In the order of their rows.
    for (let at = firstEndingAfter(boxes, firstRow); at < boxes.length && boxes[at]!.row < lastRow; at++) {
      const box = boxes[at]!;
      this.#boxes.push({ ...box, column: box.column * unit, width: box.width * unit, file: fileOf(box.file) });
    }
    this.#columns[input] = columns;
    this.#start[input] = from;
    this.#first[++this.#filled] = this.#boxes.length;
  }

  /** Nothing where no input lies in boxes. */
  columns(): { boxes?: InputBoxes } {
    if (this.#boxes.length === 0) return {};
    this.#first.fill(this.#boxes.length, this.#filled + 1);
    const column = (field: Exclude<keyof MatrixBox, 'file'>): Float64Array => Float64Array.from(this.#boxes, (box) => box[field]);
    return {
      boxes: {
        first: this.#first,
        columns: this.#columns,
        start: this.#start,
        row: column('row'),
        rows: column('rows'),
        column: column('column'),
        width: column('width'),
        file: Int32Array.from(this.#boxes, ({ file }) => file),
        offset: column('offset'),
        rowStride: column('rowStride'),
      },
    };
  }
}

/** The first box that ends behind a row. Those that share a row share all of theirs. */
function firstEndingAfter(boxes: readonly MatrixBox[], row: number): number {
  let [low, high] = [0, boxes.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (boxes[middle]!.row + boxes[middle]!.rows <= row) low = middle + 1;
    else high = middle;
  }
  return low;
}
