import { dtypeByCode } from '../../../base/dtype.ts';
import { scaleGrid } from '../../../model/quantised/blocks.ts';
import { type BlockShape, MXFP4 } from '../../../model/quantised/types.ts';
import type { QuantisedWork } from './types.ts';

/**
 * Elements of a strip: a few megabytes of inputs, so that progress, memory and threads share the work evenly.
 */
const STRIP_ELEMENTS = 1 << 20;
/** Elements of a strip that is written transposed: the more rows, the longer the pieces of its columns. */
const TRANSPOSED_ELEMENTS = 1 << 22;

/** Rows of one matrix of a quantised weight: whole rows of blocks, or a part of one. */
export interface Strip {
  readonly matrix: number;
  readonly row: number;
  readonly rows: number;
  /** First row of blocks, counted in its matrix. */
  readonly blockRow: number;
  /** Not all rows of its blocks: their largest value is found before any of them is written. */
  readonly part: boolean;
}

/** Rows that a strip has room for. */
function roomOf({ cols, targets }: QuantisedWork): number {
  const limit = targets.some((t) => t.transposed) ? TRANSPOSED_ELEMENTS : STRIP_ELEMENTS;
  return Math.max(1, Math.floor(limit / Math.max(cols, 1)));
}

/**
 * Whether strips hold parts of blocks. Of blocks side by side, a part would need a largest value for each:
 * such a row of blocks stays whole.
 */
function partsBlocks(work: QuantisedWork): boolean {
  return work.blockRows > roomOf(work) && work.blockCols >= work.cols;
}

/**
 * Whether the largest values of blocks must be known before any of their codes is written: the codes are then
 * read twice.
 */
export function isMeasured(work: QuantisedWork): boolean {
  return partsBlocks(work) && work.targets.some((t) => t.scaleDtype !== null);
}

/** Cuts a work into strips, in the order of its rows. Depends on shapes only. */
export function stripsOf(work: QuantisedWork): Strip[] {
  const { matrices, rows, blockRows } = work;
  const strips: Strip[] = [];
  const room = roomOf(work);
  const cut = partsBlocks(work);
  const step = cut ? room : Math.max(1, Math.floor(room / blockRows)) * blockRows;
  for (let matrix = 0; matrix < matrices; matrix++) {
    for (let row = 0; row < rows; ) {
      const blockRow = Math.floor(row / blockRows);
      const end = cut ? Math.min(row + step, (blockRow + 1) * blockRows, rows) : Math.min(row + step, rows);
      strips.push({ matrix, row, rows: end - row, blockRow, part: cut });
      row = end;
    }
  }
  return strips;
}

/** Bytes of `elements` codes. */
export function codeBytes(encoding: number, elements: number): number {
  return encoding === MXFP4 ? elements / 2 : (elements * dtypeByCode(encoding).bits) / 8;
}

/** Bytes from the first code of a weight to the first of a strip. */
export function codesBefore({ rows, cols }: BlockShape, { matrix, row }: Strip, encoding: number): number {
  return codeBytes(encoding, (matrix * rows + row) * cols);
}

/** Scales before those of a strip. */
export function scalesBefore(shape: BlockShape, { matrix, blockRow }: Strip): number {
  const { down, across } = scaleGrid(shape);
  return (matrix * down + blockRow) * across;
}

/** Scales of a strip. */
export function scalesIn(shape: BlockShape, { rows }: Strip): number {
  return Math.ceil(rows / shape.blockRows) * scaleGrid(shape).across;
}
