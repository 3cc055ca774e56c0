import { describe, expect, it, test } from 'vitest';
import { shareLost } from '../../../src/base/numbers/elementary.ts';
import { resolveWeights } from '../../../src/recipe/schedule/resolve.ts';
import type { ScheduleMember, WeightRequest } from '../../../src/recipe/schedule/types.ts';
import { membersAt, membersOf } from '../../support/schedule-members.ts';

async function weightsOf(members: readonly ScheduleMember[], request: WeightRequest): Promise<number[]> {
  return [...(await resolveWeights(members, request)).weights];
}
async function warningsOf(members: readonly ScheduleMember[], request: WeightRequest): Promise<string[]> {
  return (await resolveWeights(members, request)).warnings.map((w) => w.code);
}
const fixed = (weights: readonly number[], digits: number) => weights.map((w) => w.toFixed(digits));

describe('averages', () => {
  it('sma is 1/N for every member', async () => {
    expect(await weightsOf(membersOf(4), { method: 'sma' })).toEqual([0.25, 0.25, 0.25, 0.25]);
    expect((await resolveWeights(membersOf(3), {})).method).toBe('sma');
  });

  it('wma of 10 is the table of PMA eq. 5', async () => {
    const table = ['0.018', '0.036', '0.055', '0.073', '0.091', '0.109', '0.127', '0.145', '0.164', '0.182'];
    expect(fixed(await weightsOf(membersOf(10), { method: 'wma' }), 3)).toEqual(table);
  });

  it('ema follows the recursion of PMA eq. 4 when it is run on numbers', async () => {
    const values = [3, -1, 4, 1, -5, 9, 2, 6, 5, 3];
    for (const alpha of [0.1, 0.2, 0.5, 1]) {
      const weights = await weightsOf(membersOf(values.length), { method: 'ema', alpha });
      const recursion = values.slice(1).reduce((average, x) => alpha * x + (1 - alpha) * average, values[0]!);
      const weighted = values.reduce((sum, x, i) => sum + x * weights[i]!, 0);
      expect(weighted).toBeCloseTo(recursion, 12);
    }
  });

  it.each([
    [0.1, ['0.387', '0.043', '0.048', '0.053', '0.059', '0.066', '0.073', '0.081', '0.090', '0.100']],
    [0.2, ['0.134', '0.034', '0.042', '0.052', '0.066', '0.082', '0.102', '0.128', '0.160', '0.200']],
  ])('ema with alpha %d over 10 members is the hand-computed table', async (alpha, table) => {
    expect(fixed(await weightsOf(membersOf(10), { method: 'ema', alpha }), 3)).toEqual(table);
  });

  it('ema with alpha 0.1 over 10 members warns that the oldest weighs .387 against .1', async () => {
    const { warnings } = await resolveWeights(membersOf(10), { method: 'ema', alpha: 0.1 });
    expect(warnings.map((w) => w.code)).toEqual(['W_OLDEST_HEAVIEST']);
    expect(warnings[0]!.message).toContain('step 1000) 0.387 and the newest 0.100');
    expect(await warningsOf(membersOf(10), { method: 'ema', alpha: 0.3 })).toEqual([]);
  });

  it('ema-normalized is the closed form over its sum, each member (1 − α) times the next', async () => {
    // α = 0.5, N = 3: 1/8, 1/4, 1/2 over 7/8.
    expect(await weightsOf(membersOf(3), { method: 'ema-normalized', alpha: 0.5 })).toEqual([1 / 7, 2 / 7, 4 / 7]);
    for (const [alpha, sum] of [
      [0.1, 0.6513215599],
      [0.2, 0.8926258176],
    ] as const) {
      const weights = await weightsOf(membersOf(10), { method: 'ema-normalized', alpha });
      for (const [i, w] of weights.entries()) expect(w).toBeCloseTo((alpha * (1 - alpha) ** (9 - i)) / sum, 14);
    }
    expect(await weightsOf(membersOf(4), { method: 'ema-normalized', alpha: 1 })).toEqual([0, 0, 0, 1]);
    expect(await warningsOf(membersOf(10), { method: 'ema-normalized', alpha: 0.1 })).toEqual([]);
  });

  it('alpha of a tiny value is a mean, not a division of zero by zero', async () => {
    expect(await weightsOf(membersOf(4), { method: 'ema-normalized', alpha: 1e-300 })).toEqual([0.25, 0.25, 0.25, 0.25]);
  });
});

describe('half-life', () => {
  const T = [0, 10, 20, 30, 80];
  const EXPECTED = ['0.0625', '0.0259', '0.0366', '0.0518', '0.8232'];

  it('goes by steps, tokens or checkpoints, whichever its unit is', async () => {
    const even = [0, 1, 2, 3, 4];
    const bySteps = await resolveWeights(membersAt(T, even), { method: 'ema', halfLife: '20steps' });
    expect(fixed([...bySteps.weights], 4)).toEqual(EXPECTED);
    expect(bySteps.parameters).toEqual({ 'half-life': '20steps' });
    const tokens = T.map((t) => t * 1e9);
    const byTokens = await weightsOf(membersAt(even, tokens), { method: 'ema', halfLife: '20B' });
    expect(fixed(byTokens, 4)).toEqual(EXPECTED);
    // Each checkpoint halves what was: 1/16, then 1/16, 1/8, 1/4, 1/2.
    expect(await weightsOf(membersAt(T, tokens), { method: 'ema', halfLife: '1ckpt' })).toEqual([0.0625, 0.0625, 0.125, 0.25, 0.5]);
  });

  it('is the recursion with α_i = 1 − 2^(−(T_i − T_{i−1})/H): what is H old weighs half of what it did', async () => {
    const weights = await weightsOf(membersAt(T), { method: 'ema', halfLife: 20 });
    const alphas = [10, 10, 10, 50].map((d) => 1 - 2 ** (-d / 20));
    const recursion = alphas.reduce((average, alpha, i) => alpha * [7, -2, 5, 3][i]! + (1 - alpha) * average, 11);
    expect([11, 7, -2, 5, 3].reduce((sum, x, i) => sum + x * weights[i]!, 0)).toBeCloseTo(recursion, 13);
    expect(weights[0]).toBeCloseTo(0.0625, 15);
  });

  it('does not mind uneven spacing and does not warn', async () => {
    expect(await warningsOf(membersAt(T), { method: 'ema', halfLife: 20 })).toEqual([]);
    expect(await warningsOf(membersAt(T), { method: 'ema', halfLife: 500 })).toEqual(['W_OLDEST_HEAVIEST']);
  });

  it('needs its unit of every member, rising', async () => {
    const some = membersAt(T, [0, 10, null, 30, 80]);
    await expect(resolveWeights(some, { method: 'ema', halfLife: '2B' })).rejects.toMatchObject({
      code: 'E_NO_POSITION',
      message: expect.stringContaining('1 of 5 have none (run/checkpoint-20)'),
    });
    const level = membersAt([0, 10, 20], [0, 5e9, 5e9]);
    await expect(resolveWeights(level, { method: 'ema', halfLife: '2B' })).rejects.toMatchObject({
      code: 'E_ORDER',
      message: expect.stringContaining('run/checkpoint-20'),
    });
  });

  test('1 − 2^(−x) is exact at whole numbers and within 2 ulp elsewhere', () => {
    expect([0, 1, 2, 3, 10].map(shareLost)).toEqual([0, 0.5, 0.75, 0.875, 1 - 1 / 1024]);
    for (let x = 0.001; x < 60; x = x * 1.37 + 0.003) {
      expect(Math.abs(shareLost(x) - -Math.expm1(-x * Math.LN2))).toBeLessThanOrEqual(4.5e-16);
    }
    // Far below the spacing of floats at 1, where 1 − 2^(−x) itself would be 0.
    expect(shareLost(1e-18)).toBeCloseTo(1e-18 * Math.LN2, 33);
    expect([2000, Number.MAX_VALUE].map(shareLost)).toEqual([1, 1]);
  });
});

describe('uneven spacing', () => {
  const holes = [1000, 2000, 3000, 8000];

  it.each([
    ['wma', {}],
    ['ema', { alpha: 0.5 }],
    ['ema-normalized', { alpha: 0.5 }],
  ] as const)('%s warns, with the spacing', async (method, parameters) => {
    const { warnings } = await resolveWeights(membersAt(holes), { method, ...parameters });
    expect(warnings.map((w) => w.code)).toEqual(['W_UNEVEN_SPACING']);
    expect(warnings[0]!.message).toContain('1000 steps to 5000 steps apart');
  });

  it('sma does not care', async () => {
    expect(await warningsOf(membersAt(holes), { method: 'sma' })).toEqual([]);
  });

  it('token counts that a name rounds are no unevenness: the steps tell', async () => {
    const rounded = membersAt([1000, 2000, 3000, 4000, 5000], [2e9, 4e9, 6e9, 9e9, 11e9]);
    expect(await warningsOf(rounded, { method: 'wma' })).toEqual([]);
    const batchGrew = membersAt([1000, 2000, 3000, 4000, 5000], [2e9, 4e9, 6e9, 14e9, 22e9]);
    expect(await warningsOf(batchGrew, { method: 'wma' })).toEqual(['W_UNEVEN_SPACING']);
  });
});

describe('order', () => {
  it('siblings have none, so only sma and explicit weights take them', async () => {
    const siblings = membersAt([500, 500, 500]);
    for (const request of [{ method: 'wma' }, { method: 'ema' }, { method: 'wsm' }, { method: 'extrapolate', gamma: 0.5 }] as const) {
      await expect(resolveWeights(siblings, request, { siblings: true })).rejects.toMatchObject({
        code: 'E_ORDER',
        message: expect.stringContaining('siblings'),
      });
    }
    const { weights } = await resolveWeights(siblings, { method: 'sma' }, { siblings: true });
    expect([...weights]).toEqual([1 / 3, 1 / 3, 1 / 3]);
    expect([...(await resolveWeights(siblings, { weights: [0.5, 0.25, 0.25] }, { siblings: true })).weights]).toEqual([0.5, 0.25, 0.25]);
  });

  it('two members at one step have none either', async () => {
    const twice = membersAt([1000, 2000, 2000]);
    await expect(resolveWeights(twice, { method: 'wma' })).rejects.toMatchObject({
      code: 'E_ORDER',
      message: expect.stringContaining('step 2000'),
    });
    expect(await weightsOf(twice, { method: 'sma' })).toHaveLength(3);
  });

  it('one member is the merge, whatever the schedule', async () => {
    for (const method of ['sma', 'wma', 'ema', 'ema-normalized', 'wsm'] as const) {
      expect(await weightsOf(membersOf(1), { method })).toEqual([1]);
    }
  });
});

describe('explicit weights', () => {
  it('are used as given, with a warning when they do not sum to 1', async () => {
    const { weights, warnings } = await resolveWeights(membersOf(2), { weights: [-0.5, 1.4] });
    expect([...weights]).toEqual([-0.5, 1.4]);
    expect(warnings.map((w) => w.code)).toEqual(['W_WEIGHT_SUM']);
    expect(await warningsOf(membersOf(2), { weights: [-0.5, 1.5] })).toEqual([]);
  });

  it('are divided by their sum with normalize', async () => {
    expect(await weightsOf(membersOf(3), { weights: [1, 2, 1], normalize: true })).toEqual([0.25, 0.5, 0.25]);
  });

  it.each<[string, WeightRequest]>([
    ['too few', { weights: [1] }],
    ['NaN', { weights: [Number.NaN, 1] }],
    ['infinite', { weights: [Number.POSITIVE_INFINITY, 1] }],
    ['all zero', { weights: [0, -0] }],
    ['sum of zero with normalize', { weights: [1, -1], normalize: true }],
  ])('%s is refused', async (_, request) => {
    await expect(resolveWeights(membersOf(2), request)).rejects.toMatchObject({ code: 'E_WEIGHTS' });
  });
});
