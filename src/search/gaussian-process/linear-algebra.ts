import { dot } from '../../base/numbers/matrix.ts';

/** Of a pivot to its diagonal entry, what is rounding: of a matrix that is built to be positive definite. */
const ROUNDING = 1e-15;

/**
 * The factor L of A = L Lᵀ for a symmetric positive definite matrix.
 *
 * @param matrix [size x size], row after row, as the result
 * @throws RangeError where the matrix is not positive definite
 */
export function choleskyFactor(matrix: Float64Array, size: number): Float64Array {
  const lower = covarianceRoot(matrix, size, ROUNDING);
  for (let i = 0; i < size; i++)
    if (lower[i * size + i] === 0) throw new RangeError('covariance matrix is not positive definite: the noise is too small');
  return lower;
}

/**
 * L with L Lᵀ = A for a covariance that may be singular: what has no variance left, or as little of its own
 * as `rounding`, gets none. Only the lower triangle is read.
 */
export function covarianceRoot(matrix: Float64Array, size: number, rounding: number): Float64Array {
  const lower = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    const row = i * size;
    let explained = 0;
    for (let j = 0; j < i; j++) {
      const pivot = lower[j * size + j]!;
      if (pivot === 0) continue;
      const value = (matrix[row + j]! - dot(lower, lower, j * size, row, j)) / pivot;
      lower[row + j] = value;
      explained += value * value;
    }
    const own = matrix[row + i]!;
    if (own - explained > rounding * own) lower[row + i] = Math.sqrt(own - explained);
  }
  return lower;
}

/**
 * Solves L x = b for each row b of `rows`, in place: [count x size], with L [size x size] lower triangular.
 */
export function solveLower(lower: Float64Array, size: number, rows: Float64Array): void {
  const count = rows.length / size;
  let row = 0;
  // Four rows at a time: each number of L is loaded once for them, and their sums do not wait for each other.
  for (; row + 4 <= count; row += 4) {
    const r0 = row * size;
    const r1 = r0 + size;
    const r2 = r1 + size;
    const r3 = r2 + size;
    for (let i = 0; i < size; i++) {
      const at = i * size;
      let s0 = rows[r0 + i]!;
      let s1 = rows[r1 + i]!;
      let s2 = rows[r2 + i]!;
      let s3 = rows[r3 + i]!;
      for (let j = 0; j < i; j++) {
        const l = lower[at + j]!;
        s0 -= l * rows[r0 + j]!;
        s1 -= l * rows[r1 + j]!;
        s2 -= l * rows[r2 + j]!;
        s3 -= l * rows[r3 + j]!;
      }
      const d = lower[at + i]!;
      rows[r0 + i] = s0 / d;
      rows[r1 + i] = s1 / d;
      rows[r2 + i] = s2 / d;
      rows[r3 + i] = s3 / d;
    }
  }
  for (; row < count; row++) {
    const r = row * size;
    for (let i = 0; i < size; i++) {
      let sum = rows[r + i]!;
      for (let j = 0; j < i; j++) sum -= lower[i * size + j]! * rows[r + j]!;
      rows[r + i] = sum / lower[i * size + i]!;
    }
  }
}

/** Solves Lᵀ x = b in place. */
export function solveUpper(lower: Float64Array, size: number, b: Float64Array): void {
  for (let i = size - 1; i >= 0; i--) {
    const x = b[i]! / lower[i * size + i]!;
    b[i] = x;
    for (let j = 0; j < i; j++) b[j] = b[j]! - lower[i * size + j]! * x;
  }
}

/**
 * Inverts a symmetric positive definite matrix in place by the sweep operator (Goodnight, The American
 * Statistician 33, 1979): half the work of a factorisation followed by solves, and its determinant comes with
 * it. Only the lower triangle is read and written.
 *
 * @returns log of the determinant; −∞ where the matrix is not positive definite, its content then undefined
 */
export function invertSymmetric(matrix: Float64Array, size: number): number {
  const column = new Float64Array(size);
  let logDeterminant = 0;
  for (let k = 0; k < size; k++) {
    const pivot = matrix[k * size + k]!;
    if (!(pivot > 0)) return Number.NEGATIVE_INFINITY;
    logDeterminant += Math.log(pivot);
    for (let i = 0; i < k; i++) column[i] = matrix[k * size + i]!;
    for (let i = k; i < size; i++) column[i] = matrix[i * size + k]!;
    for (let i = 0; i < size; i++) {
      const factor = column[i]! / pivot;
      const row = i * size;
      for (let j = 0; j <= i; j++) matrix[row + j] = matrix[row + j]! - factor * column[j]!;
    }
    for (let i = 0; i < k; i++) matrix[k * size + i] = column[i]! / pivot;
    for (let i = k + 1; i < size; i++) matrix[i * size + k] = column[i]! / pivot;
    matrix[k * size + k] = -1 / pivot;
  }
  for (let i = 0; i < size; i++) for (let j = 0; j <= i; j++) matrix[i * size + j] = -matrix[i * size + j]!;
  return logDeterminant;
}
