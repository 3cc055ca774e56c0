import { describe, expect, it } from 'vitest';
import type { ScheduleMember } from '../../../src/recipe/schedule/types.ts';
import { conclude } from '../../../src/search/conclusion/conclude.ts';
import { pairwise } from '../../../src/search/space/pairwise.ts';
import type { ScoredTrial, TrialKind } from '../../../src/search/study/types.ts';

const space = pairwise(['a', 'b'].map((path, i) => ({ path, step: i, tokens: null }) as ScheduleMember));
const rest = { weights: [], parts: [], metrics: {}, source: null, reason: null, by: null, proposals: null, stderr: null, items: null };

function concludeOn(parts: readonly (readonly [kind: TrialKind, score: number, lambda?: number])[], inSpace: boolean) {
  const trials = parts.map(([kind, score, lambda]): ScoredTrial => {
    const id = parts.findIndex((part) => part[1] === score);
    const own = { id, recipe: `r${id}`, kind, score, params: lambda === undefined ? null : { lambda } } as const;
    return { ...own, status: 'complete', repeatOf: null, seconds: 1, mergeSeconds: 0, cost: null, time: '', ...rest };
  });
  const of = (kind: TrialKind) => trials.find((trial) => trial.kind === kind)!.id;
  const singles = trials.filter(({ kind }) => kind === 'single' || kind === 'newest');
  const best = singles.reduce((a, b) => (b.score! < a.score! ? b : a)).id;
  const baselines = [
    { name: 'newest', label: 'newest', trial: of('newest') },
    { name: 'uniform', label: 'mean of all', trial: of('uniform') },
    ...(singles.length > 1 ? [{ name: 'best single' as const, label: 'best single', trial: best }] : []),
  ] as const;
  return conclude({ goal: 'minimize', noise: 'shared', seed: 0, trials, space: inSpace ? space : null, baselines });
}

/** A soup's members, the mean of all and soups, one of which scored something else. */
const soupWith = (at: number, score: number) => {
  const kinds: TrialKind[] = ['newest', 'single', 'single', 'single', 'uniform', 'soup', 'soup', 'soup'];
  return kinds.map((kind, i) => [kind, i === at ? score : 0.088 + 0.0003 * ((3 * i) % 8)] as const);
};

describe('one score far from the others', () => {
  it.each([0, 1, 4, 6])('in a soup is named, whether it is far better or far worse, and no model is spoken of: trial %i', (at) => {
    const better = concludeOn(soupWith(at, -1e9), false).conclusion;
    expect(better.text).toMatch(new RegExp(`^Trial ${at} \\(-1\\.000e9\\) scored so far better than all others .* fault of the evaluator`));
    expect(better.tooGood).toEqual([at]);
    const worse = concludeOn(soupWith(at, 1e9), false).conclusion;
    expect(worse.text).toMatch(new RegExp(`Trial ${at} \\(1\\.000e9\\) scored far worse than the others: the log`));
    expect(worse.bounded).toEqual([at]);
    for (const { text } of [better, worse]) expect(text).not.toContain('model takes');
  });

  it('of the only checkpoint beside merges is one of two faults', () => {
    const merges = [0.5, 0.6, 0.7, 0.8, 0.9].map((lambda) => ['trial', 8 + 0.01 * (lambda - 0.7) ** 2 + lambda / 1e3, lambda] as const);
    const { conclusion } = concludeOn([['newest', -1e9, 1], ['uniform', 8.004], ...merges], true);
    expect(conclusion.text).toMatch(
      /^Trial 0 \(-1\.000e9\) scored so far better than everything that was merged that either merging breaks/,
    );
    expect(conclusion.tooGood).toEqual([0]);
  });

  it('says nothing of scores that only differ', () => {
    for (const score of [0.08, 0.095]) expect(concludeOn(soupWith(2, score), false).conclusion.text).not.toMatch(/fault|far worse/);
  });
});
