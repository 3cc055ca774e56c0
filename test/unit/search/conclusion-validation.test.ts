import { describe, expect, it } from 'vitest';
import type { ScheduleMember } from '../../../src/recipe/schedule/types.ts';
import { type Concluded, conclude } from '../../../src/search/conclusion/conclude.ts';
import type { Scored } from '../../../src/search/conclusion/difference.ts';
import type { ValidationScores } from '../../../src/search/conclusion/validate.ts';
import { pairwise } from '../../../src/search/space/pairwise.ts';
import type { ScoredTrial } from '../../../src/search/study/types.ts';

const space = pairwise(['a', 'b'].map((path, i) => ({ path, step: i, tokens: null }) as ScheduleMember));
const LAMBDAS = [1, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95];
const BEST = LAMBDAS.indexOf(0.7);
/** A search without noise: 0.7 is best, 0.04 over the mean of both and 0.09 over the newest. */
const trials = LAMBDAS.map((lambda, id) => ({
  ...{
    id,
    recipe: `r${id}`,
    kind: 'trial',
    status: 'complete',
    params: { lambda },
    score: 1 - (lambda - 0.7) ** 2,
    stderr: null,
    items: null,
  },
})) as unknown as ScoredTrial[];
const baselines = [
  { name: 'newest', label: 'newest', trial: 0 },
  { name: 'uniform', label: 'mean of both', trial: 1 },
] as const;

const plain = (score: number, stderr: number | null = null): Scored => ({ score, stderr, items: null });
/** 100 items around a score, with a part that all models share and one of their own. */
const byItem = (score: number, own: number): Scored => {
  const scores = Array.from({ length: 100 }, (_, i) => score + Math.sin(i) + own * (i % 2 === 0 ? 1 : -1));
  const mean = scores.reduce((sum, s) => sum + s / 100, 0);
  return { score: mean, stderr: 0.5, items: [{ name: '', weight: 1, digest: 'd', scores }] };
};
const validated = (rows: Readonly<Record<number, Scored | null>>, more: readonly ScoredTrial[] = []): Concluded => {
  const validation: ValidationScores = {
    command: 'second.sh',
    rows: Object.entries(rows).map(([trial, score]) => ({ trial: Number(trial), score })),
  };
  return conclude({ goal: 'maximize', noise: 'shared', seed: 0, trials: [...trials, ...more], space, baselines, validation });
};

describe('conclude with a validation', () => {
  it('has its headline from the second set, against what is better there, paired by items', () => {
    const { conclusion, validation, best } = validated({ 0: byItem(2.05, 0), 1: byItem(2.03, 0), [BEST]: byItem(2.1, 0.02) });
    expect(best).toBe(BEST);
    expect(conclusion).toMatchObject({ gainClaimed: true, basis: 'validation', against: 'newest', resolution: null });
    expect(conclusion.gain).toBeCloseTo(0.05, 10);
    const error = 0.02 / Math.sqrt(99); // items differ by ±0.02: 100 · 0.02² / 99 / 100
    expect(conclusion.interval![0]).toBeCloseTo(0.05 - 1.9842 * error, 6);
    expect(conclusion.probability).toBeGreaterThan(0.999);
    expect(validation).toMatchObject({
      command: 'second.sh',
      onValidation: { paired: true, gain: conclusion.gain, error: expect.closeTo(error, 10) },
      onSearch: { paired: false, gain: expect.closeTo(0.09, 10), error: null },
    });
    expect(validation!.rows).toHaveLength(3);
    expect(conclusion.text).toMatch(/^Validated: trial 5 is better than the newest by 0\.0500 on the second set.*paired over 100 items/);
  });

  it('says that a part was fitted to the search set where its gain is above the interval', () => {
    const { conclusion } = validated({ 0: byItem(2.09, 0), 1: byItem(2.08, 0), [BEST]: byItem(2.1, 0.02) });
    expect(conclusion).toMatchObject({ gainClaimed: true, gain: expect.closeTo(0.01, 10) });
    expect(conclusion.text).toContain('a part of it was fitted to that set');
    const enough = validated({ 0: byItem(2, 0), 1: byItem(2, 0), [BEST]: byItem(2.1, 0.02) });
    expect(enough.conclusion.text).not.toContain('fitted');
  });

  it('finds no evidence where the gain is gone, and says that the search fitted its set', () => {
    const worse = validated({ 0: byItem(2.1, 0), 1: byItem(2, 0), [BEST]: byItem(2.09, 0.02) }).conclusion;
    expect(worse).toMatchObject({ gainClaimed: false, basis: 'validation', against: 'newest', gain: expect.closeTo(-0.01, 10) });
    expect(worse.text).toMatch(/^No evidence of a gain: on the second set.* trial 5 is 0\.0100 worse than the newest/);
    expect(worse.text).toContain('the search fitted that set');
    const vague = validated({ 0: byItem(2.08, 0), 1: byItem(2, 0), [BEST]: byItem(2.1, 0.5) }).conclusion;
    expect(vague.gainClaimed).toBe(false);
    expect(vague.probability).toBeCloseTo(0.655, 2); // Φ(0.02 / 0.0503)
    expect(vague.text).toContain('0.020 better than the newest');
  });

  it('keeps the best of the search where another of the few scores better, and says so', () => {
    const { conclusion, best } = validated({
      0: byItem(2, 0),
      1: byItem(2, 0),
      [BEST]: byItem(2.1, 0.02),
      6: byItem(2.3, 0.02),
      4: byItem(2.2, 0.02),
    });
    expect(best).toBe(BEST);
    expect(conclusion.gain).toBeCloseTo(0.1, 10);
    expect(conclusion.text).toContain('Trial 6 scores better there');
  });

  it('looks at the rows of its own trials only: those of a chain are of all pairs', () => {
    const rows = { 0: byItem(2, 0), 1: byItem(2, 0), [BEST]: byItem(2.1, 0.02), 90: byItem(3, 0) };
    const { conclusion, validation } = validated(rows);
    expect(validation!.rows.map(({ trial }) => trial)).toEqual([0, 1, BEST]);
    expect(conclusion.text).not.toContain('scores better there');
    // A score of the newest that another pair has stands for its repeat here.
    const repeat = { ...trials[0]!, id: 91, repeatOf: 90 };
    expect(validated({ [BEST]: byItem(2.1, 0.02), 90: byItem(2, 0) }, [repeat]).conclusion).toMatchObject({
      basis: 'validation',
      against: 'newest',
    });
  });

  it('takes standard errors where there are no items', () => {
    const { conclusion } = validated({ 0: plain(2, 0.03), 1: plain(1.9, 0.03), [BEST]: plain(2.1, 0.04) });
    expect(conclusion.interval![0]).toBeCloseTo(0.1 - 1.96 * 0.05, 4);
    expect(conclusion.resolution).toBeCloseTo(1.96 * 0.05, 4);
    expect(conclusion.gainClaimed).toBe(true);
  });

  it('adds the noise of repeats, and has it alone where nothing else is known', () => {
    // of the newest, 0.91: pooled standard deviation 0.1
    const repeats = [0.81, 1.01].map((score, i) => ({ ...trials[0]!, id: 20 + i, score }));
    const scores = { 0: plain(2), 1: plain(1.9), [BEST]: plain(2.1) };
    const { conclusion, validation } = validated(scores, repeats);
    expect(validation!.onValidation.error).toBeCloseTo(Math.SQRT2 * 0.1, 10);
    expect(conclusion.gainClaimed).toBe(false);
    expect(conclusion.text).toContain('the noise of evaluations alone');
    // What the model learned is of the search's own set, and says nothing of this one.
    const learned = validated(scores);
    expect(learned.noiseStd).not.toBeNull();
    expect(learned.validation!.onValidation.error).toBeNull();
    expect(learned.conclusion).toMatchObject({ gainClaimed: false, interval: null });
    expect(learned.conclusion.text).toContain('Nothing is known of the error');
    const errors = { 0: plain(2, 0.3), 1: plain(1.9, 0.3), [BEST]: plain(2.1, 0.4) };
    expect(validated(errors, repeats).validation!.onValidation.error).toBeCloseTo(Math.hypot(0.5, Math.SQRT2 * 0.1), 10);
  });

  it('claims nothing where nothing is known of any error', () => {
    const { conclusion } = conclude({
      ...{ goal: 'maximize', noise: 'shared', seed: 0, space: null, baselines },
      trials: [trials[0]!, trials[5]!],
      validation: {
        command: 'x',
        rows: [
          { trial: 0, score: plain(1) },
          { trial: 5, score: plain(2) },
        ],
      },
    });
    expect(conclusion).toMatchObject({ gainClaimed: false, basis: 'validation', gain: 1, interval: null, probability: null });
    expect(conclusion.text).toContain('Nothing is known of the error');
  });

  it('turns losses around', () => {
    const { conclusion } = conclude({
      ...{ goal: 'minimize', noise: 'shared', seed: 0, space, baselines },
      trials: trials.map((trial) => ({ ...trial, score: -trial.score! })),
      validation: { command: 'x', rows: [0, 1, BEST].map((trial, i) => ({ trial, score: plain([1.2, 1.3, 1.1][i]!, 0.01) })) },
    });
    expect(conclusion).toMatchObject({ gainClaimed: true, against: 'newest', gain: expect.closeTo(0.1, 10) });
  });

  it('falls back to the search where the best or every baseline failed on the second set', () => {
    for (const rows of [{ 0: plain(1), 1: plain(1), [BEST]: null }, { 0: null, 1: null, [BEST]: plain(1) }, {}]) {
      const { conclusion, validation } = validated(rows);
      expect(validation).toBeNull();
      expect(conclusion).toMatchObject({ basis: 'posterior', gainClaimed: true });
      expect(conclusion.text).toContain('The second set says nothing');
    }
    expect(validated({ 0: null, 1: plain(1, 0.1), [BEST]: plain(2, 0.1) }).conclusion.against).toBe('uniform');
  });

  it('shows what the second set says of a baseline that is the best, without a gain of the search', () => {
    const sane = trials.map((trial) => ({
      ...trial,
      score: trial.id === 1 ? 3 : trial.score,
      params: trial.id === 1 ? null : trial.params,
    }));
    const rows = [0, 1].map((trial) => ({ trial, score: byItem(2 + trial, 0.1 * trial) }));
    const { conclusion, validation, best } = conclude({
      ...{ goal: 'maximize', noise: 'shared', seed: 0, space, baselines, trials: sane, validation: { command: 'x', rows } },
    });
    expect(best).toBe(1);
    expect(conclusion).toMatchObject({ gainClaimed: false, gain: null, basis: null });
    expect(conclusion.text).toMatch(/No gain by the search.*Validated: the mean of both is better than the newest by 1\.000/);
    expect(conclusion.text).not.toContain('fitted');
    expect(validation!.onValidation.gain).toBeCloseTo(1, 10);
  });

  it.each([
    ['without an error', plain(0.5)],
    ['with a standard error', plain(0.5, 0.1)],
    ['by items', byItem(0.5, 0)],
  ])('tells nothing by a second set on which all score the same: %s', (_, score) => {
    const { conclusion, validation } = validated({ 0: score, 1: score, [BEST]: score, 4: score });
    expect(conclusion).toMatchObject({ gainClaimed: false, gain: 0, interval: null, probability: null });
    expect(conclusion.text).toMatch(/^No evidence of a gain: all 4 recipes that were scored on the second set.* the very same score/);
    expect(conclusion.text).not.toContain('interval');
    if (score.stderr === null) expect(validation!.onValidation.error).toBeNull();
  });

  it('of a baseline that is the best says which set says what, and nothing of a gain of the search', () => {
    const sane = trials.map((trial) => ({
      ...trial,
      score: trial.id === 1 ? 3 : trial.score,
      params: trial.id === 1 ? null : trial.params,
    }));
    for (const [newest, verdict] of [
      [byItem(1.99, 0.5), /worse|better.*: within the noise there/],
      [byItem(9, 0.1), /worse than the newest .*, beyond the noise/],
      [plain(2), /is no better than the newest|very same score/],
    ] as const) {
      const rows = [newest, newest.items === null ? plain(2) : byItem(2, 0)].map((score, trial) => ({ trial, score }));
      const { conclusion } = conclude({
        ...{ goal: 'maximize', noise: 'shared', seed: 0, space, baselines, trials: sane, validation: { command: 'x', rows } },
      });
      expect(conclusion.text).toMatch(
        /^No gain by the search: of what was searched.* On the search's own set the mean of both is better than/,
      );
      expect(conclusion.text).toMatch(verdict);
      expect(conclusion.text).not.toContain('No evidence');
    }
  });
});
