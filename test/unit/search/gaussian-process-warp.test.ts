import { describe, expect, test } from 'vitest';
import { normalOf, randomOf } from '../../../src/base/numbers/random.ts';
import { medianOf, warpBetter, warpWorse } from '../../../src/search/gaussian-process/warp.ts';

describe('warpWorse', () => {
  test.each([
    ['noisy scores', Array.from({ length: 40 }, normalOf(randomOf(1)))],
    ['a smooth hump that was tried mostly near its top', [0.3, 0.5, 0.65, 0.75, 0.8, 0.85, 0.9, 1].map((x) => 1 - (1 - x) ** 2)],
    ['equal scores', [7, 7, 7, 7]],
    ['a better half without spread', [1e9, 7, 7, 7].map((x) => -x)],
    ['one score', [3]],
  ])('leaves %s alone', (_, values) => {
    expect(warpWorse(values)).toEqual({ values, slopes: values.map(() => 1), lifted: [] });
  });

  test('bounds what lies far below, in order, and leaves the better half in its own units', () => {
    const values = [-10, -10.5, -11, -1e9, -12, -300, -10.2, -4e4];
    const { values: warped, slopes, lifted } = warpWorse(values);
    expect(lifted).toEqual([3, 5, 7]);
    for (const i of [0, 1, 2, 6]) expect([warped[i], slopes[i]]).toEqual([values[i], 1]);
    expect(warped[4]).toBe(-12);
    expect(warped[5]!).toBeLessThan(-12);
    expect(warped[7]!).toBeLessThan(warped[5]!);
    expect(warped[3]!).toBeLessThan(warped[7]!);
    expect(warped[3]!).toBeGreaterThan(-40);
    expect(slopes[3]!).toBeLessThan(1e-7);
  });

  test('keeps equal values equal, and the order of all, whatever they are', () => {
    for (let seed = 0; seed < 200; seed++) {
      const random = randomOf(seed, 3);
      const values = Array.from({ length: 2 + Math.floor(20 * random()) }, () => -(10 ** Math.round(40 * random() - 20)));
      const { values: warped } = warpWorse(values);
      for (const [i, a] of values.entries())
        for (const [j, b] of values.entries()) {
          expect(Math.sign(warped[i]! - warped[j]!)).toBe(Math.sign(a - b));
        }
      for (const [i, value] of values.entries()) expect(warped[i]!).toBeGreaterThanOrEqual(value);
    }
  });

  test('counts from a middle that is given', () => {
    const values = [5, 4.9, 4.8, 4.7, 1, -1e6];
    expect(warpWorse(values, 1).values.slice(0, 5)).toEqual(values.slice(0, 5));
    expect(warpWorse(values, 1).lifted).toEqual([5]);
    expect(medianOf([3, 1, 2, 0])).toBe(1);
  });
});

describe('warpBetter', () => {
  test.each([
    ['noisy scores', Array.from({ length: 40 }, normalOf(randomOf(1)))],
    ['a narrow peak over a plain', [0.9, 0.01, 0.012, 0.008, 0.02, 0.011, 0.015, 0.009, 0.013]],
    ['one far above equal ones', [1, 0, 0, 0, 0, 0]],
    ['several good ones among others', [1e6, 2e6, 1, 2, 3, 4, 5, 6, 7]],
    ['explosions to the other side', [-3, -3.1, -1e9, -3.2, -1e6]],
    ['three scores', [1e9, 1, 2]],
  ])('leaves %s alone', (_, values) => {
    expect(warpBetter(values)).toEqual({ values, slopes: values.map(() => 1), lifted: [], lowered: [] });
  });

  test('bounds one in eight that is beyond all others, keeps it the best and its repeats alike', () => {
    const values = [-3.1, 1e9, -3, -3.3, -3.2, -1e9];
    const { values: warped, slopes, lowered } = warpBetter(values);
    expect(lowered).toEqual([1]);
    expect(warped.toSpliced(1, 1)).toEqual(values.toSpliced(1, 1));
    expect(warped[1]!).toBeGreaterThan(-3);
    expect(warped[1]!).toBeLessThan(-2.5);
    expect(slopes[1]!).toBeLessThan(1e-8);
    const sixteen = Array.from({ length: 14 }, (_, i) => i / 100);
    expect(warpBetter([1e9, ...sixteen, 1e9]).lowered).toEqual([0, 15]);
  });
});
