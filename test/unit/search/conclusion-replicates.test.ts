import { describe, expect, it } from 'vitest';
import { concludedRecipes } from '../../../bench/peers/claims-ours.js';
import { normalOf, randomOf } from '../../../src/base/numbers/random.ts';
import { concludeArtefact } from '../../../src/search/conclusion/artefact.ts';
import { concludeRecipes, type EndpointScore, effectiveNumber } from '../../../src/search/conclusion/replicates.ts';
import { studentQuantile } from '../../../src/search/conclusion/student.ts';
import { covarianceRoot } from '../../../src/search/gaussian-process/linear-algebra.ts';
import { normalCdf, normalQuantile } from '../../../src/search/gaussian-process/normal.ts';

/** The mean of so many saves up to each endpoint. */
function scoredAt(endpoints: readonly number[], members: number, scores: readonly number[]): EndpointScore[] {
  return endpoints.map((endpoint, i) => ({
    ...{ endpoint, score: scores[i]! },
    weights: new Map(Array.from({ length: members }, (_, m) => [`step ${endpoint - 100 * m}`, 1 / members])),
  }));
}

const ENDS = [1000, 2000, 3000, 4000, 5000, 6000];
const GAINS = [0.3, 0.1, 0.25, 0.2, -0.05, 0.35];
const newest = {
  name: 'newest',
  label: 'newest',
  endpoints: scoredAt(
    ENDS,
    1,
    ENDS.map((end) => end / 1000),
  ),
};
const recipe = (name: string, gains: readonly number[], control = false) => ({
  ...{ name, control },
  endpoints: scoredAt(
    ENDS,
    4,
    gains.map((gain, i) => ENDS[i]! / 1000 + gain),
  ),
});

describe('the number of independent endpoints', () => {
  const windows = (count: number, members: number, stride: number) =>
    Array.from({ length: count }, (_, e) => new Map(Array.from({ length: members }, (_unused, m) => [`s${e * stride + m}`, 1 / members])));

  it('is theirs where windows do not overlap', () => {
    expect(effectiveNumber(windows(9, 4, 4))).toBeCloseTo(9, 12);
  });

  it('is n / (1 + 2 Σ (1 − h/n) ρ_h) where means of windows share members', () => {
    const [n, members, stride] = [12, 10, 3];
    let sum = 0;
    for (let h = 1; h < n; h++) sum += (1 - h / n) * Math.max(0, (members - h * stride) / members);
    expect(effectiveNumber(windows(n, members, stride))).toBeCloseTo(n / (1 + 2 * sum), 10);
  });

  it('is one of endpoints that are all the same', () => {
    expect(effectiveNumber(windows(7, 3, 0))).toBeCloseTo(1, 12);
  });
});

describe('the best recipe over endpoints', () => {
  it("is judged by Student's t of the differences where windows do not overlap", () => {
    const { rows, ...found } = concludeRecipes({ goal: 'maximize', recipes: [recipe('window 400', GAINS)], references: [newest] });
    const mean = GAINS.reduce((sum, gain) => sum + gain / 6, 0);
    const error = Math.sqrt(GAINS.reduce((sum, gain) => sum + (gain - mean) ** 2, 0) / 5 / 6);
    expect(rows[0]!.differences[0]).toMatchObject({ endpoints: 6, better: 5, effective: 6 });
    expect(rows[0]!.differences[0]!.error).toBeCloseTo(error, 12);
    expect(rows[0]!.differences[0]!.interval![0]).toBeCloseTo(mean - 2.570582 * error, 6);
    expect(found).toMatchObject({ chosen: 'window 400', against: 'newest', gainClaimed: true, effective: 6 });
    expect(found.text).toMatch(/^As a recipe window 400 is better than the newest: by 0\.19/);
    expect(found.text).toContain('better at 5 of 6');
  });

  it('has to be surer the more recipes there are', () => {
    const others = [1, 2, 3, 4, 5].map((i) =>
      recipe(
        `other ${i}`,
        GAINS.map((gain, e) => 0.3 * gain + 0.05 * Math.sin(i * e)),
      ),
    );
    const { gainClaimed, interval, gain, rows } = concludeRecipes({
      goal: 'maximize',
      recipes: [recipe('best', GAINS), ...others],
      references: [newest],
    });
    expect(rows).toHaveLength(6);
    const { error } = rows[0]!.differences[0]!;
    expect(interval![0]).toBeCloseTo(gain! - studentQuantile(1 - 0.025 / 6, 5) * error!, 10);
    expect(gainClaimed).toBe(interval![0] > 0);
  });

  it('is not judged below four independent endpoints, and is no control', () => {
    const few = concludeRecipes({
      goal: 'maximize',
      recipes: [{ ...recipe('few', GAINS), endpoints: recipe('few', GAINS).endpoints.slice(0, 3) }],
      references: [newest],
    });
    expect(few).toMatchObject({ gainClaimed: false, chosen: null, interval: null });
    expect(few.text).toMatch(/^Recipes are not judged: it takes 4 independent endpoints, and 3 were scored\. Score more/);
    expect(few.rows[0]!.differences[0]!.gain).toBeCloseTo((0.3 + 0.1 + 0.25) / 3, 12);
    const control = concludeRecipes({ goal: 'maximize', recipes: [recipe('reverse', GAINS, true)], references: [newest] });
    expect(control.chosen).toBeNull();
  });

  it('says which reference has no score, and speaks of overlap only where it costs something', () => {
    const mean = { ...newest, name: 'mean', label: 'mean of 40B', endpoints: [] };
    const without = concludeRecipes({ goal: 'maximize', recipes: [recipe('window 400', GAINS)], references: [newest, mean] });
    expect(without.text).toBe('Recipes are not judged: at no endpoint is there a score of the mean of 40B.');
    const wide = scoredAt(ENDS, 30, GAINS);
    const overlapping = concludeRecipes({
      goal: 'maximize',
      recipes: [{ name: 'wide', control: false, endpoints: wide }],
      references: [{ ...newest, endpoints: newest.endpoints.map((end) => ({ ...end, weights: new Map() })) }],
    });
    expect(overlapping.text).toMatch(/and the 6 that were scored are worth \d\.\d, since their windows overlap/);
  });

  it('compares where both have a score, and takes smaller losses for better', () => {
    const lower = { ...newest, endpoints: newest.endpoints.map((end) => ({ ...end, score: -end.score })) };
    const loss = { ...recipe('loss', GAINS), endpoints: recipe('loss', GAINS).endpoints.map((end) => ({ ...end, score: -end.score })) };
    const found = concludeRecipes({ goal: 'minimize', recipes: [loss], references: [{ ...lower, endpoints: lower.endpoints.slice(1) }] });
    expect(found.rows[0]!.differences[0]).toMatchObject({ endpoints: 5, better: 4 });
    expect(found.gain).toBeCloseTo(0.17, 12);
    expect(concludeRecipes({ goal: 'minimize', recipes: [loss], references: [{ ...lower, endpoints: [] }] }).text).toContain(
      'at no endpoint',
    );
  });

  it('is better than every reference, or not claimed', () => {
    const mean = {
      ...newest,
      name: 'uniform',
      label: 'plain mean',
      endpoints: scoredAt(
        ENDS,
        8,
        ENDS.map((end, i) => end / 1000 + GAINS[i]! + 0.02 * Math.sin(3 * i)),
      ),
    };
    const found = concludeRecipes({ goal: 'maximize', recipes: [recipe('window 400', GAINS)], references: [newest, mean] });
    expect(found).toMatchObject({ gainClaimed: false, against: 'uniform' });
    expect(found.text).toMatch(/^No evidence that window 400 is better as a recipe/);
  });

  it('is claimed without reason in less than one of twenty simulated runs, with windows that overlap', () => {
    const parts = { concludeArtefact, concludeRecipes, randomOf, normalOf, normalQuantile, normalCdf, covarianceRoot };
    const cell = { endpoints: 24, window: 12, stride: 2, reference: 4, recipes: 1, gain: 0 };
    const runs = Array.from({ length: 300 }, (_, seed) => concludedRecipes(parts, cell, seed));
    expect(runs.every(({ judged }) => judged)).toBe(true);
    expect(runs[0]!.effective).toBeLessThan(16);
    expect(runs.filter(({ claimed }) => claimed).length).toBeLessThanOrEqual(15);
    expect(runs.filter(({ held }) => held).length).toBeGreaterThanOrEqual(280);
  });
});
