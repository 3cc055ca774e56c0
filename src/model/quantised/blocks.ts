import type { BlockShape } from './types.ts';

/**
 * Sides of blocks that are tried where no configuration names one; the first is what nearly everybody uses.
 */
const SIDES = [128, 64, 256, 32, 512, 16];

/** The last two axes are a matrix, all before them count matrices; a vector is one row. */
export function matricesOf(shape: readonly number[]): { matrices: number; rows: number; cols: number } {
  const matrices = shape.slice(0, -2).reduce((a, b) => a * b, 1);
  return { matrices, rows: shape.at(-2) ?? 1, cols: shape.at(-1) ?? 1 };
}

/**
 * How scales of a shape lie over weights of a shape: one scale for all, for each matrix, for each row or
 * column, or for each block.
 * @param configured sides of the blocks where the configuration names them
 * @param only the configuration knows no other scales: blocks of another size, rows and whole axes are none
 * @returns null where no blocks give scales of this shape; without a configuration, where blocks would not be
 *   square, for nothing says that they should be so
 */
export function blocksOf(
  weight: readonly number[],
  scale: readonly number[],
  configured: readonly [number, number] | null,
  only = false,
): BlockShape | null {
  const { matrices, rows, cols } = matricesOf(weight);
  const scales = scale.reduce((a, b) => a * b, 1);
  // One scale for all: the matrices of a stack are then rows of one.
  if (scales === 1 && !only) return { matrices: 1, rows: matrices * rows, cols, blockRows: matrices * rows, blockCols: cols };
  const lead = weight.slice(0, -2);
  if (!lead.every((size, i) => size === scale[i])) return null;
  const [first = 1, second = 1, ...more] = scale.slice(lead.length);
  if (more.length > 0) return null;
  const blockRows = side(rows, first, configured?.[0], only);
  const blockCols = side(cols, second, configured?.[1], only);
  if (blockRows === null || blockCols === null) return null;
  const square = blockRows === blockCols || first === 1 || second === 1 || blockRows === 1 || blockCols === 1;
  return configured === null && !square ? null : { matrices, rows, cols, blockRows, blockCols };
}

/** Side of blocks of which `count` cover `size`. */
function side(size: number, count: number, configured: number | undefined, only: boolean): number | null {
  const covers = (block: number): boolean => Math.ceil(size / block) === count;
  if (configured !== undefined && covers(configured)) return Math.min(configured, size);
  if (only) return null;
  if (count === 1) return size;
  if (count === size) return 1;
  if (configured !== undefined) return null;
  const found = SIDES.find(covers);
  return found ?? (size % count === 0 ? size / count : null);
}

/** Scales of one matrix. */
export function scaleGrid({ rows, cols, blockRows, blockCols }: BlockShape): { down: number; across: number } {
  return { down: Math.ceil(rows / blockRows), across: Math.ceil(cols / blockCols) };
}
