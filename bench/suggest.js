/**
 * What a search spends between two trials: the next proposal of the Gaussian process after 20, 60 and 200
 * trials, in 1, 3 and 8 dimensions, fit and maximum of the acquisition function together. After 200 trials in
 * 8 dimensions it is to take less than half a second.
 */
import { randomOf } from '../dist/base/numbers/random.js';
import { gpSampler } from '../dist/search/sampler/gp-sampler.js';
import { spread, summary, table, timed } from './support/measure.js';

const GOAL_SECONDS = 0.5;

/** @param {import('./support/context.js').Context} context */
export default async function suggest(context) {
  const results = [];
  for (const dimensions of [1, 3, 8]) {
    for (const trials of [20, 60, 200]) {
      const seconds = [];
      // The first proposal of a process is slower by what the engine spends on compiling: it is measured too,
      // as the first of the rounds.
      for (let seed = 0; seed < Math.max(5, context.rounds); seed++) {
        const sampler = gpSampler({ axes: Array.from({ length: dimensions }, () => ({ kind: 'real' })), initial: [], seed });
        const history = tried(trials, dimensions, seed);
        seconds.push(await timed(() => sampler.propose(history, 1)));
      }
      results.push({ dimensions, trials, seconds: summary(seconds) });
    }
  }
  table(
    results.map((r) => ({
      ...{ dimensions: r.dimensions, trials: r.trials, 'seconds, median (range)': spread(r.seconds) },
      'goal s': r.dimensions === 8 && r.trials === 200 ? GOAL_SECONDS : '-',
    })),
  );
  return { goalSeconds: GOAL_SECONDS, results };
}

/**
 * Trials at random points of a function with a ridge, a wave and noise.
 * @returns {import('../dist/search/sampler/types.js').History}
 */
function tried(/** @type {number} */ trials, /** @type {number} */ dimensions, /** @type {number} */ seed) {
  const random = randomOf(seed, dimensions);
  const observed = Array.from({ length: trials }, (_, id) => {
    const point = Array.from({ length: dimensions }, random);
    const value = Math.sin(5 * point[0]) + point[dimensions - 1] * point[dimensions >> 1] + 0.1 * random();
    return { id, point, value, variance: null, by: null, proposals: null };
  });
  return { observed, pending: [], proposed: trials, isTaken: async () => false };
}
