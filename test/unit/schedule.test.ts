import { describe, expect, it } from 'vitest';
import { resolveWeights } from '../../src/schedule/resolve.ts';

describe('named schedules', () => {
  it('sma is 1/N for every member', () => {
    expect([...resolveWeights(4, { method: 'sma' }).weights]).toEqual([0.25, 0.25, 0.25, 0.25]);
    expect(resolveWeights(3, {}).method).toBe('sma');
  });

  it('wma of 10 is the table of PMA eq. 5', () => {
    const { weights } = resolveWeights(10, { method: 'wma' });
    expect([...weights].map((w) => w.toFixed(3))).toEqual([
      '0.018',
      '0.036',
      '0.055',
      '0.073',
      '0.091',
      '0.109',
      '0.127',
      '0.145',
      '0.164',
      '0.182',
    ]);
  });

  it('ema follows the recursion of PMA eq. 4 when it is run on numbers', () => {
    const values = [3, -1, 4, 1, -5, 9, 2, 6, 5, 3];
    for (const alpha of [0.1, 0.2, 0.5, 1]) {
      const { weights } = resolveWeights(values.length, { method: 'ema', alpha });
      const recursion = values.slice(1).reduce((average, x) => alpha * x + (1 - alpha) * average, values[0]!);
      const weighted = values.reduce((sum, x, i) => sum + x * weights[i]!, 0);
      expect(weighted).toBeCloseTo(recursion, 12);
    }
  });

  it('ema with alpha 0.1 over 10 members warns that the oldest weighs .387 against .1', () => {
    const { weights, warnings } = resolveWeights(10, { method: 'ema', alpha: 0.1 });
    expect(weights[0]).toBeCloseTo(0.387, 3);
    expect(weights[9]).toBe(0.1);
    expect(warnings.map((w) => w.code)).toEqual(['W_OLDEST_HEAVIEST']);
    expect(resolveWeights(10, { method: 'ema', alpha: 0.3 }).warnings).toEqual([]);
  });
});

describe('explicit weights', () => {
  it('are used as given, with a warning when they do not sum to 1', () => {
    const { weights, warnings } = resolveWeights(2, { weights: [-0.5, 1.4] });
    expect([...weights]).toEqual([-0.5, 1.4]);
    expect(warnings.map((w) => w.code)).toEqual(['W_WEIGHT_SUM']);
    expect(resolveWeights(2, { weights: [-0.5, 1.5] }).warnings).toEqual([]);
  });

  it('are divided by their sum with normalize', () => {
    expect([...resolveWeights(3, { weights: [1, 2, 1], normalize: true }).weights]).toEqual([0.25, 0.5, 0.25]);
  });

  const bad: [string, number, Parameters<typeof resolveWeights>[1], string][] = [
    ['too few', 3, { weights: [1, 2] }, 'E_WEIGHTS'],
    ['NaN', 2, { weights: [Number.NaN, 1] }, 'E_WEIGHTS'],
    ['infinite', 2, { weights: [Number.POSITIVE_INFINITY, 1] }, 'E_WEIGHTS'],
    ['all zero', 2, { weights: [0, -0] }, 'E_WEIGHTS'],
    ['sum of zero with normalize', 2, { weights: [1, -1], normalize: true }, 'E_WEIGHTS'],
    ['alpha 0', 2, { method: 'ema', alpha: 0 }, 'E_OPTION'],
    ['alpha above 1', 2, { method: 'ema', alpha: 1.01 }, 'E_OPTION'],
    ['alpha NaN', 2, { method: 'ema', alpha: Number.NaN }, 'E_OPTION'],
    ['alpha with sma', 2, { method: 'sma', alpha: 0.2 }, 'E_OPTION'],
    ['method and weights', 2, { method: 'sma', weights: [1, 0] }, 'E_OPTION'],
    ['unknown method', 2, { method: 'mean' as 'sma' }, 'E_OPTION'],
    ['normalize of a schedule', 2, { method: 'sma', normalize: true }, 'E_OPTION'],
  ];
  it.each(bad)('%s is refused', (_, count, request, code) => {
    expect(() => resolveWeights(count, request)).toThrowError(expect.objectContaining({ code }));
  });
});
