import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { concludedSearch } from '../../bench/peers/coverage-ours.js';
import { PROBLEMS, type Problem } from '../../bench/peers/regret-problems.js';
import { normalOf, randomOf } from '../../src/base/numbers/random.ts';
import { type Concluded, conclude } from '../../src/search/conclusion/conclude.ts';
import type { Axis } from '../../src/search/gaussian-process/cube.ts';
import { samplerByName } from '../../src/search/sampler/samplers.ts';
import type { Observed } from '../../src/search/sampler/types.ts';
import type { ScoredTrial } from '../../src/search/study/types.ts';

// Whole searches over scores that no model should believe as they come: takes half a minute.

const LINE: readonly Axis[] = [{ kind: 'real' }];
const BASELINES = [
  { name: 'newest', label: 'newest', trial: 0 },
  { name: 'uniform', label: 'uniform mean', trial: 1 },
] as const;

interface Searched {
  readonly observed: readonly (Observed & { readonly value: number })[];
  readonly concluded: Concluded;
}

/** A search over λ for the least score: newest, uniform mean, then the sampler's trials. */
async function searched(
  score: (lambda: number, trial: number) => number,
  { seed, trials = 12 }: { seed: number; trials?: number },
): Promise<Searched> {
  const sampler = samplerByName('gp', { axes: LINE, initial: [[0], [1], [0.5]], seed, trials });
  const observed: (Observed & { readonly value: number })[] = [];
  const add = (x: number, by: string | null, proposals: Observed['proposals'] = null) => {
    const id = observed.length;
    observed.push({ id, point: [x], value: -score(x, id), variance: null, by, proposals });
  };
  add(1, null);
  add(0, null);
  const isTaken = async (point: readonly number[]) => observed.some((trial) => trial.point[0] === point[0]);
  while (observed.length < trials) {
    const [next] = await sampler.propose({ observed, pending: [], proposed: observed.length - 2, isTaken }, 1);
    add(next!.point[0]!, next!.by, next!.proposals ?? null);
  }
  const asTrial = ({ id, value, point }: Searched['observed'][number]): ScoredTrial => ({
    ...{ id, kind: id === 0 ? 'newest' : id === 1 ? 'uniform' : 'trial', params: { x: point[0]! }, recipe: `r${id}`, status: 'complete' },
    ...{ score: -value, stderr: null, items: null, metrics: {}, weights: [], parts: [], source: null, reason: null, by: null },
    ...{ proposals: null, repeatOf: null, seconds: 1, mergeSeconds: 0, cost: null, time: '2026-01-01T00:00:00Z' },
  });
  const space = { axes: LINE, encode: ({ x }: Record<string, number | string>) => [Number(x)] };
  const concluded = conclude({ goal: 'minimize', noise: 'shared', seed, trials: observed.map(asTrial), space, baselines: BASELINES });
  return { observed, concluded };
}

const lossAt = (x: number) => 10 + 2 * (x - 0.6) ** 2;

describe('scores over orders of magnitude', () => {
  test.each(Array.from({ length: 20 }, (_, seed) => seed))('one score of 1e9 decides nothing, seed %i', async (seed) => {
    const normal = normalOf(randomOf(seed, 5));
    const broken = 2 + (seed % 10);
    const { observed, concluded } = await searched((x, trial) => (trial === broken ? 1e9 : lossAt(x) + 0.05 * normal()), { seed });
    const best = observed[concluded.best!]!;
    expect(concluded.best).not.toBe(broken);
    // The newest is 10.32 and the uniform mean 10.72; the least there is 10.
    expect(lossAt(best.point[0]!)).toBeLessThan(10.25);
    const { mean, std } = concluded.posterior.get(concluded.best!)!;
    expect(Math.abs(mean - 10)).toBeLessThan(0.3);
    expect(std).toBeLessThan(0.35);
    expect(concluded.posterior.has(broken)).toBe(false);
    expect(concluded.conclusion.bounded).toEqual([broken]);
    expect(concluded.conclusion.text).toMatch(new RegExp(`Trial ${broken} \\(\\S+\\) scored far worse than the others`));
    if (concluded.conclusion.gain !== null) expect(Math.abs(concluded.conclusion.gain - 0.3)).toBeLessThan(0.4);
  });

  test.each(Array.from({ length: 8 }, (_, seed) => seed))('one loss of -1e9 decides nothing, and is told, seed %i', async (seed) => {
    const normal = normalOf(randomOf(seed, 5));
    const broken = 2 + seed;
    const { concluded } = await searched((x, trial) => (trial === broken ? -1e9 : lossAt(x) + 0.05 * normal()), { seed });
    expect(concluded.conclusion.tooGood).toEqual([broken]);
    expect(concluded.conclusion.text).toMatch(
      new RegExp(`^Trial ${broken} \\(-1\\.000e9\\) scored so far better than all others that it may be a fault of the evaluator`),
    );
    // What is said of the others is in their own units.
    for (const [, { mean, std }] of concluded.posterior) {
      expect(Math.abs(mean - 10.3)).toBeLessThan(0.8);
      expect(std).toBeLessThan(0.6);
    }
    const { gain } = concluded.conclusion;
    if (gain !== null) expect(Math.abs(gain)).toBeLessThan(2);
  });

  test('a perplexity that explodes to one side, 20 seeds: the answer is no worse than the newest, and near the least that was seen', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const perplexity = (x: number) => 8 + 4 * (x - 0.8) ** 2 + Math.exp(20 * (0.45 - x));
      const { observed, concluded } = await searched(perplexity, { seed });
      const own = -observed[concluded.best!]!.value;
      expect(own).toBeLessThan(perplexity(1));
      expect(own).toBeLessThan(8.03);
    }
  });

  test('an outlier among the baselines leaves the gain over the other one in its own units', async () => {
    const { concluded } = await searched((x) => (x === 0 ? 1e6 : lossAt(x)), { seed: 3 });
    expect(concluded.conclusion).toMatchObject({ against: 'newest', gainClaimed: true, bounded: [1] });
    expect(concluded.conclusion.gain).toBeCloseTo(0.32, 1);
  });

  test('where both baselines are outliers, the gain is said to be larger than it says', async () => {
    const { concluded } = await searched((x) => (x === 0 || x === 1 ? 1e9 : lossAt(x)), { seed: 3 });
    expect(concluded.conclusion.gainClaimed).toBe(true);
    expect(concluded.conclusion.text).toMatch(
      /The (newest|uniform mean) is one of them: the gain over it is rather larger than it says here\./,
    );
    expect(Math.abs(concluded.posterior.get(concluded.best!)!.mean - 10)).toBeLessThan(0.3);
  });
});

describe('scores without differences', () => {
  test.each([
    { name: 'equal', noise: 0 },
    { name: 'noisy', noise: 0.1 },
  ])('spread the trials that the model chooses: $name', async ({ noise }) => {
    let ends = 0;
    for (let seed = 0; seed < 4; seed++) {
      const normal = normalOf(randomOf(seed, 6));
      const { observed } = await searched(() => 3 + noise * normal(), { seed, trials: 30 });
      const late = observed.slice(7).map(({ point }) => point[0]!);
      ends += late.filter((x) => x < 0.01 || x > 0.99).length / late.length / 4;
      const sorted = observed.map(({ point }) => point[0]!).toSorted((a, b) => a - b);
      expect(Math.max(...sorted.slice(1).map((x, i) => x - sorted[i]!))).toBeLessThan(0.16);
    }
    expect(ends).toBeLessThan(0.3);
  });
});

describe('20 fixed seeds', () => {
  const file = new URL('../golden/sampler/outcomes.json', import.meta.url);
  const parts = { samplerByName, conclude, randomOf, normalOf };
  const problems = ['quadratic', 'skewed', 'narrow peak', 'two humps', 'flat'].map((name) => PROBLEMS.find((one) => one.name === name)!);
  const outcomeOf = async (problem: Problem, seed: number) => {
    const { best, truth, interval, claimed } = await concludedSearch(parts, problem, seed);
    const rounded = (value: number) => Number(value.toPrecision(6));
    return { problem: problem.name, seed, best, truth: rounded(truth), interval: interval?.map(rounded) ?? null, claimed };
  };

  // RECORD=1 writes them anew, after a change that is meant to change them.
  test('end as they were recorded', async () => {
    const outcomes = [];
    for (const problem of problems) for (let seed = 0; seed < 4; seed++) outcomes.push(await outcomeOf(problem, seed));
    if (process.env.RECORD === '1') writeFileSync(file, `${JSON.stringify(outcomes, null, 1)}\n`);
    const recorded: typeof outcomes = JSON.parse(readFileSync(file, 'utf8'));
    expect(outcomes).toHaveLength(20);
    for (const [i, outcome] of outcomes.entries()) {
      const { interval, truth, ...rest } = outcome;
      expect(rest).toEqual((({ interval: _, truth: __, ...of }) => of)(recorded[i]!));
      expect(truth).toBeCloseTo(recorded[i]!.truth, 4);
      expect(interval === null).toBe(recorded[i]!.interval === null);
      for (const side of [0, 1]) if (interval !== null) expect(interval[side]!).toBeCloseTo(recorded[i]!.interval![side]!, 3);
    }
  });
});
