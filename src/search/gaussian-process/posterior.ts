import { dot } from '../../base/numbers/matrix.ts';
import { type Axis, type Point, packPoints } from './cube.ts';
import { covariances, type Hyper } from './kernels.ts';
import { choleskyFactor, solveLower, solveUpper } from './linear-algebra.ts';
import type { KernelName } from './names.ts';

/** A Gaussian process of mean 0 and what was observed of it, all in one unit. */
export interface ProcessModel {
  readonly kernel: KernelName;
  readonly hyper: Hyper;
  readonly axes: readonly Axis[];
  readonly points: readonly Point[];
  readonly values: ArrayLike<number>;
  /** Known variance of the noise of each value, in addition to `hyper.noise`; 0 without. */
  readonly variances?: ArrayLike<number>;
  /**
   * Variance of an unknown constant about which the function varies, 0 without: with a large one nothing is
   * taken for known of its level. The mean of the values is no substitute where they were sought around a
   * maximum.
   */
  readonly offset?: number;
}

/** Mean and standard deviation of the function, without the noise of a value, at each of some points. */
export interface Prediction {
  readonly mean: Float64Array;
  readonly std: Float64Array;
}

/** Mean and covariance [points x points] of the function at some points together. */
export interface Joint {
  readonly mean: Float64Array;
  readonly covariance: Float64Array;
}

/**
 * What is known of a Gaussian process after its observations (Rasmussen and Williams 2006, algorithm 2.1), in
 * the units of the model.
 */
export interface Posterior {
  readonly model: ProcessModel;
  /** Natural logarithm of the density of the values (their eq. 2.30). */
  readonly logMarginalLikelihood: number;
  predict(points: readonly Point[]): Prediction;
  joint(points: readonly Point[]): Joint;
  /**
   * The posterior with more observations under the same hyperparameters, in n² instead of n³ steps for each.
   */
  extend(points: readonly Point[], values: ArrayLike<number>): Posterior;
}

/** Points predicted at a time, so that their covariances stay in the cache. */
const BLOCK = 256;

/**
 * @throws RangeError where the covariance of the values is not positive definite (repeated points without
 * noise), or a point has another number of coordinates than there are axes
 */
export function posteriorOf(model: ProcessModel): Posterior {
  const { axes, kernel, hyper, offset = 0 } = model;
  const packed = packPoints(model.points, axes);
  const matrix = covariances(kernel, hyper, axes, packed, packed, offset);
  const size = model.points.length;
  for (let i = 0; i < size; i++) matrix[i * size + i] = matrix[i * size + i]! + hyper.noise + (model.variances?.[i] ?? 0);
  return fromFactor(model, packed, choleskyFactor(matrix, size));
}

function fromFactor(model: ProcessModel, packed: Float64Array, lower: Float64Array): Posterior {
  const { axes, kernel, hyper, offset = 0 } = model;
  const size = model.points.length;
  const whitened = Float64Array.from(model.values);
  solveLower(lower, size, whitened);
  let logDeterminant = 0;
  for (let i = 0; i < size; i++) logDeterminant += 2 * Math.log(lower[i * size + i]!);
  const logMarginalLikelihood = -0.5 * (dot(whitened, whitened) + logDeterminant + size * Math.log(2 * Math.PI));
  const alpha = whitened.slice();
  solveUpper(lower, size, alpha);

  /** Means of points and L⁻¹ k(X, x) of each, row after row. */
  const project = (at: Float64Array): { mean: Float64Array; rows: Float64Array } => {
    const rows = covariances(kernel, hyper, axes, at, packed, offset);
    const mean = Float64Array.from({ length: rows.length / size }, (_, p) => dot(rows, alpha, p * size, 0, size));
    solveLower(lower, size, rows);
    return { mean, rows };
  };

  return {
    model,
    logMarginalLikelihood,
    predict: (points) => {
      const mean = new Float64Array(points.length);
      const std = new Float64Array(points.length);
      for (let from = 0; from < points.length; from += BLOCK) {
        const block = project(packPoints(points.slice(from, from + BLOCK), axes));
        mean.set(block.mean, from);
        for (let p = 0; p < block.mean.length; p++) {
          const explained = dot(block.rows, block.rows, p * size, p * size, size);
          std[from + p] = Math.sqrt(Math.max(0, offset + hyper.signal - explained));
        }
      }
      return { mean, std };
    },
    joint: (points) => {
      const at = packPoints(points, axes);
      const { mean, rows } = project(at);
      const covariance = covariances(kernel, hyper, axes, at, at, offset);
      const count = points.length;
      for (let i = 0; i < count; i++) {
        for (let j = 0; j <= i; j++) {
          const left = covariance[i * count + j]! - dot(rows, rows, i * size, j * size, size);
          covariance[i * count + j] = i === j ? Math.max(0, left) : left;
          covariance[j * count + i] = covariance[i * count + j]!;
        }
      }
      return { mean, covariance };
    },
    extend: (points, values) => {
      const more = packPoints(points, axes);
      const all = Float64Array.of(...packed, ...more);
      const total = size + points.length;
      const factor = new Float64Array(total * total);
      for (let i = 0; i < size; i++) factor.set(lower.subarray(i * size, (i + 1) * size), i * total);
      const { rows } = project(more);
      const own = covariances(kernel, hyper, axes, more, more, offset);
      for (let i = 0; i < points.length; i++) {
        const row = factor.subarray((size + i) * total, (size + i + 1) * total);
        row.set(rows.subarray(i * size, (i + 1) * size));
        for (let j = 0; j <= i; j++) {
          const other = factor.subarray((size + j) * total, (size + j + 1) * total);
          const left = own[i * points.length + j]! - dot(row, other, 0, 0, size + j);
          // What is left of a point's variance is at least its noise; less is rounding.
          row[size + j] = i === j ? Math.sqrt(Math.max(hyper.noise, left + hyper.noise)) : left / other[size + j]!;
        }
      }
      const variances = Float64Array.from({ length: total }, (_, i) => (i < size ? (model.variances?.[i] ?? 0) : 0));
      const extended = {
        ...model,
        points: [...model.points, ...points],
        values: [...Array.from(model.values), ...Array.from(values)],
        variances,
      };
      return fromFactor(extended, all, factor);
    },
  };
}
