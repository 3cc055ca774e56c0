import { describe, expect, it } from 'vitest';
import type { Goal } from '../../../src/checkpoints/results/types.ts';
import { searchDocument } from '../../../src/search/optimise/document.ts';
import { greedySoup } from '../../../src/search/optimise/greedy.ts';
import { soupRounds } from '../../../src/search/optimise/soup-rounds.ts';
import { recipeKey } from '../../../src/search/space/key.ts';
import type { StudyIdentity, TrialLine } from '../../../src/search/study/trials-file.ts';

type Score = (weights: readonly number[], trial: number) => number | { score: number; items: readonly number[] } | null;

function identityOf(count: number, last = count): StudyIdentity {
  const members = Array.from({ length: count }, (_, i) => ({ path: `run/${i}`, step: 100 * (i + 1), tokens: null, fingerprint: `f${i}` }));
  const pool = members.map((_, i) => i);
  return {
    ...{ kind: 'soup', inputs: ['run'], members, pool, last: pool.slice(-last), evaluator: 'e', metrics: [], goal: null, noise: 'shared' },
    ...{ legs: [{ name: 'soup', parameters: [], axes: [], members: pool }], sampler: 'greedy', seed: 0, policies: [], dtype: null },
  };
}

interface Play {
  readonly goal?: Goal;
  readonly repeats?: number;
  /** Ends after so many new trials, as a kill would. */
  readonly most?: number;
  readonly before?: readonly TrialLine[];
}

/** A soup whose merges are not made: trials as a study would record them. */
async function play(
  identity: StudyIdentity,
  score: Score,
  { goal = 'maximize', repeats = 1, most = Infinity, before = [] }: Play = {},
): Promise<TrialLine[]> {
  const next = soupRounds(identity, repeats);
  const trials = [...before];
  const fingerprints = identity.members.map(({ fingerprint }) => fingerprint);
  for (let rounds = 0; rounds < 100; rounds++) {
    const round = await next(trials, goal, new AbortController().signal);
    if ('ended' in round) return trials;
    for (const [i, { kind, candidate, params }] of round.requests.entries()) {
      const id = round.first + i;
      if (trials.some((trial) => trial.id === id)) continue;
      if (trials.length - before.length >= most) return trials;
      const recipe = recipeKey({ candidate, fingerprints, policies: [], dtype: null });
      const found = score(candidate.weights, id);
      const items = typeof found === 'object' && found !== null ? [{ name: '', weight: 1, digest: 'd', scores: found.items }] : null;
      const value = typeof found === 'object' && found !== null ? found.score : found;
      trials.push({
        ...{ id, kind, params, parts: [], recipe, stderr: null, metrics: {}, source: null, reason: null, by: null, proposals: null },
        weights: candidate.weights.flatMap((weight, m) => (weight === 0 ? [] : [{ path: `run/${m}`, step: 100 * (m + 1), weight }])),
        ...{ status: value === null ? 'failed' : 'complete', score: value, items },
        repeatOf: trials.find((trial) => trial.recipe === recipe)?.id ?? null,
        ...{ seconds: 1, mergeSeconds: 0, cost: null, time: '', point: null, leg: 0, higherIsBetter: null, round: round.first, elapsed: 0 },
        roundSize: round.requests.length,
      });
    }
  }
  throw new Error('the rounds do not end');
}

/** The greedy soup as the paper's recipe 1 reads, straight from the score. */
function twin(count: number, score: (weights: readonly number[]) => number, goal: Goal): readonly number[] {
  const sign = goal === 'maximize' ? 1 : -1;
  const mean = (of: readonly number[]) => Array.from({ length: count }, (_, i) => (of.includes(i) ? 1 / of.length : 0));
  const value = (of: readonly number[]) => sign * score(mean(of));
  const order = Array.from({ length: count }, (_, i) => count - 1 - i).sort((a, b) => value([b]) - value([a]));
  let soup: number[] = [];
  for (const one of order) if (soup.length === 0 || value([...soup, one]) >= value(soup)) soup = [...soup, one];
  return soup.sort((a, b) => a - b);
}

function randoms(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

const keptOf = (identity: StudyIdentity, trials: readonly TrialLine[], goal: Goal = 'maximize') => {
  const { soup } = greedySoup(identity, trials, goal);
  return soup!.tried
    .filter(({ added }) => added)
    .map(({ path }) => Number(path.slice(4)))
    .sort((a, b) => a - b);
};

describe('a greedy soup', () => {
  it('keeps what recipe 1 of the paper keeps, for 60 landscapes in both directions', async () => {
    const sizes = new Set<number>();
    for (let seed = 1; seed <= 60; seed++) {
      const random = randoms(seed);
      const count = 2 + (seed % 6);
      const goal = seed % 2 === 0 ? 'maximize' : 'minimize';
      const target = Array.from({ length: count }, random);
      const score = (w: readonly number[]) => (goal === 'maximize' ? -1 : 1) * w.reduce((sum, x, i) => sum + (x - target[i]!) ** 2, 0);
      const identity = identityOf(count, 10);
      const trials = await play(identity, score, { goal });
      const kept = keptOf(identity, trials, goal);
      expect(kept).toEqual(twin(count, score, goal));
      const { soup, next } = greedySoup(identity, trials, goal);
      expect(next).toBe(null);
      expect(soup!.tried).toHaveLength(count);
      expect(soup!.score).toBe(score(Array.from({ length: count }, (_, i) => (kept.includes(i) ? 1 / kept.length : 0))));
      sizes.add(kept.length);
    }
    // The landscapes are of all sorts.
    expect(sizes.size).toBeGreaterThan(3);
  });

  it('keeps ties, tries the newer of equal ones first, and scores no recipe twice', async () => {
    const identity = identityOf(5);
    const trials = await play(identity, () => 0.5);
    expect(keptOf(identity, trials)).toEqual([0, 1, 2, 3, 4]);
    expect(greedySoup(identity, trials, 'maximize').soup!.tried.map(({ step }) => step)).toEqual([500, 400, 300, 200, 100]);
    // Five alone, the mean of all, and soups of 2, 3 and 4: that of 5 is the mean of all.
    expect(trials.map(({ kind }) => kind)).toEqual(['newest', 'single', 'single', 'single', 'single', 'uniform', 'soup', 'soup', 'soup']);
    expect(new Set(trials.map(({ recipe }) => recipe)).size).toBe(trials.length);
  });

  it('scores the mean of the last of the run beside that of the pool, where they differ', async () => {
    const trials = await play(identityOf(12, 10), () => 0);
    expect(trials.filter(({ kind }) => kind === 'sma').map(({ weights }) => weights.length)).toEqual([10]);
    expect(trials.filter(({ kind }) => kind === 'uniform').map(({ weights }) => weights.length)).toEqual([12]);
  });

  it('leaves out ingredients that have no score, alone or in the soup', async () => {
    const identity = identityOf(5);
    // The third fails alone; whatever holds the second and another one fails.
    const broken = (w: readonly number[]) => w[2] === 1 || (w[1]! > 0 && w[1] !== 1);
    const trials = await play(identity, (w) => (broken(w) ? null : 1 - (w[0]! + 2 * w[1]!) / 10));
    const { soup } = greedySoup(identity, trials, 'maximize');
    expect(keptOf(identity, trials)).toEqual([3, 4]);
    expect(soup!.tried.map(({ step, added, score }) => [step, added, score === null])).toEqual([
      [500, true, false],
      [400, true, false],
      [100, false, false],
      [200, false, true],
    ]);
  });

  it('goes on after a kill at any trial as it would have', async () => {
    const identity = identityOf(6);
    const score = (w: readonly number[]) => -w.reduce((sum, x, i) => sum + (x - [0.5, 0, 0.1, 0, 0.4, 0][i]!) ** 2, 0);
    const whole = await play(identity, score, { repeats: 2 });
    for (let most = 1; most < whole.length; most++) {
      const before = await play(identity, score, { repeats: 2, most });
      expect(before).toHaveLength(most);
      expect(await play(identity, score, { repeats: 2, before })).toEqual(whole);
    }
  });

  it('ends where it is gone on with another number of repeats', async () => {
    const identity = identityOf(4);
    const score = (w: readonly number[]) => w[0]!;
    for (const [then, now] of [
      [3, 1],
      [1, 3],
      [2, 5],
    ] as const) {
      for (const most of [2, 6, 9]) {
        const before = await play(identity, score, { repeats: then, most });
        const trials = await play(identity, score, { repeats: now, before });
        expect(keptOf(identity, trials)).toEqual([0]);
        expect(trials.map(({ id }) => id).sort((a, b) => a - b)).toEqual(trials.map((_, i) => i));
      }
    }
  });

  it('judges by means where recipes are scored several times', async () => {
    const identity = identityOf(2);
    // Alone 1 and 0; together 2, then 0.5: better than 1 by their mean, at first sight and at last.
    const seen = new Map<string, number>();
    const trials = await play(
      identity,
      (w) => {
        if (w[1] === 1) return 1;
        if (w[0] === 1) return 0;
        const again = (seen.get('both') ?? 0) + 1;
        seen.set('both', again);
        return again === 1 ? 2 : 0.5;
      },
      { repeats: 2 },
    );
    expect(greedySoup(identity, trials, 'maximize').soup).toMatchObject({ score: 1.25, left: 0 });
  });
});

describe('the conclusion of a soup', () => {
  const document = (identity: StudyIdentity, trials: readonly TrialLine[]) =>
    searchDocument({
      ...{ identity, goal: 'maximize', trials, validation: undefined, ended: 'exhausted', folder: 'f', output: null, warnings: [] },
      merges: { merges: 0, reads: 0 },
    });

  it('claims nothing of equal checkpoints in nine of ten soups and more, though the greedy one looks better', async () => {
    const identity = identityOf(6);
    const seeds = 100;
    let claimed = 0;
    let looked = 0;
    for (let seed = 1; seed <= seeds; seed++) {
      const random = randoms(seed * 7919);
      const hard = Array.from({ length: 40 }, () => normal(random));
      const trials = await play(identity, () => {
        const items = hard.map((common) => common + 0.5 * normal(random));
        return { score: items.reduce((sum, item) => sum + item, 0) / items.length, items };
      });
      const { conclusion, greedy, baselines } = document(identity, trials);
      if (conclusion.gainClaimed) claimed += 1;
      if (greedy!.score > Math.max(...baselines.filter(({ name }) => name !== 'sma').map(({ score }) => score!))) looked += 1;
    }
    expect(claimed).toBeLessThanOrEqual(seeds / 10);
    expect(looked).toBeGreaterThan(seeds / 20);
  });

  it('claims a gain that is there', async () => {
    const identity = identityOf(5);
    const random = randoms(5);
    const hard = Array.from({ length: 40 }, () => normal(random));
    const trials = await play(identity, (w) => {
      const gain = 4 * (0.5 - (w[4]! - 0.5) ** 2 - (w[3]! - 0.5) ** 2);
      const items = hard.map((common) => common + gain + 0.2 * normal(random));
      return { score: items.reduce((sum, item) => sum + item, 0) / items.length, items };
    });
    const { conclusion, best, greedy } = document(identity, trials);
    expect(conclusion.gainClaimed).toBe(true);
    expect(best!.trial).toBe(greedy!.trial);
    expect(best!.weights.map(({ step, weight }) => [step, weight])).toEqual([
      [400, 0.5],
      [500, 0.5],
    ]);
  });
});
