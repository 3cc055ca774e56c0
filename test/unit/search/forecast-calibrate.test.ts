import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MergeError } from '../../../src/base/errors.ts';
import { decayed, parseBranch, recoveredFraction } from '../../../src/search/forecast/calibrate.ts';

/**
 * Scores of the demo's runs, trained and scored in Python (demo/make): each single checkpoint, merges of the
 * last n, and a decay over steps 5000 to 6000.
 */
interface SeedResults {
  readonly single: Record<string, number>;
  readonly last: readonly { n: number; validation: number }[];
  readonly annealed: { validation: number };
}
const results = JSON.parse(readFileSync(join(import.meta.dirname, '../../../demo/make/results.json'), 'utf8')) as {
  models: Record<'dense' | 'moe', { seeds: readonly SeedResults[] }>;
};

const point = (step: number | null, single: number | null, merged: number | null) => ({ step, single, merged });
const messages = (run: () => unknown): string[] => {
  try {
    run();
  } catch (error) {
    if (error instanceof MergeError && error.code === 'E_CALIBRATE') return error.details.conflicts!.map(({ message }) => message);
    throw error;
  }
  return [];
};

describe('recoveredFraction', () => {
  it('is the share of the decay that the merge shows: 0.06 of 0.08', () => {
    const { mean, spread, branches, warnings } = recoveredFraction([{ step: 10, score: 1.12 }], [point(10, 1.2, 1.14)], 'minimize');
    expect(mean).toBeCloseTo(0.75, 12);
    expect(spread).toBeNull();
    expect(branches).toMatchObject([{ step: 10, score: 1.12 }]);
    expect(branches[0]!.recovered).toBe(mean);
    expect(warnings).toEqual([]);
  });

  it('has a mean and a standard deviation over branches, the same for scores that grow', () => {
    const points = [point(10, 0.5, 0.56), point(20, 0.6, 0.64)];
    const { mean, spread } = recoveredFraction(
      [
        { step: 10, score: 0.58 }, // 0.06 of 0.08
        { step: 20, score: 0.68 }, // 0.04 of 0.08
      ],
      points,
      'maximize',
    );
    expect(mean).toBeCloseTo(0.625, 12);
    expect(spread).toBeCloseTo(Math.SQRT2 * 0.125, 12);
  });

  it.each(['dense', 'moe'] as const)(
    'is about three quarters on the demo run %s, always below 1, and one seed forecasts another',
    (model) => {
      const seeds = results.models[model].seeds.map(({ single, last, annealed }) => ({
        window: point(6000, single['6000']!, last.find(({ n }) => n === 6)!.validation),
        branch: { step: 6000, score: annealed.validation },
      }));
      expect(seeds.length).toBe(3);
      const fractions = seeds.map(({ window, branch }) => recoveredFraction([branch], [window], 'minimize').mean);
      for (const fraction of fractions) {
        expect(fraction).toBeGreaterThan(0.7);
        expect(fraction).toBeLessThan(0.85);
      }
      // A fraction learned on the first seed says where the decays of the others end, better than the merges
      // do.
      for (const { window, branch } of seeds.slice(1)) {
        const { score } = decayed(window, { mean: fractions[0]!, spread: null }, 'minimize')!;
        expect(Math.abs(score - branch.score)).toBeLessThan(0.5 * Math.abs(window.merged! - branch.score));
      }
    },
  );

  it('takes the nearest window where it is at most one spacing away, and says so', () => {
    const points = [point(100, 1.3, 1.2), point(200, 1.2, 1.15), point(300, 1.15, 1.12), point(null, 1, 1), point(230, null, 1)];
    const { mean, warnings } = recoveredFraction([{ step: 360, score: 1.09 }], points, 'minimize');
    expect(mean).toBeCloseTo(0.5, 12);
    expect(warnings).toMatchObject([{ code: 'W_CALIBRATION', message: expect.stringMatching(/step 360 .* step 300/) }]);
    expect(messages(() => recoveredFraction([{ step: 401, score: 1 }], points, 'minimize'))).toEqual([
      expect.stringMatching(/steps 100 to 300.*nearest at 300/),
    ]);
    expect(messages(() => recoveredFraction([{ step: 101, score: 1 }], [points[0]!], 'minimize'))).toEqual([
      expect.stringContaining('nearest at 100'),
    ]);
  });

  it('warns of a merge that beats the decay', () => {
    const { mean, warnings } = recoveredFraction([{ step: 1, score: 1.1 }], [point(1, 1.2, 1.08)], 'minimize');
    expect(mean).toBeCloseTo(1.2, 12);
    expect(warnings.map(({ code }) => code)).toEqual(['W_CALIBRATION']);
  });

  it('names everything that is wrong at once', () => {
    const points = [point(1, 1.2, 1.1), point(2, 1.2, 1.25), point(3, 1.2, 0.9)];
    const branches = [
      { step: 1, score: 1.2 }, // no gain at all: nothing to divide by
      { step: 1, score: 1.3 }, // worse than the checkpoint alone
      { step: 2, score: 1.1 }, // the merge is worse
      { step: 3, score: 1.1 }, // 0.3 of a gain of 0.1
      { step: 9, score: 1.1 },
    ];
    const found = messages(() => recoveredFraction(branches, points, 'minimize'));
    expect(found).toHaveLength(5);
    expect(found.map((message) => /no better than the checkpoint alone|times the gain|nearest/.exec(message)?.[0])).toEqual([
      'no better than the checkpoint alone',
      'no better than the checkpoint alone',
      'no better than the checkpoint alone',
      'times the gain',
      'nearest',
    ]);
    expect(messages(() => recoveredFraction([], points, 'minimize'))).toEqual(['there is no branch to calibrate with']);
    expect(messages(() => recoveredFraction([{ step: 1, score: 1 }], [], 'minimize'))).toEqual([expect.stringContaining('no window')]);
  });

  it('refuses branches that disagree by more than their mean', () => {
    const branches = [0.05, 0.05, 1.4].map((fraction, i) => ({ step: i, score: 1 + 0.1 / fraction }));
    const points = branches.map(({ step }) => point(step, 1, 1.1));
    expect(messages(() => recoveredFraction(branches, points, 'maximize'))).toEqual([expect.stringContaining('do not agree')]);
  });
});

describe('decayed', () => {
  it('divides the gain by the fraction, with a band between one deviation more and less', () => {
    const { score, low, high } = decayed(point(1, 1.2, 1.14), { mean: 0.75, spread: 0.25 }, 'minimize')!;
    expect(score).toBeCloseTo(1.12, 12);
    expect(low).toBeCloseTo(1.2 - 0.06 / 0.5, 12);
    expect(high).toBeCloseTo(1.14, 12);
    const larger = decayed(point(1, 0.5, 0.56), { mean: 0.75, spread: 0.25 }, 'maximize')!;
    expect(larger.low).toBeCloseTo(0.56, 12);
    expect(larger.high).toBeCloseTo(0.62, 12);
  });

  it('has no band for a single branch', () => {
    expect(decayed(point(1, 1.25, 1.125), { mean: 0.5, spread: null }, 'minimize')).toEqual({ score: 1, low: 1, high: 1 });
  });

  it('says nothing where a score is missing or the merge is no better', () => {
    const recovered = { mean: 0.75, spread: null };
    expect(decayed(point(1, null, 1), recovered, 'minimize')).toBeNull();
    expect(decayed(point(1, 1, null), recovered, 'minimize')).toBeNull();
    expect(decayed(point(1, 1, 1), recovered, 'minimize')).toBeNull();
    expect(decayed(point(1, 1, 1.1), recovered, 'minimize')).toBeNull();
  });
});

describe('parseBranch', () => {
  it('reads STEP=SCORE', () => {
    expect(parseBranch('6000=1.142')).toEqual({ step: 6000, score: 1.142 });
    expect(parseBranch(' 0=-3e-2 ')).toEqual({ step: 0, score: -0.03 });
  });

  it.each(['', '6000', '=1', '6000=', '6000=nan', '6000=1e999', '-5=1', '1.5=1', '99999999999999999=1', '6000:1', '1=1=1'])(
    'refuses %j',
    (text) => {
      expect(() => parseBranch(text)).toThrow(expect.objectContaining({ code: 'E_CALIBRATE' }));
    },
  );
});
