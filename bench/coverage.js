/**
 * Do the 95 % intervals of a search hold the true gain, and how often is a gain claimed where there is none?
 * 250 seeds each, with noise of 20 to 25 % of the range of a function: the priors of a conclusion were chosen
 * on the problems of `bench/regret.js`, and the shapes of peers/coverage-problems.js are what is reported. Then
 * 1,000 searches whose recipes are all equal. Takes some 10 minutes of a core.
 */
import { normalOf, randomOf } from '../dist/base/numbers/random.js';
import { conclude } from '../dist/search/conclusion/conclude.js';
import { samplerByName } from '../dist/search/sampler/samplers.js';
import { concludedSearch, trialsOf } from './peers/coverage-ours.js';
import { HELD_OUT } from './peers/coverage-problems.js';
import { PROBLEMS } from './peers/regret-problems.js';
import { table } from './support/measure.js';

const SEEDS = 250;
const EQUAL_SEEDS = 1000;
const PARTS = { samplerByName, conclude, randomOf, normalOf };

export default async function coverage() {
  const heldOut = await all(HELD_OUT);
  const equal = await claimsOverEqual();
  const chosenOn = await all(PROBLEMS);
  return { seeds: SEEDS, heldOut, equal, chosenOn };
}

async function all(/** @type {readonly import('./peers/regret-problems.js').Problem[]} */ problems) {
  const rows = [];
  for (const problem of problems) rows.push(await covered(problem));
  const [intervals, hold] = [sum(rows, 'intervals'), sum(rows, 'hold')];
  table([
    ...rows.map(({ problem, trials, intervals: of, hold: held, above, below, claims }) => ({
      ...{ problem, trials, intervals: of, 'hold the truth': percent(held / of), above, below, claims: percent(claims / SEEDS) },
    })),
    { problem: 'pooled', trials: '', intervals, 'hold the truth': percent(hold / intervals), above: '', below: '', claims: '' },
  ]);
  return { rows, share: hold / intervals };
}

async function covered(/** @type {import('./peers/regret-problems.js').Problem} */ problem) {
  const counts = { intervals: 0, hold: 0, above: 0, below: 0, claims: 0 };
  for (let seed = 0; seed < SEEDS; seed++) {
    const { truth, interval, claimed } = await concludedSearch(PARTS, problem, seed);
    if (claimed) counts.claims++;
    if (interval === null) continue;
    counts.intervals++;
    counts[truth > interval[1] ? 'above' : truth < interval[0] ? 'below' : 'hold']++;
  }
  return { problem: problem.name, trials: trialsOf(problem), ...counts };
}

/** How often a gain is claimed over a function without any, be it of a baseline over the newest. */
async function claimsOverEqual() {
  const flat = { name: 'equal', dimensions: 1, value: () => 0.5, greatest: 0.5, noise: 0.1 };
  let claims = 0;
  for (let seed = 0; seed < EQUAL_SEEDS; seed++) if ((await concludedSearch(PARTS, flat, 1000 + seed)).claimed) claims++;
  console.log(`claims over equal recipes: ${percent(claims / EQUAL_SEEDS)} of ${EQUAL_SEEDS} searches of ${trialsOf(flat)} trials`);
  return { searches: EQUAL_SEEDS, claims };
}

/** @template {string} K @param {readonly Readonly<Record<K, number>>[]} rows @param {K} of */
const sum = (rows, of) => rows.reduce((total, row) => total + row[of], 0);

/** @param {number} share */
const percent = (share) => `${(100 * share).toFixed(1)} %`;
