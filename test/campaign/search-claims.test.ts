import { describe, expect, it } from 'vitest';
import { normalOf, randomOf } from '../../src/base/numbers/random.ts';
import type { ItemScores } from '../../src/checkpoints/results/types.ts';
import type { ScheduleMember } from '../../src/recipe/schedule/types.ts';
import { type Concluded, type ConclusionInput, conclude } from '../../src/search/conclusion/conclude.ts';
import { pairwise } from '../../src/search/space/pairwise.ts';
import type { ScoredTrial } from '../../src/search/study/types.ts';

const members = ['a', 'b'].map((path, i) => ({ path, step: i, tokens: null }) as ScheduleMember);
const space = pairwise(members);
const NEWEST = { name: 'newest', label: 'newest (step 200)', trial: 0 } as const;
const UNIFORM = { name: 'uniform', label: 'mean of both', trial: 1 } as const;

interface Parts {
  readonly lambda?: number | null;
  readonly score: number | null;
  readonly recipe?: string;
  readonly stderr?: number;
  readonly items?: readonly number[];
}
/** Trials with ids in their order; the first two are the baselines. */
const trialsOf = (parts: readonly Parts[]): ScoredTrial[] =>
  parts.map(({ lambda = null, score, recipe, stderr = null, items }, id) => ({
    ...{ id, recipe: recipe ?? `r${id}`, score, stderr, kind: 'trial', status: score === null ? 'failed' : 'complete' },
    ...{ params: lambda === null ? null : { lambda }, weights: [], parts: [], metrics: {}, source: null, reason: null, by: null },
    ...{ proposals: null, repeatOf: null, seconds: 1, mergeSeconds: 0, cost: null, time: '2026-01-01T00:00:00Z' },
    items: items === undefined ? null : [listOf(items)],
  }));
const listOf = (scores: readonly number[]): ItemScores => ({ name: '', weight: 1, digest: 'd', scores });
const concludeOn = (parts: readonly Parts[], more: Partial<ConclusionInput> = {}): Concluded =>
  conclude({ goal: 'maximize', noise: 'shared', seed: 0, trials: trialsOf(parts), space, baselines: [NEWEST, UNIFORM], ...more });

/** Newest, uniform, then the others of twelve evenly spaced λ. */
const LAMBDAS = [1, 0.5, ...Array.from({ length: 10 }, (_, i) => 0.5 + (0.5 * (i + 1)) / 11)];
const noisy = (seed: number, truth: (lambda: number) => number): Parts[] => {
  const normal = normalOf(randomOf(seed, 77));
  return LAMBDAS.map((lambda) => ({ lambda, score: 40 + truth(lambda) + normal() }));
};

describe('claims of conclude, in the long run', () => {
  it('come in at most 10 % of 200 searches over twelve equal noisy recipes, of which the best observed beats the newest in about 92 %', () => {
    let claims = 0;
    let observed = 0;
    for (let seed = 0; seed < 200; seed++) {
      const parts = noisy(seed, () => 0);
      if (concludeOn(parts, { seed }).conclusion.gainClaimed) claims++;
      if (Math.max(...parts.map(({ score }) => score!)) > parts[0]!.score!) observed++;
    }
    expect(claims).toBeLessThanOrEqual(20);
    expect(observed).toBeGreaterThan(170); // 11 of 12: else the searches were no trap
  }, 60_000);

  it('come in most searches with a smooth gain of 4 standard deviations of the noise, and say no more of it than is true', () => {
    const truth = (lambda: number) => 4 * (1 - ((lambda - 0.75) / 0.25) ** 2);
    let claims = 0;
    let contained = 0;
    let above = 0;
    let shrunk = 0;
    for (let seed = 0; seed < 40; seed++) {
      const parts = noisy(seed, truth);
      const { conclusion, best } = concludeOn(parts, { seed });
      if (conclusion.gainClaimed) claims++;
      const gain = truth(LAMBDAS[best!]!);
      if (conclusion.interval![0] < gain && gain < conclusion.interval![1]) contained++;
      if (conclusion.interval![0] > gain) above++;
      if (conclusion.gain! < parts[best!]!.score! - Math.max(parts[0]!.score!, parts[1]!.score!)) shrunk++;
    }
    expect(claims).toBeGreaterThan(28);
    expect(contained).toBeGreaterThan(30); // what is missed is missed to the safe side
    expect(above).toBeLessThanOrEqual(1);
    expect(shrunk).toBeGreaterThan(20); // the headline is no observed difference
  }, 60_000);

  it('are rare where merges differ only on the items that were drawn: smooth curves over λ, without noise, of recipes that are equal on all items', () => {
    let claims = 0;
    let observed = 0;
    for (let seed = 0; seed < 25; seed++) {
      const normal = normalOf(randomOf(seed, 78));
      const waves = Array.from({ length: 100 }, () => [1, 2].map((k) => ({ k, sine: normal(), cosine: normal() })));
      const itemsAt = (lambda: number) =>
        waves.map((of) =>
          of.reduce(
            (sum, { k, sine, cosine }) => sum + sine * Math.sin(2 * Math.PI * k * lambda) + cosine * Math.cos(2 * Math.PI * k * lambda),
            0,
          ),
        );
      const parts = LAMBDAS.map((lambda) => {
        const items = itemsAt(lambda);
        return { lambda, items, score: items.reduce((sum, item) => sum + item / items.length, 0) };
      });
      if (concludeOn(parts, { seed }).conclusion.gainClaimed) claims++;
      // The same scores without their items: on this very set the gain is real.
      if (
        concludeOn(
          parts.map(({ lambda, score }) => ({ lambda, score })),
          { seed },
        ).conclusion.gainClaimed
      )
        observed++;
    }
    expect(claims).toBeLessThanOrEqual(2);
    expect(observed).toBeGreaterThan(4 * Math.max(1, claims));
  }, 60_000);

  it('do not come of a checkpoint that is the best of many by chance: it is called better than the newest in few of 60 searches over equal checkpoints', () => {
    const singles = Array.from({ length: 9 }, () => 'single' as const);
    const kinds = ['newest', 'uniform', ...singles, ...LAMBDAS.slice(2).map(() => 'trial' as const)] as const;
    const saidOf = (itemsOf: (normal: () => number) => number[] | undefined) => {
      let said = 0;
      for (let seed = 0; seed < 60; seed++) {
        const normal = normalOf(randomOf(seed, 79));
        const parts = kinds.map((kind, i) => {
          const items = itemsOf(normal);
          const score = items === undefined ? normal() : items.reduce((sum, item) => sum + item / items.length, 0);
          return { lambda: kind === 'single' ? null : LAMBDAS[i < 2 ? i : i - 9]!, score, ...(items === undefined ? {} : { items }) };
        });
        const trials = trialsOf(parts).map((trial, i): ScoredTrial => ({ ...trial, kind: kinds[i]! }));
        const best = trials.reduce((a, b) => (kinds[b.id] === 'single' && (kinds[a.id] !== 'single' || b.score! > a.score!) ? b : a));
        const single = { name: 'best single', label: 'best single', trial: best.id } as const;
        const { conclusion } = concludeOn([], { trials, seed, baselines: [NEWEST, UNIFORM, single] });
        if (/best single is better than the newest/.test(conclusion.text)) said++;
      }
      return said;
    };
    expect(saidOf(() => undefined)).toBeLessThanOrEqual(3);
    expect(saidOf((normal) => Array.from({ length: 40 }, normal))).toBeLessThanOrEqual(6);
  }, 60_000);
});
