import { dot, linear } from '../../base/numbers/matrix.ts';

/** Vectors of equal length, one an expert, made ready for comparison by {@link unitRows}. */
export interface UnitRows {
  /** [count x width], each of length 1, or 0 where a row had no length or was not finite. */
  readonly data: Float64Array;
  readonly count: number;
  readonly width: number;
}

/** What is left of a row by rounding when the mean that it equals is taken away, relative to the row. */
const ROUNDING = 1e-12;

/**
 * Brings rows to length 1, in place. Rows without length (dead or pruned experts; all rows where they are
 * alike and the mean is removed) and rows that hold NaN or infinity become 0: they resemble nothing.
 *
 * @param data [count x width]
 * @param centred take the mean row away first: behind a softmax a vector added to all rows changes nothing,
 *   and it can hide what tells experts apart
 */
export function unitRows(data: Float64Array, count: number, centred: boolean): UnitRows {
  const width = data.length / count;
  const rows = Array.from({ length: count }, (_, e) => data.subarray(e * width, (e + 1) * width));
  const squares = rows.map((row) => dot(row, row));
  const finite = rows.filter((_, e) => Number.isFinite(squares[e]));
  const mean = new Float64Array(width);
  if (centred) for (const row of finite) for (let i = 0; i < width; i++) mean[i]! += row[i]! / finite.length;
  for (const [e, row] of rows.entries()) {
    for (let i = 0; i < width; i++) row[i]! -= mean[i]!;
    const square = dot(row, row);
    if (!(square > ROUNDING ** 2 * squares[e]!) || !Number.isFinite(square)) row.fill(0);
    else for (let i = 0, norm = Math.sqrt(square); i < width; i++) row[i]! /= norm;
  }
  return { data, count, width };
}

/** Cosines of every row of `a` with every row of `b`: [a.count x b.count]. */
export function cosines(a: UnitRows, b: UnitRows): Float64Array {
  return linear(a.data, a.count, { rows: b.count, columns: b.width, data: b.data });
}
