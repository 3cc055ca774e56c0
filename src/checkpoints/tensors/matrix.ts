import { dtypeByCode } from '../../base/dtype.ts';
import type { Extent, TensorTable } from './types.ts';

/** A part of a matrix, and where it lies. */
export interface MatrixBox {
  readonly row: number;
  readonly rows: number;
  readonly column: number;
  readonly width: number;
  /** Index into the checkpoint's `files`. */
  readonly file: number;
  /** Where its first element lies, in bytes from the beginning of that file. */
  readonly offset: number;
  /** Bytes from one row to the next. */
  readonly rowStride: number;
}

/** A tensor as a matrix, whose boxes are parts of rows. */
export interface BoxedMatrix {
  /** Elements of a row. */
  readonly columns: number;
  /**
   * In bands: those of a band have the same rows, and follow one another from column 0 to the last; bands
   * follow one another from row 0 on.
   */
  readonly boxes: readonly MatrixBox[];
}

/**
 * A tensor that lies in columns or boxes, as the matrix of which its boxes are parts; null where it is runs
 * of elements alone, which need no gathering.
 */
export function matrixOf({ boxes, shapes, dtypes }: TensorTable, row: number): BoxedMatrix | null {
  if (boxes === null) return null;
  const shape = shapes[row]!;
  const rank = shape.length;
  const [from, to] = [boxes.first[row]!, boxes.first[row + 1]!];
  const part = (box: number, kind: number): Float64Array => {
    const at = boxes.boundsAt[row]! + ((box - from) * 3 + kind) * rank;
    return boxes.bounds.subarray(at, at + rank);
  };
  // Rows end before the innermost dimension that some box holds a part of, or in another order.
  let axis = 0;
  for (let box = from; box < to; box++) {
    const [size, stride] = [part(box, 1), part(box, 2)];
    if (size.includes(0)) continue;
    let run = 1;
    for (let a = rank - 1; a > axis; a--) {
      if (size[a] !== 1 && stride[a] !== run) axis = a;
      else if (size[a] !== shape[a]) axis = a;
      run *= size[a]!;
    }
    // Rows of a matrix that lie apart, every second one say: as runs of their own they would be as many.
    if (axis === 0 && rank > 1 && size[0] !== 1 && stride[0] !== run) axis = 1;
  }
  if (axis === 0) return null;
  const columns = shape.slice(axis).reduce((product, length) => product * length, 1);
  const inner = shape.slice(axis + 1).reduce((product, length) => product * length, 1);
  const bytes = dtypeByCode(dtypes[row]!).bits / 8;
  const parts: MatrixBox[] = [];
  for (let box = from; box < to; box++) {
    const [start, size, stride] = [part(box, 0), part(box, 1), part(box, 2)];
    if (size.includes(0)) continue;
    const contiguous = isContiguous(size, stride, axis);
    const width = contiguous ? size[axis]! * inner : 1;
    // In another order each element of a row is a column of its own.
    for (const [column, place] of contiguous ? [[start[axis]! * inner, 0] as const] : elementsOf(shape, start, size, stride, axis)) {
      for (const [first, at] of rowsOf(shape, start, size, stride, axis)) {
        const next = {
          row: first,
          rows: size[axis - 1]!,
          column,
          width,
          file: boxes.file[box]!,
          offset: boxes.offset[box]! + (at + place) * bytes,
          rowStride: stride[axis - 1]! * bytes,
        };
        const before = parts.at(-1);
        if (before !== undefined && follows(before, next)) parts[parts.length - 1] = { ...before, rows: before.rows + next.rows };
        else parts.push(next);
      }
    }
  }
  return { columns, boxes: inBands(parts) };
}

/**
 * Runs of elements, in their order and without gap, as a matrix of one column.
 * @param size bytes of an element
 */
export function matrixOfRuns(runs: readonly Extent[], size: number): BoxedMatrix {
  const boxes = runs.map(({ from, elements, file, offset }): MatrixBox => {
    return { row: from, rows: elements, column: 0, width: 1, file, offset, rowStride: size };
  });
  return { columns: 1, boxes };
}

function isContiguous(size: Float64Array, stride: Float64Array, from: number): boolean {
  let run = 1;
  for (let a = size.length - 1; a >= from; a--) {
    if (size[a] !== 1 && stride[a] !== run) return false;
    run *= size[a]!;
  }
  return true;
}

/** Whether a box is the next rows of another, in the matrix and in the file. */
function follows(before: MatrixBox, next: MatrixBox): boolean {
  return (
    before.file === next.file &&
    before.column === next.column &&
    before.width === next.width &&
    before.row + before.rows === next.row &&
    before.rowStride === next.rowStride &&
    before.offset + before.rows * before.rowStride === next.offset
  );
}

/** The first row of each run of rows of a box, and the elements before it in the file. */
function* rowsOf(
  shape: readonly number[],
  start: Float64Array,
  size: Float64Array,
  stride: Float64Array,
  axis: number,
): Generator<readonly [number, number]> {
  const index = new Array<number>(axis - 1).fill(0);
  for (;;) {
    let first = 0;
    let at = 0;
    for (let a = 0; a < axis; a++) {
      first = first * shape[a]! + start[a]! + (index[a] ?? 0);
      at += (index[a] ?? 0) * stride[a]!;
    }
    yield [first, at];
    let a = axis - 2;
    while (a >= 0 && index[a] === size[a]! - 1) a--;
    if (a < 0) return;
    index[a]!++;
    index.fill(0, a + 1);
  }
}

/** The column of each element of a row of a box, and the elements before it in the file. */
function* elementsOf(
  shape: readonly number[],
  start: Float64Array,
  size: Float64Array,
  stride: Float64Array,
  axis: number,
): Generator<readonly [number, number]> {
  const rank = shape.length;
  const count = size.subarray(axis).reduce((product, length) => product * length, 1);
  for (let element = 0; element < count; element++) {
    let rest = element;
    let column = 0;
    let place = 0;
    let unit = 1;
    for (let a = rank - 1; a >= axis; a--) {
      const at = rest % size[a]!;
      rest = Math.floor(rest / size[a]!);
      column += (start[a]! + at) * unit;
      place += at * stride[a]!;
      unit *= shape[a]!;
    }
    yield [column, place];
  }
}

/** Cuts boxes where others begin or end, so that those that share a row share all of theirs. */
function inBands(boxes: readonly MatrixBox[]): MatrixBox[] {
  const cuts = [...new Set(boxes.flatMap(({ row, rows }) => [row, row + rows]))].sort((a, b) => a - b);
  const place = new Map(cuts.map((cut, i) => [cut, i]));
  const cut = boxes.flatMap((box) =>
    cuts.slice(place.get(box.row)!, place.get(box.row + box.rows)!).map((row, i) => ({
      ...box,
      row,
      rows: cuts[place.get(box.row)! + i + 1]! - row,
      offset: box.offset + (row - box.row) * box.rowStride,
    })),
  );
  return cut.sort((a, b) => a.row - b.row || a.column - b.column);
}
