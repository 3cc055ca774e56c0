import { type Axis, packPoints } from './cube.ts';
import { correlation, correlationSlope, type Hyper, squaredSeparation } from './kernels.ts';
import { invertSymmetric } from './linear-algebra.ts';
import type { ProcessModel } from './posterior.ts';

/**
 * The log marginal likelihood of observations as a function of hyperparameters, with its gradient: −∞ where
 * their covariance is not positive definite.
 *
 * @param gradient filled where given: derivatives with respect to the logarithms of the lengths, of the
 *   signal and of the noise, [axes + 2]
 */
export type Likelihood = (hyper: Hyper, gradient?: Float64Array) => number;

/**
 * Prepares {@link Likelihood} for the observations of a model: Rasmussen and Williams 2006, eq. 2.30 and 5.9.
 */
export function likelihoodOf({ kernel, axes, points, values, variances, offset = 0 }: Omit<ProcessModel, 'hyper'>): Likelihood {
  const size = points.length;
  const width = axes.length;
  const separations = pairSeparations(packPoints(points, axes), axes);
  const pairs = separations.length / Math.max(1, width);
  const matrix = new Float64Array(size * size);
  const alpha = new Float64Array(size);
  const slopes = new Float64Array(pairs);
  const correlations = new Float64Array(pairs);
  const weights = new Float64Array(width);
  const sums = new Float64Array(width);

  return ({ lengths, signal, noise }, gradient) => {
    for (let a = 0; a < width; a++) weights[a] = 1 / (lengths[a]! * lengths[a]!);
    for (let i = 0, pair = 0; i < size; i++) {
      for (let j = 0; j < i; j++, pair++) {
        let squared = 0;
        for (let a = 0, at = pair * width; a < width; a++, at++) squared += weights[a]! * separations[at]!;
        const rho = correlation(kernel, squared);
        correlations[pair] = rho;
        if (gradient !== undefined) slopes[pair] = correlationSlope(kernel, squared);
        matrix[i * size + j] = offset + signal * rho;
      }
      matrix[i * size + i] = offset + signal + noise + (variances?.[i] ?? 0);
    }
    const logDeterminant = invertSymmetric(matrix, size);
    if (logDeterminant === Number.NEGATIVE_INFINITY) return logDeterminant;

    alpha.fill(0);
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < i; j++) {
        const inverse = matrix[i * size + j]!;
        alpha[i] = alpha[i]! + inverse * values[j]!;
        alpha[j] = alpha[j]! + inverse * values[i]!;
      }
      alpha[i] = alpha[i]! + matrix[i * size + i]! * values[i]!;
    }
    let fit = 0;
    for (let i = 0; i < size; i++) fit += alpha[i]! * values[i]!;

    if (gradient !== undefined) {
      // d/dθ = ½ tr((α αᵀ − K⁻¹) dK/dθ); each pair of points stands twice in the trace.
      sums.fill(0);
      let ofSignal = 0;
      let diagonal = 0;
      for (let i = 0, pair = 0; i < size; i++) {
        for (let j = 0; j < i; j++, pair++) {
          const outer = alpha[i]! * alpha[j]! - matrix[i * size + j]!;
          ofSignal += outer * correlations[pair]!;
          const slope = outer * slopes[pair]!;
          for (let a = 0, at = pair * width; a < width; a++, at++) sums[a] = sums[a]! + slope * separations[at]!;
        }
        diagonal += alpha[i]! * alpha[i]! - matrix[i * size + i]!;
      }
      for (let a = 0; a < width; a++) gradient[a] = signal * weights[a]! * sums[a]!;
      gradient[width] = signal * (ofSignal + 0.5 * diagonal);
      gradient[width + 1] = 0.5 * noise * diagonal;
    }
    return -0.5 * (fit + logDeterminant + size * Math.log(2 * Math.PI));
  };
}

/** Squared distances along each axis of all pairs j < i: [pairs x axes]. */
function pairSeparations(packed: Float64Array, axes: readonly Axis[]): Float64Array {
  const width = axes.length;
  const size = packed.length / Math.max(1, width);
  const separations = new Float64Array(((size * (size - 1)) / 2) * width);
  let at = 0;
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < i; j++) {
      for (const [a, axis] of axes.entries()) separations[at++] = squaredSeparation(axis, packed[i * width + a]!, packed[j * width + a]!);
    }
  }
  return separations;
}
