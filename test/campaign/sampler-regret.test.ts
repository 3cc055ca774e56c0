import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { meanOf, regretOf } from '../../bench/peers/regret-ours.js';
import { PROBLEMS } from '../../bench/peers/regret-problems.js';
import { normalOf, randomOf } from '../../src/base/numbers/random.ts';
import { fitSamples } from '../../src/search/gaussian-process/samples.ts';
import { samplerByName } from '../../src/search/sampler/samplers.ts';

/** A part of `npm run bench -- regret`, held to what regret-peers.py recorded of others. */
const PARTS = { samplerByName, fitSamples, randomOf, normalOf };
const { rows } = JSON.parse(readFileSync(new URL('../../bench/peers/regret-peers.json', import.meta.url), 'utf8')) as {
  rows: { tool: string; start: string; problem: string; noisy: boolean; evaluations: number; mean: number; stderr: number }[];
};
const EVALUATIONS = [12, 20];
const problem = (name: string) => PROBLEMS.find((one) => one.name === name)!;

async function regrets(name: string, sampler: 'gp' | 'random', noisy: boolean, seeds: number) {
  const options = { sampler, noisy, evaluations: EVALUATIONS };
  const runs = await Promise.all(Array.from({ length: seeds }, (_, seed) => regretOf(PARTS, problem(name), { ...options, seed })));
  return EVALUATIONS.map((_, at) => meanOf(runs.map((run) => run[at]!.believed)));
}

describe('the problems', () => {
  test.each(PROBLEMS.filter(({ dimensions }) => dimensions === 1))(
    '$name is largest where it says, and no larger anywhere',
    ({ value, greatest }) => {
      const values = Array.from({ length: 100_001 }, (_, k) => value([k / 100_000]));
      expect(Math.max(...values)).toBeLessThanOrEqual(greatest + 1e-12);
      expect(Math.max(...values)).toBeGreaterThan(greatest - 1e-7);
    },
  );

  test('Branin and Hartmann-6 are those of the literature', () => {
    const branin = problem('branin');
    for (const [x, y] of [
      [-Math.PI, 12.275],
      [Math.PI, 2.275],
      [9.42477796, 2.475],
    ] as const)
      expect(branin.value([(x + 5) / 15, y / 15])).toBeCloseTo(branin.greatest, 6);
    const hartmann = problem('hartmann6');
    expect(hartmann.value([0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573])).toBeCloseTo(hartmann.greatest, 5);
  });
});

describe.each([
  { name: 'skewed', noisy: false, seeds: 8 },
  { name: 'narrow peak', noisy: false, seeds: 8 },
  { name: 'narrow peak', noisy: true, seeds: 8 },
  { name: 'two humps', noisy: false, seeds: 8 },
  { name: 'two humps', noisy: true, seeds: 8 },
  { name: 'branin', noisy: false, seeds: 8 },
])('regret on $name, noisy: $noisy', ({ name, noisy, seeds }) => {
  test('is at most 0.8 of that of random points, and no worse than that of Optuna and scikit-optimize but for the luck of seeds', async () => {
    const [ours, random] = [await regrets(name, 'gp', noisy, seeds), await regrets(name, 'random', noisy, 40)];
    for (const [at, evaluations] of EVALUATIONS.entries()) {
      expect(ours[at]!.mean).toBeLessThanOrEqual(0.8 * random[at]!.mean);
      const peers = rows.filter((row) => row.problem === name && row.noisy === noisy && row.evaluations === evaluations);
      expect(peers).toHaveLength(4);
      // Two standard errors of the difference, and a thousandth of the range where nobody has any regret
      // left.
      for (const peer of peers) {
        const luck = 2 * Math.hypot(peer.stderr, ours[at]!.stderr) + 0.001 * (10 * problem(name).noise);
        expect(ours[at]!.mean, `${peer.tool}, ${peer.start} start`).toBeLessThanOrEqual(peer.mean + luck);
      }
    }
  });
});

test('the same seed searches the same', async () => {
  const options = { sampler: 'gp', seed: 7, noisy: true, evaluations: [12] } as const;
  expect(await regretOf(PARTS, problem('two humps'), options)).toEqual(await regretOf(PARTS, problem('two humps'), options));
});
