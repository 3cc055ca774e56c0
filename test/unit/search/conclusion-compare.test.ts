import { describe, expect, it } from 'vitest';
import type { ItemScores } from '../../../src/checkpoints/results/types.ts';
import { type Beliefs, spaceBeliefs, spreadBeliefs } from '../../../src/search/conclusion/beliefs.ts';
import { compare } from '../../../src/search/conclusion/compare.ts';
import { repeatSpread, statedVariances } from '../../../src/search/conclusion/difference.ts';
import { type CompleteTrial, type RecipeScores, recipesOf } from '../../../src/search/conclusion/recipes.ts';
import type { Point } from '../../../src/search/gaussian-process/cube.ts';
import { NORMAL_95 } from '../../../src/search/gaussian-process/normal.ts';

interface Parts {
  readonly id?: number;
  readonly recipe?: string;
  readonly score?: number;
  readonly stderr?: number | null;
  readonly scores?: readonly number[];
  readonly x?: number | null;
}
const trial = ({ id = 0, recipe = `r${id}`, score = 0, stderr = null, scores, x = null }: Parts): CompleteTrial =>
  ({
    ...{ id, recipe, score, stderr, kind: 'trial', status: 'complete', params: x === null ? null : { x } },
    items: scores === undefined ? null : [{ name: '', weight: 1, digest: 'd', scores } satisfies ItemScores],
  }) as unknown as CompleteTrial;
const encode = ({ x }: Readonly<Record<string, unknown>>): Point => [x as number];
const recipesFrom = (parts: readonly Parts[]): RecipeScores[] => recipesOf(parts.map(trial), encode, 'maximize');
/** Beliefs that are given: one reading with this mean and covariance. */
const given = (mean: readonly number[], covariance: readonly number[], coversItems = false): Beliefs => ({
  joints: () => [{ mean: Float64Array.from(mean), covariance: Float64Array.from(covariance) }],
  marginals: { mean: new Float64Array(), std: new Float64Array() },
  ...{ learnedNoise: null, coversItems, predict: null },
});
const options = { goal: 'maximize', noise: 'shared', seed: 1 } as const;

describe('recipesOf', () => {
  it('puts repeats together by id, turns scores into the direction of the goal, and leaves out what failed', () => {
    const failed = { ...trial({ id: 1 }), status: 'failed', score: null } as never;
    const trials = [
      trial({ id: 3, recipe: 'a', score: 2, x: 0.5 }),
      failed,
      trial({ id: 2, recipe: 'b', score: 5 }),
      trial({ id: 0, recipe: 'a', score: 1 }),
    ];
    const recipes = recipesOf(trials, encode, 'minimize');
    expect(recipes.map(({ values, point }) => ({ values, point }))).toEqual([
      { values: [-1, -2], point: [0.5] },
      { values: [-5], point: null },
    ]);
    expect(recipes[0]!.trials.map(({ id }) => id)).toEqual([0, 3]);
  });
});

describe('noise', () => {
  it('pools the spread of repeats: squares of 1, 3 (2) and 0, 0, 3 (6) over 3 degrees of freedom', () => {
    expect(repeatSpread([{ values: [1, 3] }, { values: [7] }, { values: [0, 0, 3] }])).toEqual({ variance: 8 / 3, freedom: 3 });
    expect(repeatSpread([{ values: [1] }, { values: [2] }])).toBeNull();
    expect(repeatSpread([{ values: [4, 4] }])).toEqual({ variance: 0, freedom: 1 });
  });

  it('takes a standard error for noise only where items are drawn anew, and never one of 0', () => {
    const recipe = { trials: [0.5, null, 0].map((stderr) => trial({ stderr })) };
    expect(statedVariances(recipe, 'shared')).toEqual([null, null, null]);
    expect(statedVariances(recipe, 'independent')).toEqual([0.25, null, null]);
  });
});

describe('compare', () => {
  it('has the probability and the interval of a normal distribution for one opponent: 1 ± 0.5', () => {
    const recipes = recipesFrom([{ id: 0 }, { id: 1 }]);
    const { probability, gain, interval, against, coverage } = compare(given([3, 2], [0.15, 0, 0, 0.1]), recipes, 0, [1], options);
    expect(gain).toBeCloseTo(1, 12);
    expect(probability).toBeCloseTo(0.97725, 2); // Φ(2)
    expect(interval[0]).toBeCloseTo(1 - 1.96 * 0.5, 1);
    expect(interval[1]).toBeCloseTo(1 + 1.96 * 0.5, 1);
    expect(against).toBe(1);
    expect(coverage).toEqual({ kind: 'unknown' });
  });

  it('takes from the covariance what two recipes have in common', () => {
    const { interval } = compare(given([3, 2], [1, 0.99, 0.99, 1]), recipesFrom([{ id: 0 }, { id: 1 }]), 0, [1], options);
    expect(interval[1] - interval[0]).toBeCloseTo(2 * 1.96 * Math.sqrt(0.02), 1);
  });

  it('counts only what is better than both: orthant probability 1/4 + asin(1/2)/(2π) = 1/3 of three equals', () => {
    const recipes = recipesFrom([{ id: 0 }, { id: 1 }, { id: 2 }]);
    const { probability } = compare(given([0, 0, 0], [1, 0, 0, 0, 1, 0, 0, 0, 1]), recipes, 0, [1, 2], options);
    expect(probability).toBeCloseTo(1 / 3, 1.7);
  });

  it('measures the gain against the better opponent, of all readings', () => {
    const recipes = recipesFrom([{ id: 0 }, { id: 1 }, { id: 2 }]);
    const zero = new Float64Array(9);
    const beliefs: Beliefs = {
      ...given([], []),
      joints: () => [
        { mean: Float64Array.of(3, 1, 2), covariance: zero },
        { mean: Float64Array.of(3, 2.5, 0), covariance: zero },
      ],
    };
    const { gain, against, probability, interval } = compare(beliefs, recipes, 0, [1, 2], options);
    expect(against).toBe(1); // 1.75 on average, the other 1
    expect(gain).toBeCloseTo(1.25, 12);
    expect(probability).toBe(1);
    expect(interval).toEqual([0.5, 2]); // a half and half mixture of the two readings
  });

  it('adds the choice of items whole, with what two differences share, and not to beliefs that have it', () => {
    // Differences to both opponents are 0, 2, 4, 2 → mean 2, variance of the mean 8/3/4; the opponents are
    // the same, so both differences err as one.
    const recipes = recipesFrom([
      { id: 0, scores: [1, 3, 5, 3] },
      { id: 1, scores: [1, 1, 1, 1] },
      { id: 2, scores: [1, 1, 1, 1] },
    ]);
    const exact = new Array<number>(9).fill(0);
    const { probability, interval, coverage } = compare(given([1, 0, 0], exact), recipes, 0, [1, 2], options);
    // Of four items with two opponents' lists each of three degrees of freedom: t is 3.182.
    const error = (Math.sqrt(2 / 3) * 3.182) / 1.96;
    expect(coverage).toEqual({ kind: 'paired', items: 4 });
    expect(interval[0]).toBeCloseTo(1 - 1.96 * error, 1);
    expect(probability).toBeCloseTo(0.7747, 1.9); // Φ(1/1.3256), as for one opponent
    const covered = compare(given([1, 0, 0], exact, true), recipes, 0, [1, 2], options);
    expect(covered.interval).toEqual([1, 1]);
    expect(compare(given([1, 0, 0], exact), recipes, 0, [1, 2], { ...options, noise: 'independent' }).interval).toEqual([1, 1]);
  });

  it('says below what unpaired scores cannot be judged: 1.96 √2 standard errors', () => {
    const recipes = recipesFrom([
      { id: 0, stderr: 0.1 },
      { id: 1, stderr: 0.1 },
    ]);
    const { coverage } = compare(given([1, 0], [0, 0, 0, 0]), recipes, 0, [1], options);
    expect(coverage).toEqual({ kind: 'unpaired', resolution: expect.closeTo(0.27718, 5) });
    expect(compare(given([1, 0], [0, 0, 0, 0]), recipes, 0, [1], { ...options, noise: 'independent' }).coverage).toEqual({
      kind: 'independent',
    });
  });

  it('is even between equals without any error, and the same for the same seed', () => {
    const recipes = recipesFrom([{ id: 0 }, { id: 1 }]);
    expect(compare(given([1, 1], [0, 0, 0, 0]), recipes, 0, [1], options)).toMatchObject({ probability: 0.5, gain: 0, interval: [0, 0] });
    const noisy = given([1, 0], [1, 0, 0, 1]);
    expect(compare(noisy, recipes, 0, [1], options)).toEqual(compare(noisy, recipes, 0, [1], options));
    expect(compare(noisy, recipes, 0, [1], { ...options, seed: 2 })).not.toEqual(compare(noisy, recipes, 0, [1], options));
  });
});

describe('spreadBeliefs', () => {
  it('says nothing, and does not break, where squares of the scores are no numbers', () => {
    const recipes = recipesFrom([1, 3e300, -2e300].map((high, id) => ({ id, score: high / 4, scores: [0, 1, 2, high] })));
    const beliefs = spreadBeliefs(recipes, 'shared', null);
    if (beliefs !== null) expect(() => compare(beliefs, recipes, 0, [1, 2], options)).not.toThrow();
  });

  it('pulls recipes to their mean by the share of noise: scores 0, 3, 6 with a variance of 4 have a spread of 9 − 4', () => {
    const recipes = recipesFrom([
      { id: 0, score: 0 },
      { id: 1, score: 3 },
      { id: 2, score: 6 },
    ]);
    const { marginals, joints, coversItems } = spreadBeliefs(recipes, 'shared', { variance: 4, freedom: 5 })!;
    expect([...marginals.mean]).toEqual([3 - (5 / 9) * 3, 3, 3 + (5 / 9) * 3].map((mean) => expect.closeTo(mean, 12)));
    expect(marginals.std[0]).toBeCloseTo(Math.sqrt((5 / 9) * 4), 12);
    const [joint] = joints([2, 0]);
    expect(joint!.mean[0]).toBe(marginals.mean[2]);
    expect([...joint!.covariance]).toEqual([(5 / 9) * 4, 0, 0, (5 / 9) * 4].map((v) => expect.closeTo(v, 12)));
    expect(coversItems).toBe(false);
  });

  it('believes nothing of a spread that noise explains', () => {
    const recipes = recipesFrom([
      { id: 0, score: 0 },
      { id: 1, score: 3 },
      { id: 2, score: 6 },
    ]);
    const { marginals } = spreadBeliefs(recipes, 'shared', { variance: 10, freedom: 5 })!;
    expect([...marginals.mean]).toEqual([3, 3, 3]);
  });

  it('takes scores as they are where repeats show no noise', () => {
    const recipes = recipesFrom([
      { id: 0, score: 0 },
      { id: 1, score: 3 },
    ]);
    const { marginals } = spreadBeliefs(recipes, 'shared', { variance: 0, freedom: 1 })!;
    expect([...marginals.mean, ...marginals.std]).toEqual([0, 3, 0, 0]);
    const equal = spreadBeliefs(
      recipesFrom([
        { id: 0, score: 3 },
        { id: 1, score: 3 },
      ]),
      'shared',
      { variance: 0, freedom: 1 },
    )!;
    expect([...equal.marginals.mean]).toEqual([3, 3]);
  });

  it('has the noise of items, less what all recipes share', () => {
    const recipes = recipesFrom([
      { id: 0, score: 10, scores: [9, 11, 9, 11] },
      { id: 1, score: 0, scores: [1, -1, 1, -1] },
    ]);
    const { marginals, coversItems } = spreadBeliefs(recipes, 'shared', null)!;
    // Differences of 8 and 12: their mean has the variance 16/3/4, of three degrees of freedom; each recipe lies half
    // a difference from the mean of both.
    expect(coversItems).toBe(true);
    expect(marginals.std[0]).toBeCloseTo((Math.sqrt(4 / 3) / 2) * (3.182446 / NORMAL_95), 5);
    expect(marginals.mean[0]! - marginals.mean[1]!).toBeCloseTo(10, 10);
    expect((marginals.mean[0]! + marginals.mean[1]!) / 2).toBeCloseTo(5, 10);
  });

  it('adds the noise of repeats to that of items', () => {
    const of = (variance: number) =>
      spreadBeliefs(
        recipesFrom([
          { id: 0, score: 10, scores: [9, 11, 9, 11] },
          { id: 1, score: 0, scores: [1, -1, 1, -1] },
        ]),
        'shared',
        { variance, freedom: 9 },
      )!.marginals.std[0]!;
    expect(of(2) ** 2 - of(0) ** 2).toBeCloseTo((2 + 2) / 4, 6);
  });

  it('knows nothing without repeats, items or stated errors, or of a single recipe', () => {
    expect(spreadBeliefs(recipesFrom([{ id: 0 }, { id: 1 }]), 'shared', null)).toBeNull();
    expect(
      spreadBeliefs(
        recipesFrom([
          { id: 0, stderr: 1 },
          { id: 1, stderr: 1 },
        ]),
        'shared',
        null,
      ),
    ).toBeNull();
    expect(
      spreadBeliefs(
        recipesFrom([
          { id: 0, stderr: 1 },
          { id: 1, stderr: 1 },
        ]),
        'independent',
        null,
      ),
    ).not.toBeNull();
    expect(spreadBeliefs(recipesFrom([{ id: 0, stderr: 1 }, { id: 1 }]), 'independent', null)).toBeNull();
    expect(spreadBeliefs(recipesFrom([{ id: 0, scores: [1, 2] }]), 'shared', null)).toBeNull();
  });
});

describe('spaceBeliefs', () => {
  const axes = [{ kind: 'real' }] as const;
  const inside = [0, 0.25, 0.5, 0.75, 1].map((x, id) => ({ id, x, score: id % 2 }));

  it('needs three different points', () => {
    expect(spaceBeliefs(recipesFrom(inside.slice(0, 2)), axes, 'shared', 0)).toBeNull();
    const twice = [...inside.slice(0, 2), { id: 7, x: 0, score: 1, recipe: 'other' }];
    expect(spaceBeliefs(recipesFrom(twice), axes, 'shared', 0)).toBeNull();
    expect(spaceBeliefs(recipesFrom(inside.slice(0, 3)), axes, 'shared', 0)).not.toBeNull();
  });

  it('leaves recipes outside to their own scores, and apart from the others', () => {
    const recipes = recipesFrom([...inside, { id: 8, recipe: 'out', score: 40 }, { id: 9, recipe: 'out', score: 42 }]);
    const beliefs = spaceBeliefs(recipes, axes, 'shared', 0)!;
    expect(beliefs.marginals.mean[5]).toBeCloseTo(41, 10);
    expect(beliefs.marginals.std[5]).toBeCloseTo(beliefs.learnedNoise! / Math.SQRT2, 10);
    for (const { covariance } of beliefs.joints([5, 0])) expect(covariance[1]).toBe(0);
    // They are no evidence of anything inside.
    expect(beliefs.marginals.mean.slice(0, 5)).toEqual(spaceBeliefs(recipesFrom(inside), axes, 'shared', 0)!.marginals.mean);
  });

  it('is told of the noise that repeats outside show', () => {
    const repeats = [-4, 4, -4, 4].map((score, i) => ({ id: 10 + i, recipe: 'out', score }));
    const told = spaceBeliefs(recipesFrom([...inside, ...repeats]), axes, 'shared', 0)!;
    expect(told.learnedNoise).toBeGreaterThan(4);
    expect(spaceBeliefs(recipesFrom([...inside, ...repeats.slice(0, 2)]), axes, 'shared', 0)!.learnedNoise).toBeLessThan(1);
  });

  it('gives marginals that are those of the joints', () => {
    const beliefs = spaceBeliefs(recipesFrom(inside), axes, 'shared', 0)!;
    const joints = beliefs.joints([3]);
    const mean = joints.reduce((sum, joint) => sum + joint.mean[0]! / joints.length, 0);
    const second = joints.reduce((sum, joint) => sum + (joint.covariance[0]! + joint.mean[0]! ** 2) / joints.length, 0);
    expect(beliefs.marginals.mean[3]).toBeCloseTo(mean, 10);
    expect(beliefs.marginals.std[3]).toBeCloseTo(Math.sqrt(second - mean ** 2), 8);
    const { mean: drawn } = beliefs.predict!([[0.75]]);
    expect(drawn[0]).toBeCloseTo(mean, 10);
  });
});
