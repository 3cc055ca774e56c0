import type { Axis } from './cube.ts';
import type { KernelName } from './names.ts';

/** What a Gaussian process is fitted by. Variances are in the square of the units of the values. */
export interface Hyper {
  /** Length of each axis of the cube. */
  readonly lengths: readonly number[];
  /** Variance of the function, k(x, x). */
  readonly signal: number;
  /** Variance of the noise of one value. */
  readonly noise: number;
}

/**
 * Correlation at the squared distance r² = Σ d_a²/ℓ_a² (Rasmussen and Williams 2006, eq. 4.9 and 4.17):
 * Matérn 5/2 (1 + s + s²/3) e^−s with s = √5 r, Matérn 3/2 (1 + s) e^−s with s = √3 r, and e^(−r²/2).
 */
export function correlation(kernel: KernelName, squared: number): number {
  if (kernel === 'rbf') return Math.exp(-0.5 * squared);
  if (kernel === 'matern32') {
    const s = Math.sqrt(3 * squared);
    return (1 + s) * Math.exp(-s);
  }
  const s = Math.sqrt(5 * squared);
  return (1 + s + (s * s) / 3) * Math.exp(-s);
}

/**
 * −2 d(correlation)/d(r²): times d_a²/ℓ_a² it is the derivative of the correlation with respect to log ℓ_a.
 */
export function correlationSlope(kernel: KernelName, squared: number): number {
  if (kernel === 'rbf') return Math.exp(-0.5 * squared);
  if (kernel === 'matern32') return 3 * Math.exp(-Math.sqrt(3 * squared));
  const s = Math.sqrt(5 * squared);
  return (5 / 3) * (1 + s) * Math.exp(-s);
}

/** Squared distance of two packed points along an axis: 0 or 1 between two values of a choice. */
export function squaredSeparation(axis: Axis, a: number, b: number): number {
  if (axis.kind === 'choice') return a === b ? 0 : 1;
  return (a - b) * (a - b);
}

/**
 * Covariances k(a_i, b_j) of the function, without noise: [count of a x count of b].
 *
 * @param a packed points, [count x axes], as is `b` @param offset variance of a constant that is added to the
 *   function
 */
export function covariances(
  kernel: KernelName,
  hyper: Hyper,
  axes: readonly Axis[],
  a: Float64Array,
  b: Float64Array,
  offset = 0,
): Float64Array {
  const width = axes.length;
  const rows = a.length / width;
  const columns = b.length / width;
  const inverse = Float64Array.from(hyper.lengths, (length) => 1 / (length * length));
  const squared = new Float64Array(rows * columns);
  for (let axis = 0; axis < width; axis++) {
    const choice = axes[axis]!.kind === 'choice';
    const weight = inverse[axis]!;
    for (let i = 0; i < rows; i++) {
      const at = a[i * width + axis]!;
      for (let j = 0, k = i * columns; j < columns; j++, k++) {
        const d = at - b[j * width + axis]!;
        squared[k] = squared[k]! + weight * (choice ? (d === 0 ? 0 : 1) : d * d);
      }
    }
  }
  for (let k = 0; k < squared.length; k++) squared[k] = offset + hyper.signal * correlation(kernel, squared[k]!);
  return squared;
}
