/**
 * Whole searches on the problems of regret-problems.js, concluded as `merge search` concludes them: does the
 * interval hold the true gain? What it runs is handed in, so that a test runs the sources and the bench what is
 * built from them.
 *
 * @typedef {object} Parts
 * @property {typeof import('../../src/search/sampler/samplers.ts').samplerByName} samplerByName
 * @property {typeof import('../../src/search/conclusion/conclude.ts').conclude} conclude
 * @property {typeof import('../../src/base/numbers/random.ts').randomOf} randomOf
 * @property {typeof import('../../src/base/numbers/random.ts').normalOf} normalOf
 *
 * @typedef {object} Outcome
 * @property {number} best index of the recommended point among those tried; 0 is the newest, 1 the uniform mean
 * @property {number} truth true gain of the recommended point over the baseline that it is compared with
 * @property {readonly [number, number] | null} interval of that gain; null where a baseline is the best
 * @property {boolean} claimed a gain is claimed, be it of a baseline over the newest
 */

/** Noise, as a part of the range of a function: evenly over these. */
const NOISE = [0.2, 0.25];

/** @param {import('./regret-problems.js').Problem} problem */
export const trialsOf = ({ dimensions }) => (dimensions === 1 ? 12 : 20);

/**
 * One search: the newest at one end (corner) of the space and the uniform mean at the other (the centre), then
 * what the sampler proposes.
 *
 * @param {Parts} parts
 * @param {import('./regret-problems.js').Problem} problem
 * @param {number} seed
 * @returns {Promise<Outcome>}
 */
export async function concludedSearch({ samplerByName, conclude, randomOf, normalOf }, problem, seed) {
  const { dimensions, value, noise } = problem;
  const axes = Array.from({ length: dimensions }, () => /** @type {const} */ ({ kind: 'real' }));
  const [corner, centre] = [new Array(dimensions).fill(1), new Array(dimensions).fill(0.5)];
  const initial = dimensions === 1 ? [[0], [1], [0.5]] : [centre];
  const trials = trialsOf(problem);
  const sampler = samplerByName('gp', { axes, initial, seed, trials });
  // The noise of a problem is a tenth of its range.
  const spread = 10 * noise * (NOISE[0] + (NOISE[1] - NOISE[0]) * randomOf(seed, 98)());
  const normal = normalOf(randomOf(seed, 99));
  /** @type {(import('../../src/search/sampler/types.ts').Observed & { readonly value: number })[]} */
  const observed = [];
  const score = (
    /** @type {readonly number[]} */ point,
    /** @type {string | null} */ by = null,
    /** @type {Readonly<Record<string, readonly number[]>> | null} */ proposals = null,
  ) => {
    observed.push({ id: observed.length, point, value: value(point) + spread * normal(), variance: null, by, proposals });
  };
  score(corner);
  score(dimensions === 1 ? [0] : centre);
  const isTaken = async (/** @type {readonly number[]} */ point) => observed.some((trial) => String(trial.point) === String(point));
  while (observed.length < trials) {
    const [{ point, by, proposals }] = await sampler.propose({ observed, pending: [], proposed: observed.length - 2, isTaken }, 1);
    score(point, by, proposals ?? null);
  }
  const { conclusion, best } = conclude({
    ...{ goal: 'maximize', noise: 'shared', seed },
    trials: observed.map(({ id, value: scored, point }) => asTrial(id, scored, point)),
    space: { axes, encode: ({ at }) => String(at).split(',').map(Number) },
    baselines: [
      { name: 'newest', label: 'newest', trial: 0 },
      { name: 'uniform', label: 'uniform mean', trial: 1 },
    ],
  });
  const truthAt = (/** @type {number} */ id) => value(observed[id].point);
  return {
    best: Number(best),
    truth: truthAt(Number(best)) - truthAt(conclusion.against === 'newest' ? 0 : 1),
    interval: conclusion.interval,
    claimed: conclusion.gainClaimed || /is better than the newest/.test(conclusion.text),
  };
}

/**
 * @param {number} id @param {number} score @param {readonly number[]} point
 * @returns {import('../../src/search/study/types.ts').ScoredTrial}
 */
function asTrial(id, score, point) {
  const kind = id === 0 ? 'newest' : id === 1 ? 'uniform' : 'trial';
  return {
    ...{ id, kind, params: { at: point.join() }, recipe: `r${id}`, status: 'complete', score, stderr: null, items: null, metrics: {} },
    ...{ weights: [], parts: [], source: null, reason: null, by: null, proposals: null, repeatOf: null },
    ...{ seconds: 1, mergeSeconds: 0, cost: null, time: '2026-01-01T00:00:00Z' },
  };
}
