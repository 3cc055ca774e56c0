/**
 * How far from the best the searches end: simple regret after 12 and 20 evaluations on the functions of
 * peers/regret-problems.js, 20 seeds each, beside random points and what regret-peers.py recorded of Optuna
 * and scikit-optimize.
 */
import { readFileSync } from 'node:fs';
import { normalOf, randomOf } from '../dist/base/numbers/random.js';
import { fitSamples } from '../dist/search/gaussian-process/samples.js';
import { samplerByName } from '../dist/search/sampler/samplers.js';
import { meanOf, regretOf } from './peers/regret-ours.js';
import { PROBLEMS } from './peers/regret-problems.js';
import { table } from './support/measure.js';

const SEEDS = 20;
const EVALUATIONS = [12, 20];
/** Of the mean of random points. */
const GOAL = 0.8;

/**
 * @typedef {{ tool: string, start: string, problem: string, noisy: boolean, evaluations: number, mean:
 *   number, stderr: number }} Recorded
 */

export default async function regret() {
  /** @type {{ versions: Record<string, string>, rows: Recorded[] }} */
  const recorded = JSON.parse(readFileSync(new URL('peers/regret-peers.json', import.meta.url), 'utf8'));
  const results = [];
  for (const problem of PROBLEMS) {
    for (const noisy of [false, true]) {
      const [gp, random] = [await runs(problem, noisy, 'gp'), await runs(problem, noisy, 'random')];
      for (const [at, evaluations] of EVALUATIONS.entries()) {
        const ours = meanOf(gp.map((run) => run[at].believed));
        const byScore = meanOf(gp.map((run) => run[at].observed));
        const ofRandom = meanOf(random.map((run) => run[at].observed));
        const peers = recorded.rows
          .filter((row) => row.problem === problem.name && row.noisy === noisy && row.evaluations === evaluations)
          .map(({ tool, start, mean, stderr }) => ({ tool, start, mean, stderr }));
        results.push({ problem: problem.name, noisy, evaluations, ours, byScore, random: ofRandom, peers });
      }
    }
  }
  table(
    results.map(({ problem, noisy, evaluations, ours, byScore, random, peers }) => ({
      ...{ problem, noise: noisy ? '10 %' : '', evaluations, ours: shown(ours), 'ours by score': shown(byScore), random: shown(random) },
      ...Object.fromEntries(peers.map((peer) => [`${peer.tool}, ${peer.start} start`, shown(peer)])),
      [`at most ${GOAL} of random`]: random.mean === 0 ? '-' : ours.mean <= GOAL * random.mean ? 'yes' : 'no',
    })),
  );
  return { seeds: SEEDS, goal: GOAL, versions: recorded.versions, results };
}

function runs(
  /** @type {import('./peers/regret-problems.js').Problem} */ problem,
  /** @type {boolean} */ noisy,
  /** @type {'gp' | 'random'} */ sampler,
) {
  const parts = { samplerByName, fitSamples, randomOf, normalOf };
  return Promise.all(
    Array.from({ length: SEEDS }, (_, seed) => regretOf(parts, problem, { sampler, seed, noisy, evaluations: EVALUATIONS })),
  );
}

/** @param {{ mean: number, stderr: number }} estimate */
const shown = ({ mean, stderr }) => `${Number(mean.toPrecision(2))} ± ${Number(stderr.toPrecision(1))}`;
