import { describe, expect, it } from 'vitest';
import type { ScheduleMember } from '../../../src/recipe/schedule/types.ts';
import { conclude } from '../../../src/search/conclusion/conclude.ts';
import { firstSentence } from '../../../src/search/optimise/words.ts';
import { pairwise } from '../../../src/search/space/pairwise.ts';
import type { ScoredTrial } from '../../../src/search/study/types.ts';

const space = pairwise(['a', 'b'].map((path, i) => ({ path, step: i, tokens: null }) as ScheduleMember));
const LAMBDAS = [1, 0.5, ...Array.from({ length: 10 }, (_, i) => 0.5 + (0.5 * (i + 1)) / 11)];
const BASELINES = [
  { name: 'newest', label: 'newest (step 200)', trial: 0 },
  { name: 'uniform', label: 'mean of both', trial: 1 },
  { name: 'sma', label: 'SMA over the last 10', trial: 2 },
] as const;
const COMMAND = 'merge run best.search/sma.yaml';

/** Newest, uniform mean, mean of the last ten, then the others. @param sma its scores */
const concludeWith = (sma: readonly number[], at: (lambda: number, i: number) => number = (lambda) => 3 + (lambda - 0.7) ** 2) => {
  const rest = { weights: [], parts: [], metrics: {}, source: null, reason: null, by: null, proposals: null, stderr: null, items: null };
  const trial = (id: number, recipe: string, score: number, lambda: number | null): ScoredTrial => ({
    ...{ id, recipe, score, kind: lambda === null ? 'sma' : id === 0 ? 'newest' : id === 1 ? 'uniform' : 'trial' },
    ...{ params: lambda === null ? null : { lambda }, status: 'complete', repeatOf: null, seconds: 1, mergeSeconds: 0, cost: null },
    ...{ time: '2026-01-01T00:00:00Z', ...rest },
  });
  const own = LAMBDAS.map((lambda, i) => trial(i < 2 ? i : i + 1, `r${i}`, at(lambda, i), lambda));
  const trials = [...own, ...sma.map((score, i) => trial(i === 0 ? 2 : 100 + i, 'sma', score, null))];
  return conclude({ goal: 'minimize', noise: 'shared', seed: 0, trials, space, baselines: BASELINES, referenceCommand: COMMAND });
};

describe('a mean outside what was searched', () => {
  it.each([
    ['far', (lambda: number) => 100 * 10 ** (8 * (lambda - 0.7) ** 2), 1.5],
    ['by some', (lambda: number) => 3 + (lambda - 0.7) ** 2, 2.5],
  ])('that scored better beyond the noise comes first, with the line that makes it: %s', (_, at, score) => {
    const { conclusion, best } = concludeWith([score], at);
    expect(best).not.toBe(2);
    const [first] = firstSentence(conclusion.text);
    expect(first).toContain('The SMA over the last 10 scored better than the best recipe of the search, beyond the noise');
    expect(first).toContain(`\`${COMMAND}\``);
    expect(conclusion.text).not.toContain('all that was tried');
    expect(conclusion.reference).toMatchObject({ trial: 2, score, beyondNoise: true, command: COMMAND });
    expect(conclusion.text).not.toContain('better still');
    expect(conclusion.text).toMatch(/\. Trial \d+ is /);
  });

  it('is not said to be better where it scored worse, whatever is believed of it', () => {
    // Later recipes drift to the worse, so that the best is believed to be worse than it scored.
    const drifting = concludeWith([3.05], (lambda, i) => 3 + (lambda - 0.7) ** 2 + (i > 6 ? 0.3 : 0));
    for (const { conclusion } of [drifting, concludeWith([3.5]), concludeWith([1e9])]) {
      expect(conclusion.text).not.toContain('SMA');
      expect(conclusion.reference).toBeUndefined();
    }
  });

  it('never scored better by a negative number, at any score', () => {
    for (const score of [-1e9, 0, 2.9, 2.99, 2.999, 2.9999, 3, 3.0001, 3.001, 3.01, 3.1, 1e6]) {
      const { conclusion } = concludeWith([score], (lambda, i) => 3 + (lambda - 0.7) ** 2 + (i > 6 ? 0.3 : 0) + 0.01 * Math.sin(37 * i));
      expect(conclusion.text).not.toMatch(/better still, by -/);
      if (conclusion.reference !== undefined) expect(conclusion.reference.gain).toBeGreaterThan(0);
    }
  });

  it('within the noise is told after all else', () => {
    const at = (lambda: number, i: number) => 3 + (lambda - 0.7) ** 2 + 0.05 * Math.sin(37 * i);
    const best = concludeWith([5], at).best!;
    const i = best > 2 ? best - 1 : best;
    const noisy = concludeWith([at(LAMBDAS[i]!, i) - 1e-3], at);
    expect(noisy.conclusion.reference!.beyondNoise).toBe(false);
    expect(noisy.conclusion.text).not.toMatch(/^The SMA/);
    expect(noisy.conclusion.text).toMatch(/scores better still, by .*; to make it: `merge run best\.search\/sma\.yaml`/);
  });
});
