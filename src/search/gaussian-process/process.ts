import type { Axis, Point } from './cube.ts';
import type { Hyper } from './kernels.ts';
import type { KernelName } from './names.ts';
import { type Joint, type Posterior, type Prediction, posteriorOf } from './posterior.ts';

/** Values seen at points of the cube, in raw units; points may repeat. */
export interface Observations {
  readonly points: readonly Point[];
  readonly values: readonly number[];
  /** Known variance of the noise of each value, null where it is not known. */
  readonly variances?: readonly (number | null)[];
}

/** Standardised values are (raw − mean)/scale. */
export interface Standard {
  readonly mean: number;
  /** Standard deviation of the values (over n, not n − 1); 1 where they are all equal. */
  readonly scale: number;
}

/**
 * A Gaussian process fitted to observations. All values it takes and gives are in raw units, of which larger
 * is not better in itself.
 */
export interface Process {
  readonly axes: readonly Axis[];
  readonly kernel: KernelName;
  /** In standardised units. */
  readonly hyper: Hyper;
  readonly standard: Standard;
  /** See `ProcessModel`; in standardised units. */
  readonly offset: number;
  /** What it stands on, believed observations included. */
  readonly points: readonly Point[];
  /** Mean and standard deviation of the function, without the noise of a value. */
  predict(points: readonly Point[]): Prediction;
  joint(points: readonly Point[]): Joint;
  /**
   * The process had these values been observed too, with its hyperparameters and its standard.
   *
   * @param values without them the means at these points: the Kriging believer of Ginsbourger, Le Riche and
   * Carraro (2010), which lowers the uncertainty around points whose values are still to come
   */
  condition(points: readonly Point[], values?: readonly number[]): Process;
}

/**
 * @throws RangeError without values, with one that is not finite, or with points and values of different
 *   numbers
 */
export function standardOf({ points, values }: Observations): Standard {
  if (values.length === 0) throw new RangeError('a Gaussian process needs at least one value');
  if (points.length !== values.length) throw new RangeError(`${points.length} points, but ${values.length} values`);
  if (!values.every(Number.isFinite)) throw new RangeError('a Gaussian process takes finite values only');
  const mean = values.reduce((sum, value) => sum + value / values.length, 0);
  const farthest = values.reduce((most, value) => Math.max(most, Math.abs(value - mean)), 0);
  // In units of the farthest, whose square is then no overflow.
  const scale = farthest * Math.sqrt(values.reduce((sum, value) => sum + ((value - mean) / (farthest || 1)) ** 2 / values.length, 0));
  // The mean of equal values is equal to them but for rounding.
  return { mean, scale: scale > 1e-13 * Math.abs(mean) ? scale : 1 };
}

/** Values and variances in the units of a standard. */
export function standardise(
  { values, variances }: Observations,
  { mean, scale }: Standard,
): { values: Float64Array; variances: Float64Array } {
  return {
    values: Float64Array.from(values, (value) => (value - mean) / scale),
    variances: Float64Array.from(values, (_, i) => (variances?.[i] ?? 0) / scale / scale),
  };
}

/**
 * The process with given hyperparameters.
 *
 * @param hyper in units of the standard
 */
export function processOf(
  observations: Observations,
  { axes, kernel, hyper, standard, offset = 0 }: Pick<Process, 'axes' | 'kernel' | 'hyper' | 'standard'> & Partial<Pick<Process, 'offset'>>,
): Process {
  const { points } = observations;
  return inRawUnits(posteriorOf({ kernel, hyper, axes, points, offset, ...standardise(observations, standard) }), standard);
}

function inRawUnits(posterior: Posterior, standard: Standard): Process {
  const { axes, kernel, hyper, points, offset = 0 } = posterior.model;
  const { mean, scale } = standard;
  const raw = (value: number) => mean + scale * value;
  return {
    axes,
    kernel,
    hyper,
    standard,
    offset,
    points,
    predict: (at) => {
      const standardised = posterior.predict(at);
      return { mean: standardised.mean.map(raw), std: standardised.std.map((s) => s * scale) };
    },
    joint: (at) => {
      const standardised = posterior.joint(at);
      return { mean: standardised.mean.map(raw), covariance: standardised.covariance.map((c) => c * scale * scale) };
    },
    condition: (at, values) => {
      const believed = values?.map((value) => (value - mean) / scale) ?? posterior.predict(at).mean;
      return inRawUnits(posterior.extend(at, believed), standard);
    },
  };
}
