import type { Point } from './cube.ts';
import type { AcquisitionName } from './names.ts';
import { logImprovement, normalCdf, normalPdf } from './normal.ts';
import type { Prediction } from './posterior.ts';
import type { Process } from './process.ts';

/** Standard deviations that the upper confidence bound adds. Ours, as in scikit-optimize. */
export const KAPPA = 1.96;
/**
 * Improvement that is asked for beyond the best, in standardised units. Ours, as in scikit-optimize, which
 * asks it in raw units.
 */
export const XI = 0.01;

export interface AcquisitionOptions {
  readonly kappa?: number;
  readonly xi?: number;
}

/**
 * Values of an acquisition function, one a point; the larger, the better a next trial. With z = (mean − best
 * − ξ)/std: EI = std (φ(z) + z Φ(z)) (Jones, Schonlau and Welch 1998, eq. 15), its logarithm without
 * underflow (Ament et al. 2023), PI = Φ(z), UCB = mean + κ std.
 *
 * @param prediction in standardised units
 * @param best what is to be improved on, in the same units; UCB does not look at it
 */
export function acquisitionValues(
  name: AcquisitionName,
  { mean, std }: Prediction,
  best: number,
  { kappa = KAPPA, xi = XI }: AcquisitionOptions = {},
): Float64Array {
  return mean.map((at, i) => {
    const spread = std[i]!;
    if (name === 'ucb') return at + kappa * spread;
    const gain = at - best - xi;
    if (spread === 0) return certain(name, gain);
    const z = gain / spread;
    if (name === 'pi') return normalCdf(z);
    return name === 'ei' ? spread * (normalPdf(z) + z * normalCdf(z)) : Math.log(spread) + logImprovement(z);
  });
}

/** The limit where nothing is uncertain. */
function certain(name: 'ei' | 'logei' | 'pi', gain: number): number {
  if (name === 'pi') return gain > 0 ? 1 : 0;
  return name === 'ei' ? Math.max(0, gain) : Math.log(Math.max(0, gain));
}

/**
 * The largest posterior mean among the points a process stands on, in raw units: what is to be improved on
 * where values are noisy.
 */
export function incumbent(process: Process): { readonly point: Point; readonly mean: number } {
  const { mean } = process.predict(process.points);
  const at = mean.reduce((best, value, i) => (value > mean[best]! ? i : best), 0);
  return { point: process.points[at]!, mean: mean[at]! };
}

/**
 * An acquisition function of a process, as `maximise` takes it. It is computed in standardised units, so that
 * ξ and κ mean the same for accuracies and for losses.
 *
 * @param best in raw units, as {@link incumbent} gives it
 */
export function acquisitionOf(
  process: Process,
  name: AcquisitionName,
  best: number,
  options?: AcquisitionOptions,
): (points: readonly Point[]) => Float64Array {
  const { mean, scale } = process.standard;
  return (points) => {
    const raw = process.predict(points);
    const standardised = { mean: raw.mean.map((m) => (m - mean) / scale), std: raw.std.map((s) => s / scale) };
    return acquisitionValues(name, standardised, (best - mean) / scale, options);
  };
}
