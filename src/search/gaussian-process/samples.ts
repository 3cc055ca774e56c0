import { type Random, randomOf } from '../../base/numbers/random.ts';
import type { Axis } from './cube.ts';
import { type FitOptions, fitHyper, partOf, startsOf } from './fit.ts';
import { likelihoodOf } from './likelihood.ts';
import { coordinatesOf, hyperAt, logPrior, logVolume, offsetOf } from './prior.ts';
import { type Observations, type Process, processOf, standardise, standardOf } from './process.ts';

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
  const offset = offsetOf(purpose);
  const model = { kernel, axes, points: observations.points, offset, ...standardise(observations, standard) };
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
    return processOf(observations, { axes, kernel, hyper: hyperAt(x), standard, offset });
  });
}

/** Width of a first interval, in the logarithms of hyperparameters that are sampled here. */
const WIDTH = 2;
/** Steps that an interval grows by to a side, at most; a tail without end must not hold up a sweep. */
const STEPS_OUT = 6;

/**
 * One sweep of slice sampling: each coordinate in turn is drawn anew given the others (Neal, Annals of
 * Statistics 31, 2003: stepping out, figure 3, and shrinkage, figure 5).
 *
 * @param density log density, up to a constant; −∞ where there is none
 * @param x where it is finite
 */
export function sliceSweep(density: (x: Float64Array) => number, x: Float64Array, random: Random): Float64Array {
  let at = x;
  let height = density(at);
  for (let i = 0; i < x.length; i++) {
    const level = height + Math.log(1 - random());
    const origin = at[i]!;
    const heightAt = (value: number) => density(at.with(i, value));
    let low = origin - WIDTH * random();
    let high = low + WIDTH;
    // The steps out are dealt to the two sides at random, which a limit on them needs to stay exact.
    let [left, right] = dealt(random);
    while (left-- > 0 && heightAt(low) > level) low -= WIDTH;
    while (right-- > 0 && heightAt(high) > level) high += WIDTH;
    for (;;) {
      const value = low + random() * (high - low);
      const there = value === origin ? height : heightAt(value);
      if (there > level || value === origin) {
        at = at.with(i, value);
        height = there;
        break;
      }
      if (value < origin) low = value;
      else high = value;
    }
  }
  return at;
}

function dealt(random: Random): [number, number] {
  const left = Math.floor(random() * STEPS_OUT);
  return [left, STEPS_OUT - 1 - left];
}
