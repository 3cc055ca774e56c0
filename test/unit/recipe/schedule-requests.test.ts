import { describe, expect, it, test } from 'vitest';
import { splitMix64 } from '../../../src/base/numbers/random.ts';
import { weightProblems } from '../../../src/recipe/schedule/check.ts';
import { METHODS } from '../../../src/recipe/schedule/methods.ts';
import { PARAMETERS, parameterLabel, rangeText } from '../../../src/recipe/schedule/parameters.ts';
import { resolveWeights, scramble } from '../../../src/recipe/schedule/resolve.ts';
import type { WeightRequest } from '../../../src/recipe/schedule/types.ts';
import { membersAt, membersOf } from '../../support/schedule-members.ts';

describe('extrapolate', () => {
  const weightsOf = async (count: number, request: WeightRequest) => [
    ...(await resolveWeights(membersOf(count), { method: 'extrapolate', ...request })).weights,
  ];

  it('with a window and a lag of 1 is newest + γ(newest − previous)', async () => {
    expect(await weightsOf(2, { gamma: 0.5 })).toEqual([-0.5, 1.5]);
    expect(await weightsOf(2, { gamma: 0 })).toEqual([0, 1]);
    expect(await weightsOf(2, { gamma: -0.25 })).toEqual([0.25, 0.75]);
  });

  it('is (1 + γ)·SMA_n(t) − γ·SMA_n(t − L), overlapping or not', async () => {
    expect(await weightsOf(4, { gamma: 1, window: 2, lag: 2 })).toEqual([-0.5, -0.5, 1, 1]);
    expect(await weightsOf(3, { gamma: 1, window: 2, lag: 1 })).toEqual([-0.5, 0.5, 1]);
    expect(await weightsOf(5, { gamma: 0.5, window: 1, lag: 4 })).toEqual([-0.5, 0, 0, 0, 1.5]);
    const values = [3, -1, 4, 1, -5, 9, 2];
    const mean = (from: number, to: number) => values.slice(from, to).reduce((a, b) => a + b) / (to - from);
    const weights = await weightsOf(7, { gamma: 0.3, window: 3, lag: 2 });
    expect(values.reduce((sum, x, i) => sum + x * weights[i]!, 0)).toBeCloseTo(1.3 * mean(4, 7) - 0.3 * mean(2, 5), 14);
  });

  it('older members take no part, and the plan says so', async () => {
    const { weights, notes, parameters } = await resolveWeights(membersOf(5), { method: 'extrapolate', gamma: 0.5 });
    expect([...weights]).toEqual([0, 0, 0, -0.5, 1.5]);
    expect(notes).toEqual([expect.stringContaining('the oldest 3 of 5 members take no part')]);
    expect(parameters).toEqual({ gamma: 0.5, window: 1, lag: 1 });
  });

  it('needs window + lag members', async () => {
    await expect(weightsOf(4, { gamma: 1, window: 3, lag: 2 })).rejects.toMatchObject({
      code: 'E_WEIGHTS',
      message: expect.stringContaining('needs 5 members, and there are 4'),
    });
  });

  it('warns of uneven spacing among the members that take part', async () => {
    const codes = async (steps: number[]) => {
      const { warnings } = await resolveWeights(membersAt(steps), { method: 'extrapolate', gamma: 1, window: 2, lag: 1 });
      return warnings.map((w) => w.code);
    };
    expect(await codes([1, 1000, 2000, 3000])).toEqual([]);
    expect(await codes([1000, 2000, 5000])).toEqual(['W_UNEVEN_SPACING']);
  });
});

describe('control experiments', () => {
  it('reverse turns any weights around, and what it said of its members is not said of others', async () => {
    const wma = await resolveWeights(membersOf(4), { method: 'wma', reverse: true });
    expect([...wma.weights]).toEqual([0.4, 0.3, 0.2, 0.1]);
    expect(wma.parameters).toEqual({ reverse: true });
    const ema = await resolveWeights(membersOf(10), { method: 'ema', alpha: 0.1, reverse: true });
    expect(ema.warnings).toEqual([]);
    expect(ema.notes).toEqual(['control experiment: the weights are in reverse order']);
    expect([...(await resolveWeights(membersOf(2), { weights: [0.25, 0.75], reverse: true })).weights]).toEqual([0.75, 0.25]);
  });

  it.each([
    [{ method: 'sma', reverse: true }, 'reverse changes nothing: the weights of the 3 members are the same in reverse order'],
    [{ method: 'sma', scramble: 5 }, 'scramble changes nothing: the weights of the 3 members are the same in an order that seed 5 decides'],
    [{ weights: [0.25, 0.5, 0.25], reverse: true }, 'reverse changes nothing: the weights of the 3 members are the same in reverse order'],
  ] as [WeightRequest, string][])('a control experiment without an effect is told: %j', async (request, message) => {
    expect((await resolveWeights(membersOf(3), request)).warnings).toEqual([{ code: 'W_NO_EFFECT', message }]);
    expect((await resolveWeights(membersOf(3), { method: 'wma', reverse: true })).warnings).toEqual([]);
  });

  it('SplitMix64 gives the published numbers of seed 1234567', () => {
    const next = splitMix64(1234567);
    expect(Array.from({ length: 5 }, next)).toEqual([
      6457827717110365317n,
      3203168211198807973n,
      9817491932198370423n,
      4593380528125082431n,
      16408922859458223821n,
    ]);
  });

  it('scramble is the Fisher–Yates order of those numbers, for ever', async () => {
    // r mod 5, 4, 3, 2 of the five numbers above: 2, 1, 0, 1. 01234 → 01432 → 03412 → 43012 → 43012.
    expect([...scramble(Float64Array.of(0, 1, 2, 3, 4), 1234567)]).toEqual([4, 3, 0, 1, 2]);
    const { weights, parameters } = await resolveWeights(membersOf(10), { method: 'wma', scramble: 7 });
    expect(parameters).toEqual({ scramble: 7 });
    expect([...weights].map((w) => Math.round(w * 55))).toEqual([9, 2, 6, 10, 1, 5, 4, 3, 7, 8]);
    expect([...weights].sort()).toEqual([...(await resolveWeights(membersOf(10), { method: 'wma' })).weights].sort());
  });

  it('another seed is another order, and every order can come', () => {
    const orders = new Map<string, number>();
    for (let seed = 0; seed < 2400; seed++) {
      const order = scramble(Float64Array.of(1, 2, 3, 4), seed).join('');
      orders.set(order, (orders.get(order) ?? 0) + 1);
    }
    expect(orders.size).toBe(24);
    for (const count of orders.values()) expect(count).toBeGreaterThan(60);
  });
});

describe('requests that make no sense', () => {
  const REFUSED: [string, WeightRequest, string][] = [
    ['unknown method', { method: 'mean' as 'sma' }, 'there is no method "mean"'],
    ['a method that is no text', { method: 5 as unknown as 'sma' }, 'there is no method 5'],
    ['alpha 0', { method: 'ema', alpha: 0 }, 'alpha must be a number over 0 and at most 1, not 0'],
    ['alpha above 1', { method: 'ema', alpha: 1.01 }, 'not 1.01'],
    ['alpha NaN', { method: 'ema', alpha: Number.NaN }, 'alpha must be'],
    ['alpha as text', { method: 'ema', alpha: '0.2' as unknown as number }, 'alpha must be'],
    ['alpha with sma', { method: 'sma', alpha: 0.2 }, 'alpha has no meaning for method sma'],
    ['alpha and half-life', { method: 'ema', alpha: 0.2, halfLife: '2B' }, 'alpha and halfLife cannot be used together'],
    ['half-life of nothing', { method: 'ema', halfLife: 0 }, 'halfLife must be a distance over 0, not 0'],
    ['half-life of no unit known', { method: 'ema', halfLife: '2 weeks' }, 'halfLife must be tokens, steps or checkpoints'],
    ['half-life with ema-normalized', { method: 'ema-normalized', halfLife: '2B' }, 'halfLife has no meaning for method ema-normalized'],
    ['unknown decay', { method: 'wsm', decay: 'exponential' as 'linear' }, 'decay must be linear, cosine, 1-sqrt or minus-sqrt'],
    ['floor of 1', { method: 'wsm', decayFloor: 1 }, 'decayFloor must be a number at least 0 and below 1'],
    ['decay and decay-file', { method: 'wsm', decay: 'linear', decayFile: 'x' }, 'decay and decayFile cannot be used together'],
    ['floor and decay-file', { method: 'wsm', decayFloor: 0.1, decayFile: 'x' }, 'decayFloor and decayFile'],
    ['end and decay-file', { method: 'wsm', decayEnd: 100, decayFile: 'x' }, 'decayEnd and decayFile'],
    ['end in checkpoints', { method: 'wsm', decayEnd: '12ckpt' }, 'decayEnd must be a step or a token count'],
    ['empty decay-file', { method: 'wsm', decayFile: '' }, 'decayFile must be the path of a file'],
    ['decay with the default method', { decay: 'cosine' }, 'decay has no meaning for method sma'],
    ['lr-curve without a curve', { method: 'lr-curve' }, 'method lr-curve needs lrCurve'],
    ['extrapolate without gamma', { method: 'extrapolate' }, 'method extrapolate needs gamma'],
    ['infinite gamma', { method: 'extrapolate', gamma: Number.POSITIVE_INFINITY }, 'gamma must be a number'],
    ['window of 0', { method: 'extrapolate', gamma: 1, window: 0 }, 'window must be a whole number at least 1'],
    ['half a lag', { method: 'extrapolate', gamma: 1, lag: 0.5 }, 'lag must be a whole number at least 1'],
    ['negative seed', { scramble: -1 }, 'scramble must be a whole number at least 0'],
    ['reverse and scramble', { method: 'wma', reverse: true, scramble: 1 }, 'reverse and scramble cannot be used together'],
    ['method and weights', { method: 'sma', weights: [1, 0] }, 'explicit weights and a method cannot be used together'],
    ['alpha and weights', { alpha: 0.5, weights: [1, 0] }, 'alpha has no meaning for explicit weights'],
    ['normalize of a schedule', { method: 'sma', normalize: true }, 'normalize is for explicit weights'],
  ];

  it.each(REFUSED)('%s', async (_, request, message) => {
    await expect(resolveWeights(membersOf(2), request)).rejects.toMatchObject({
      code: 'E_OPTION',
      message: expect.stringContaining(message),
    });
  });

  it('help names the method that a parameter belongs to, and the method that was meant', () => {
    expect(weightProblems({ method: 'wma', alpha: 0.2 })[0]).toMatchObject({
      path: ['alpha'],
      help: expect.stringContaining('ema and ema-normalized'),
    });
    expect(weightProblems({ method: 'ema-normalised' as 'ema' })[0]!.help).toMatch(/^Did you mean ema-normalized\? The methods are sma, /);
    expect(weightProblems({ method: 'mean' as 'ema' })[0]!.help).toMatch(/^The methods are sma, /);
  });

  it('all problems are told at once', async () => {
    const request: WeightRequest = { method: 'wsm', alpha: 2, gamma: 1, decayFloor: 2, normalize: true };
    const messages = weightProblems(request).map((p) => p.path[0]);
    expect(messages.toSorted()).toEqual(['alpha', 'decayFloor', 'gamma', 'normalize']);
    await expect(resolveWeights(membersOf(2), request)).rejects.toMatchObject({
      code: 'E_OPTION',
      message: expect.stringContaining('4 things'),
      details: { conflicts: weightProblems(request).map(({ message }) => ({ code: 'E_OPTION', message })) },
    });
  });

  it('requests that make sense have no problems', () => {
    const fine: WeightRequest[] = [
      {},
      { method: 'ema', halfLife: '3ckpt', reverse: true },
      { method: 'wsm', decay: '1-sqrt', decayFloor: 0, decayEnd: '2T', scramble: 0 },
      { method: 'wsm', decayFile: 'factors.csv' },
      { method: 'extrapolate', gamma: -0.5, window: 2, lag: 3, reverse: false, scramble: 3 },
      { weights: [1, 2], normalize: true, reverse: true },
    ];
    expect(fine.flatMap(weightProblems)).toEqual([]);
  });
});

test('the registry: every parameter has a schedule, every schedule its own name and words', () => {
  const used = new Set(METHODS.flatMap((s) => s.parameters));
  expect(Object.keys(PARAMETERS).filter((name) => !used.has(name as 'alpha'))).toEqual(['reverse', 'scramble']);
  expect(new Set(METHODS.map((s) => s.name)).size).toBe(METHODS.length);
  expect(parameterLabel('halfLife')).toBe('half-life');
  expect([rangeText({}), rangeText({ above: 0, atMost: 1 })]).toEqual(['', 'over 0 and at most 1']);
});
