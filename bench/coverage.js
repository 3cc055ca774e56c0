/**
 * Do the 95 % intervals of a search hold the true gain, and how often is a gain claimed where there is none?
 * 250 seeds of each function of peers/regret-problems.js, with noise of 20 to 25 % of its range: the priors of
 * a conclusion were chosen on every second of them, and the others are what is reported. Then 1,000 searches
 * whose recipes are all equal. Takes some 15 minutes.
 */
import { normalOf, randomOf } from '../dist/base/numbers/random.js';
import { conclude } from '../dist/search/conclusion/conclude.js';
import { samplerByName } from '../dist/search/sampler/samplers.js';
import { concludedSearch, trialsOf } from './peers/coverage-ours.js';
import { PROBLEMS } from './peers/regret-problems.js';
import { table } from './support/measure.js';

const SEEDS = 250;
/** Searches over equal recipes, beyond the seeds of the flat function above. */
const EQUAL_ARMS = [
  { dimensions: 1, searches: 700 },
  { dimensions: 2, searches: 300 },
];
const PARTS = { samplerByName, conclude, randomOf, normalOf };

export default async function coverage() {
  /** @type {(Awaited<ReturnType<typeof covered>> & { chosenOn: boolean })[]} */
  const rows = [];
  for (const [i, problem] of PROBLEMS.entries()) rows.push({ ...(await covered(problem)), chosenOn: i % 2 === 0 });
  const equal = [];
  for (const { dimensions, searches } of EQUAL_ARMS) {
    const problem = { name: `equal, ${dimensions} parameters`, dimensions, value: () => 0.5, greatest: 0.5, noise: 0.1 };
    let claims = 0;
    for (let seed = 0; seed < searches; seed++) if ((await concludedSearch(PARTS, problem, 1000 + seed)).claimed) claims++;
    equal.push({ dimensions, trials: trialsOf(problem), searches, claims });
  }
  const pooled = [true, false].map((chosenOn) => {
    const of = rows.filter((row) => row.chosenOn === chosenOn);
    const [intervals, hold] = [sum(of, 'intervals'), sum(of, 'hold')];
    return { chosenOn, intervals, hold, share: hold / intervals };
  });
  table(
    rows.map(({ problem, chosenOn, trials, intervals, hold, above, below, claims }) => ({
      ...{ problem, 'priors chosen on it': chosenOn ? 'yes' : 'no', trials, intervals, 'hold the truth': percent(hold / intervals) },
      ...{ 'truth above': above, 'truth below': below, claims: percent(claims / SEEDS) },
    })),
  );
  for (const { chosenOn, share, intervals } of pooled)
    console.log(`pooled, ${chosenOn ? 'chosen on' : 'held out'}: ${percent(share)} of ${intervals} intervals`);
  console.log(`claims over equal recipes: ${percent(sum(equal, 'claims') / sum(equal, 'searches'))} of ${sum(equal, 'searches')}`);
  return { seeds: SEEDS, rows, pooled, equal };
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

/** @template {string} K @param {readonly Readonly<Record<K, number>>[]} rows @param {K} of */
const sum = (rows, of) => rows.reduce((total, row) => total + row[of], 0);

/** @param {number} share */
const percent = (share) => `${(100 * share).toFixed(1)} %`;
