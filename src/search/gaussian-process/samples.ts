import { randomOf } from '../../base/numbers/random.ts';
import { type FitOptions, fitHyper, partOf, startsOf } from './fit.ts';
import { likelihoodOf } from './likelihood.ts';
import { coordinatesOf, hyperAt, logPrior, logVolume } from './prior.ts';
import { type Observations, type Process, processOf, standardise, standardOf } from './process.ts';
import { sliceSweep } from './slice-sample.ts';
import type { Axis } from './types.ts';

// Draws that nobody sees: before the first one, and up to each one.
const BURN_IN = 10;
const THINNING = 2;

/**
 * Processes with hyperparameters drawn from their posterior distribution, for conclusions that must not hang
 * on one fitted noise. Slice sampling along one coordinate after the other (Neal, Annals of Statistics 31,
 * 2003, figures 3 and 5), started at the fit. Hyperparameters are drawn given at most 64 of the observations,
 * which leaves them rather too uncertain than too sure; the processes stand on all of them.
 *
 * @throws RangeError without observations
 */
export function fitSamples(
  observations: Observations,
  axes: readonly Axis[],
  { kernel = 'matern52', seed = 0, purpose = 'conclusion', count = 16 }: FitOptions & { readonly count?: number } = {},
): Process[] {
  const standard = standardOf(observations);
  const model = { kernel, axes, points: observations.points, ...standardise(observations, standard) };
  const part = partOf(model);
  const likelihood = likelihoodOf(part);
  const density = (x: Float64Array) => {
    const hyper = hyperAt(x);
    return likelihood(hyper) + logPrior(hyper, purpose) + logVolume(x);
  };
  const random = randomOf(seed, 1);
  let x = coordinatesOf(fitHyper(part, purpose, startsOf(axes.length, seed)));
  for (let sweep = 0; sweep < BURN_IN; sweep++) x = sliceSweep(density, x, random);
  return Array.from({ length: count }, () => {
    for (let sweep = 0; sweep < THINNING; sweep++) x = sliceSweep(density, x, random);
    return processOf(observations, { axes, kernel, hyper: hyperAt(x), standard });
  });
}
