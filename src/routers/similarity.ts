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
 * Brings rows to length 1, in place. Rows without length (dead or pruned experts; all rows where they are alike and the mean is removed) and rows that hold
 * NaN or infinity become 0: they resemble nothing.
 *
 * @param data [count x width]
 * @param centred take the mean row away first: behind a softmax a vector added to all rows changes nothing, and it can hide what tells experts apart
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
  const { width } = a;
  const out = new Float64Array(a.count * b.count);
  // Four rows of each side at once: every number that is loaded is used four times.
  for (let r = 0; r < a.count; r += 4) {
    for (let c = 0; c < b.count; c += 4) {
      const rows = Math.min(4, a.count - r);
      const columns = Math.min(4, b.count - c);
      if (rows === 4 && columns === 4) tile(a.data, r * width, b.data, c * width, width, out, r * b.count + c, b.count);
      else
        for (let i = r; i < r + rows; i++)
          for (let j = c; j < c + columns; j++)
            out[i * b.count + j] = dot(a.data.subarray(i * width, (i + 1) * width), b.data.subarray(j * width, (j + 1) * width));
    }
  }
  return out;
}

/** 16 inner products, each summed in order. */
function tile(a: Float64Array, a0: number, b: Float64Array, b0: number, width: number, out: Float64Array, o: number, stride: number): void {
  let s00 = 0;
  let s01 = 0;
  let s02 = 0;
  let s03 = 0;
  let s10 = 0;
  let s11 = 0;
  let s12 = 0;
  let s13 = 0;
  let s20 = 0;
  let s21 = 0;
  let s22 = 0;
  let s23 = 0;
  let s30 = 0;
  let s31 = 0;
  let s32 = 0;
  let s33 = 0;
  const a1 = a0 + width;
  const a2 = a1 + width;
  const a3 = a2 + width;
  const b1 = b0 + width;
  const b2 = b1 + width;
  const b3 = b2 + width;
  for (let i = 0; i < width; i++) {
    const x0 = a[a0 + i]!;
    const x1 = a[a1 + i]!;
    const x2 = a[a2 + i]!;
    const x3 = a[a3 + i]!;
    const y0 = b[b0 + i]!;
    const y1 = b[b1 + i]!;
    const y2 = b[b2 + i]!;
    const y3 = b[b3 + i]!;
    s00 += x0 * y0;
    s01 += x0 * y1;
    s02 += x0 * y2;
    s03 += x0 * y3;
    s10 += x1 * y0;
    s11 += x1 * y1;
    s12 += x1 * y2;
    s13 += x1 * y3;
    s20 += x2 * y0;
    s21 += x2 * y1;
    s22 += x2 * y2;
    s23 += x2 * y3;
    s30 += x3 * y0;
    s31 += x3 * y1;
    s32 += x3 * y2;
    s33 += x3 * y3;
  }
  out.set([s00, s01, s02, s03], o);
  out.set([s10, s11, s12, s13], o + stride);
  out.set([s20, s21, s22, s23], o + 2 * stride);
  out.set([s30, s31, s32, s33], o + 3 * stride);
}

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
