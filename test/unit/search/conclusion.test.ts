import { describe, expect, it } from 'vitest';
import { normalOf, randomOf } from '../../../src/base/numbers/random.ts';
import type { ItemScores } from '../../../src/checkpoints/results/types.ts';
import type { ScheduleMember } from '../../../src/recipe/schedule/types.ts';
import { type Concluded, type ConclusionInput, conclude } from '../../../src/search/conclusion/conclude.ts';
import { posteriorDrawing } from '../../../src/search/conclusion/drawing.ts';
import { pairwise } from '../../../src/search/space/pairwise.ts';
import { scheduleSpace } from '../../../src/search/space/schedule.ts';
import { weightsSpace } from '../../../src/search/space/weights.ts';
import type { ScoredTrial } from '../../../src/search/study/types.ts';

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

describe('conclude', () => {
  const curve = (lambda: number) => 1 - (lambda - 0.7) ** 2;
  const smooth = LAMBDAS.map((lambda) => ({ lambda, score: curve(lambda) }));

  it('names the better baseline, and finds the gain of scores without noise', () => {
    const { conclusion, best, posterior, noiseStd } = concludeOn(smooth);
    expect(best).toBe(LAMBDAS.findIndex((lambda) => Math.abs(lambda - 0.6818) < 0.01));
    expect(conclusion).toMatchObject({ gainClaimed: true, against: 'uniform', basis: 'posterior', resolution: null });
    expect(conclusion.gain).toBeCloseTo(curve(LAMBDAS[best!]!) - curve(0.5), 2);
    expect(conclusion.text).toMatch(
      /^Trial \d+ is better than the newest \(step 200\) and the mean of both: by 0\.0\d+ over the mean of both \(95 % interval/,
    );
    expect(conclusion.text).toContain('nothing is known of other items');
    expect(posterior.get(0)!.mean).toBeCloseTo(curve(1), 2);
    expect(noiseStd).toMatchObject({ from: 'model' });
  });

  it('says the same of losses, mirrored', () => {
    const larger = concludeOn(smooth);
    const smaller = concludeOn(
      smooth.map(({ lambda, score }) => ({ lambda, score: -score })),
      { goal: 'minimize' },
    );
    expect(smaller.conclusion).toEqual(larger.conclusion);
    expect(smaller.posterior.get(3)!.mean).toBeCloseTo(-larger.posterior.get(3)!.mean, 12);
    expect(smaller.predict!([[0.3]]).mean[0]).toBeCloseTo(-larger.predict!([[0.3]]).mean[0]!, 12);
  });

  it('is the same for the same input, whatever the order of the trials', () => {
    const trials = trialsOf(noisy(3, () => 0));
    const [a, b] = [trials, trials.toReversed()].map((of) => concludeOn([], { trials: of }));
    expect(b!.conclusion).toEqual(a!.conclusion);
    expect(b!.best).toBe(a!.best);
  });

  it('claims nothing below what unpaired scores can tell, and says what that is', () => {
    const { conclusion } = concludeOn(smooth.map((part) => ({ ...part, stderr: 0.05 })));
    expect(conclusion.resolution).toBeCloseTo(1.96 * Math.SQRT2 * 0.05, 4);
    expect(conclusion.probability).toBeGreaterThan(0.95);
    expect(conclusion.interval![0]).toBeGreaterThan(0);
    expect(conclusion.gainClaimed).toBe(false);
    expect(conclusion.text).toContain('Unpaired: differences below 0.14 cannot be judged on this set, and this one is below.');
    const fine = concludeOn(smooth.map((part) => ({ ...part, stderr: 0.001 }))).conclusion;
    expect(fine.gainClaimed).toBe(true);
    expect(fine.text).toContain('differences below 0.0028 cannot be judged on this set; the interval is for these items alone');
  });

  it('takes stated errors for the noise of each score where items are drawn anew', () => {
    const { conclusion } = concludeOn(
      smooth.map((part) => ({ ...part, stderr: 0.5 })),
      { noise: 'independent' },
    );
    expect(conclusion).toMatchObject({ gainClaimed: false, resolution: null });
    expect(concludeOn(smooth).conclusion.gainClaimed).toBe(true);
  });

  it('measures noise on repeats, in the space and outside', () => {
    const parts = [...smooth, { lambda: 1, score: 1, recipe: 'r0' }];
    expect(concludeOn(parts).noiseStd).toEqual({ value: expect.closeTo((1 - curve(1)) / Math.SQRT2, 10), from: 'repeats' });
    const { posterior } = concludeOn(parts);
    expect(posterior.get(12)).toEqual(posterior.get(0));
  });

  it('keeps a baseline outside the space out of the model, and compares with it all the same', () => {
    const parts = [smooth[0]!, { score: 30 }, ...smooth.slice(2)];
    const { conclusion, best, posterior, predict } = concludeOn(parts);
    expect(best).toBe(1);
    expect(conclusion).toMatchObject({ gainClaimed: false, gain: null, probability: null, against: null });
    expect(conclusion.text).toMatch(
      /(?:^|\. )No gain by the search: of what was searched, the mean of both is estimated best\. The mean of both is better than the newest/,
    );
    expect(posterior.get(1)!.mean).toBe(30);
    expect(predict!([[0]]).mean[0]).toBeLessThan(2);
  });

  it('compares with the best single where singles were scored, once where it is the newest', () => {
    const single = { name: 'best single', label: 'best single (step 100)', trial: 12 } as const;
    const { conclusion } = concludeOn([...smooth, { score: 0.995 }], { baselines: [NEWEST, UNIFORM, single] });
    expect(conclusion.against).toBe('single');
    expect(conclusion.text).toContain('the newest (step 200), the mean of both and the best single (step 100)');
    const same = concludeOn(smooth, { baselines: [NEWEST, UNIFORM, { ...single, trial: 0 }] });
    expect(same.conclusion.text).not.toContain('best single');
  });

  it('takes the mean over the last 10 for a recipe like others: it may be the best, and is none to beat', () => {
    const sma = { name: 'sma', label: 'SMA over the last 10', trial: 12 } as const;
    const best = concludeOn([...smooth, { score: 1.5 }], { baselines: [NEWEST, UNIFORM, sma] });
    expect(best.best).toBe(12);
    expect(best.conclusion.against).toBe('uniform');
    expect(best.conclusion.text).toMatch(/^The SMA over the last 10 is better than the newest/);
    const other = concludeOn([...smooth, { score: 0.99 }], { baselines: [NEWEST, UNIFORM, sma] });
    expect(other.conclusion.text).not.toContain('SMA');
  });
});

describe('conclude on few trials', () => {
  it('concludes nothing of none, and of failed ones', () => {
    for (const parts of [[], [{ score: null }, { lambda: 0.5, score: null }]]) {
      const found = concludeOn(parts);
      expect(found).toMatchObject({ best: null, noiseStd: null, validation: null, predict: null });
      expect(found.posterior.size).toBe(0);
      expect(found.conclusion).toMatchObject({ gainClaimed: false, gain: null, text: 'No trial has a score: nothing can be concluded.' });
    }
  });

  it('has nothing to compare a single score with', () => {
    const newest = concludeOn([{ lambda: 1, score: 1 }]);
    expect(newest).toMatchObject({
      best: 0,
      conclusion: { gainClaimed: false, text: expect.stringContaining('Only the newest (step 200) has a score') },
    });
    const alone = concludeOn([{ score: null }, { score: null }, { lambda: 0.7, score: 1 }]);
    expect(alone).toMatchObject({ best: 2, conclusion: { gainClaimed: false, text: expect.stringContaining('no baseline has a score') } });
  });

  it('takes the highest of two, and says that nothing is known of the noise', () => {
    const parts = [{ lambda: 1, score: 1 }, { score: null }, { lambda: 0.7, score: 1.5 }];
    const { conclusion, best, posterior } = concludeOn(parts);
    expect(best).toBe(2);
    expect(posterior.size).toBe(0);
    expect(conclusion).toMatchObject({ gainClaimed: false, gain: null, interval: null, probability: null, basis: null, against: 'newest' });
    expect(conclusion.text).toMatch(/scored 0\.500 better than the newest.*nothing is known of the noise/);
  });

  it('judges two by their items', () => {
    const items = Array.from({ length: 50 }, (_, i) => (i % 5) / 10);
    const parts = [
      { lambda: 1, score: 0.2, items },
      { score: null },
      { lambda: 0.7, score: 0.3, items: items.map((item, i) => item + 0.1 + 0.01 * (i % 3)) },
    ];
    const { conclusion } = concludeOn(parts);
    expect(conclusion).toMatchObject({ gainClaimed: true, against: 'newest', resolution: null });
    expect(conclusion.text).toContain('paired over 50');
  });

  it('says of baselines alone which is better', () => {
    const { conclusion, best } = concludeOn([
      { lambda: 1, score: 1 },
      { lambda: 0.5, score: 1.5 },
      { lambda: 1, score: 1.01, recipe: 'r0' },
    ]);
    expect(best).toBe(1);
    expect(conclusion.gainClaimed).toBe(false);
    expect(conclusion.text).toMatch(/the mean of both is estimated best\. The mean of both is better than the newest \(step 200\): by/);
  });

  it('does not call a baseline better than the newest by less than unpaired scores can tell', () => {
    const scores = [0.9, 0.99, 0.98, 0.97, 0.96, 0.95, 0.94, 0.93, 0.92, 0.91];
    const parts = scores.map((score, i) => ({ lambda: i === 0 ? 1 : 0.5 + 0.05 * (i - 1), score, stderr: 0.1 }));
    const { conclusion, best } = concludeOn(parts);
    expect(best).toBe(1);
    expect(conclusion.text).toMatch(
      /The mean of both is not known to be better than the newest.*estimated by 0\.0.*differences below 0\.28 cannot be judged/,
    );
  });

  it.each([
    [2, 7],
    [3, 7],
    [12, 7],
    [3, 1e99],
    [7, 0],
  ])('finds no differences where all %i scores are %f, as they are where an evaluator looks at something else', (count, score) => {
    const { conclusion, best, ...found } = concludeOn(LAMBDAS.slice(0, count).map((lambda) => ({ lambda, score })));
    // Equal scores say nothing of noise, and a model of them is its own prior.
    expect(found).toMatchObject({ noiseStd: null, predict: null, posterior: new Map(), flat: true });
    expect(best).toBe(0);
    expect(conclusion.gainClaimed).toBe(false);
    expect(conclusion.text).toMatch(
      /^No differences: (both|all \d+) recipes have the very same score, and so there is no evidence of a gain\. Check that the evaluator scores \{model\}/,
    );
    const but = concludeOn(LAMBDAS.map((lambda, i) => ({ lambda, score: i === 5 ? 6 : 7 })));
    expect(but.conclusion.text).not.toContain('very same');
    expect(but.flat).toBe(false);
    const repeats = ['r0', 'r0', 'r1', 'r1'].map((recipe) => ({ lambda: recipe === 'r0' ? 1 : 0.5, recipe, score }));
    expect(concludeOn(repeats).noiseStd).toEqual({ value: 0, from: 'repeats' });
  });

  it('has no space to look at for a soup, and pulls scores together by the noise of repeats', () => {
    const singles = [1, 1.1, 1.2].map((score) => ({ score }));
    const repeats = [0.95, 1.05].map((score) => ({ score, recipe: 'r0' }));
    const { conclusion, best, posterior, predict, noiseStd } = concludeOn([...singles, { score: 1.4 }, ...repeats], { space: null });
    expect(best).toBe(3);
    expect(predict).toBeNull();
    expect(noiseStd).toEqual({ value: expect.closeTo(0.05, 10), from: 'repeats' });
    expect(posterior.get(3)!.mean).toBeLessThan(1.4);
    expect(posterior.get(3)!.mean).toBeGreaterThan(1.3);
    expect(conclusion).toMatchObject({ gainClaimed: true, against: 'uniform' });
  });
});

describe('conclude on whatever comes', () => {
  it.each(Array.from({ length: 60 }, (_, seed) => seed))('keeps its promises, seed %i', (seed) => {
    const random = randomOf(seed, 79);
    const scale = 10 ** (12 * random() - 6);
    const [failing, repeating, withItems, withErrors] = [random() * 0.6, random() * 0.5, random() < 0.4, random() < 0.5];
    const count = 1 + Math.floor(12 * random());
    const parts = Array.from({ length: count }, (_, id): Parts => {
      const items = withItems ? Array.from({ length: 8 }, () => scale * (random() + 5)) : undefined;
      const score = items === undefined ? scale * Math.round(20 * random()) : items.reduce((sum, item) => sum + item / 8, 0);
      return {
        lambda: random() < 0.2 ? null : 0.5 + 0.5 * Math.round(4 * random()) * 0.25,
        score: random() < failing ? null : score,
        ...(id > 0 && random() < repeating ? { recipe: `r${Math.floor(id * random())}` } : {}),
        ...(withErrors ? { stderr: random() < 0.2 ? 0 : scale * random() } : {}),
        ...(items === undefined ? {} : { items }),
      };
    });
    const trials = trialsOf(parts);
    const rows = trials.map(({ id }) => ({
      trial: id,
      score: random() < 0.2 ? null : { score: scale * random(), stderr: withErrors ? scale * random() : null, items: null },
    }));
    const found = concludeOn([], {
      ...{ trials, seed, goal: random() < 0.5 ? 'maximize' : 'minimize', noise: random() < 0.5 ? 'shared' : 'independent' },
      ...(random() < 0.3 ? { space: null } : {}),
      ...(random() < 0.4 ? { validation: { command: 'second.sh', rows } } : {}),
    });
    const { conclusion, best, posterior } = found;
    expect(conclusion.text).toMatch(/^[A-Z].*\.$/);
    expect(conclusion.text).not.toMatch(/NaN|Infinity|∞|undefined|null/);
    expect(trials.find(({ id }) => id === best)?.status).toBe(trials.some(({ status }) => status === 'complete') ? 'complete' : undefined);
    const { gain, interval, probability, gainClaimed, resolution } = conclusion;
    if (interval !== null) expect(interval[0] <= gain! + 1e-9 * scale && gain! <= interval[1] + 1e-9 * scale).toBe(true);
    if (probability !== null) expect(probability >= 0 && probability <= 1).toBe(true);
    if (gainClaimed)
      expect([interval![0] > 0, probability! >= 0.95, resolution === null || gain! > resolution]).toEqual([true, true, true]);
    for (const { mean, std } of posterior.values()) expect(Number.isFinite(mean) && std >= 0).toBe(true);
  });
});

describe('posteriorDrawing', () => {
  const three = ['a', 'b', 'c'].map((path, i) => ({ path, step: i, tokens: null }) as ScheduleMember);
  const flat = (points: readonly (readonly number[])[]) => ({
    mean: Float64Array.from(points, ([x, y]) => x! + 10 * (y ?? 0)),
    std: new Float64Array(points.length).fill(0.5),
  });

  it('is a curve over the values of one parameter, with a band of 95 %', () => {
    const drawing = posteriorDrawing(flat, space)!;
    if (drawing.kind !== 'curve') throw new Error('not a curve');
    expect(drawing.parameter).toBe('lambda');
    expect(drawing.points).toHaveLength(101);
    expect(drawing.points[0]).toEqual({ x: 0.5, mean: 0, low: expect.closeTo(-0.98, 4), high: expect.closeTo(0.98, 4) });
    expect(drawing.points[50]).toMatchObject({ x: 0.75, mean: 0.5 });
    expect(drawing.points[100]).toMatchObject({ x: 1, mean: 1 });
  });

  it('has a point for each value of a whole number', async () => {
    const drawing = posteriorDrawing(flat, await scheduleSpace(three, { parameters: { window: { from: 1, to: 3 } } }))!;
    expect(drawing.kind === 'curve' && drawing.points.map(({ x, mean }) => [x, mean])).toEqual([
      [1, 0],
      [2, 0.5],
      [3, 1],
    ]);
  });

  it('is a map of two, rows by the second', async () => {
    const request = { parameters: { window: { from: 1, to: 3 }, method: ['sma', 'wma'] } };
    expect(posteriorDrawing(flat, await scheduleSpace(three, request))).toMatchObject({
      ...{ kind: 'map', x: 'window', y: 'method', xValues: [1, 2, 3], yValues: ['sma', 'wma'] },
      mean: [
        [0, 0.5, 1],
        [10, 10.5, 11],
      ],
      std: [
        [0.5, 0.5, 0.5],
        [0.5, 0.5, 0.5],
      ],
    });
    const fine = posteriorDrawing(flat, weightsSpace(three))!;
    expect(fine.kind === 'map' && [fine.mean.length, fine.mean[0]!.length]).toEqual([31, 31]);
  });

  it('is none without a model, of words alone, and of three parameters', async () => {
    expect(posteriorDrawing(null, space)).toBeNull();
    expect(posteriorDrawing(flat, await scheduleSpace(three, { parameters: { method: ['sma', 'wma'] } }))).toBeNull();
    expect(posteriorDrawing(flat, weightsSpace([...three, members[0]!]))).toBeNull();
  });
});
