import { matricesOf, scaleGrid } from '../../../model/quantised/blocks.ts';
import type { BlockShape, QuantisedWeight } from '../../../model/quantised/types.ts';

/** Elements of a tensor that are whole matrices of it, or whole rows of one. */
export interface Cut extends BlockShape {
  /** Scales of the tensor before those of the cut. */
  readonly scalesFrom: number;
}

/** Plain floats of a shape: as one block, for there are no scales. */
export function plainBlocks(shape: readonly number[]): BlockShape {
  const { matrices, rows, cols } = matricesOf(shape);
  return { matrices, rows, cols, blockRows: rows, blockCols: cols };
}

/**
 * What some elements of a tensor are, with their blocks.
 *
 * @param scaled whether blocks have scales, and so must lie in the cut or outside of it
 * @returns null where it is no whole rows, or a block lies across its edge
 */
export function cutOf(shape: BlockShape, from: number, elements: number, scaled: boolean): Cut | null {
  const { rows, cols, blockRows, blockCols } = shape;
  const each = rows * cols;
  const { down, across } = scaleGrid(shape);
  if (from % each === 0 && elements % each === 0) {
    return { matrices: elements / each, rows, cols, blockRows, blockCols, scalesFrom: (from / each) * down * across };
  }
  const [row, count] = [(from % each) / cols, elements / cols];
  if (!Number.isInteger(row) || !Number.isInteger(count) || row + count > rows) return null;
  if (scaled && (row % blockRows !== 0 || (count % blockRows !== 0 && row + count < rows))) return null;
  return {
    ...{ matrices: 1, rows: count, cols, blockRows: Math.min(blockRows, count), blockCols },
    scalesFrom: scaled ? (Math.floor(from / each) * down + row / blockRows) * across : 0,
  };
}

/** Whether two cuts are the same elements in the same order, however many matrices they are counted as. */
export function sameRows(a: BlockShape, b: BlockShape): boolean {
  return a.matrices * a.rows === b.matrices * b.rows && a.cols === b.cols;
}

/** Whether two cuts are the same matrices in the same blocks. */
export function sameBlocks(a: BlockShape, b: BlockShape): boolean {
  return a.matrices === b.matrices && a.rows === b.rows && a.cols === b.cols && a.blockRows === b.blockRows && a.blockCols === b.blockCols;
}

/** As `a scale for each 128 x 128 values`. */
export function gridWords({ blockRows, blockCols, rows, cols }: BlockShape): string {
  if (blockRows === rows && blockCols === cols) return 'one scale a matrix';
  if (blockRows === 1 && blockCols === cols) return 'one scale a row';
  return `a scale for each ${blockRows} x ${blockCols} values`;
}

/** Codes that a weight has in one element of the tensor that holds them. */
export function codesAnElement(weight: QuantisedWeight | null, storedBits: number): number {
  return weight?.scheme === 'mxfp4' && storedBits === 8 ? 2 : 1;
}
