/**
 * Our samplers on the problems of regret-problems.js. What it runs is handed in, so that a test runs the
 * sources and the bench what is built from them.
 *
 * @typedef {object} Parts
 * @property {typeof import('../../src/search/sampler/samplers.ts').samplerByName} samplerByName
 * @property {typeof import('../../src/search/gaussian-process/samples.ts').fitSamples} fitSamples
 * @property {typeof import('../../src/base/numbers/random.ts').randomOf} randomOf
 * @property {typeof import('../../src/base/numbers/random.ts').normalOf} normalOf
 */

/** First points: bounds and midpoint of lambda as in `merge search`, the centre of a cube. */
const FIRST = new Map([[1, [[0], [1], [0.5]]]]);

/**
 * One search.
 *
 * @param {Parts} parts
 * @param {import('./regret-problems.js').Problem} problem
 * @param {{ sampler: import('../../src/search/sampler/names.ts').SamplerName, seed: number, noisy:
 *   boolean, evaluations: readonly number[] }} options
 * @returns {Promise<{ evaluations: number, observed: number, believed: number }[]>} true regret of the point
 * with the best score, and of the tried point with the largest mean of the model, which is what a search
 * recommends (the former where there is no model)
 */
export async function regretOf({ samplerByName, fitSamples, randomOf, normalOf }, problem, { sampler: name, seed, noisy, evaluations }) {
  const { dimensions, value, greatest, noise } = problem;
  const axes = Array.from({ length: dimensions }, () => /** @type {const} */ ({ kind: 'real' }));
  const initial = FIRST.get(dimensions) ?? [new Array(dimensions).fill(0.5)];
  const trials = Math.max(...evaluations);
  const sampler = samplerByName(name, { axes, initial, seed, trials });
  const normal = normalOf(randomOf(seed, 99));
  /** @type {import('../../src/search/sampler/types.ts').Observed[]} */
  const observed = [];
  while (observed.length < trials) {
    const isTaken = async (/** @type {readonly number[]} */ point) => observed.some((trial) => String(trial.point) === String(point));
    const [{ point, by, proposals }] = await sampler.propose({ observed, pending: [], proposed: observed.length, isTaken }, 1);
    const score = value(point) + (noisy ? noise * normal() : 0);
    observed.push({ id: observed.length, point, value: score, variance: null, by, proposals: proposals ?? null });
  }
  return evaluations.map((count) => {
    const points = observed.slice(0, count).map((trial) => trial.point);
    const values = observed.slice(0, count).map((trial) => Number(trial.value));
    const regretAt = (/** @type {readonly number[]} */ scores) => greatest - value(points[scores.indexOf(Math.max(...scores))]);
    const means =
      name === 'gp' && noisy
        ? fitSamples({ points, values }, axes, { count: 32, seed }).map((process) => process.predict(points).mean)
        : [];
    const believed = means.length > 0 ? points.map((_, i) => means.reduce((sum, mean) => sum + mean[i], 0)) : values;
    return { evaluations: count, observed: regretAt(values), believed: regretAt(believed) };
  });
}

/** Mean and its standard error. @param {readonly number[]} values */
export function meanOf(values) {
  const mean = values.reduce((sum, v) => sum + v / values.length, 0);
  const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (values.length - 1);
  return { mean, stderr: Math.sqrt(variance / values.length) };
}
