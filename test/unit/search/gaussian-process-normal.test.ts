import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { normalOf, randomOf } from '../../../src/base/numbers/random.ts';
import { logImprovement, logNormalCdf, normalCdf, normalPdf, normalQuantile } from '../../../src/search/gaussian-process/normal.ts';

type Row = [x: number, cdf: string, logCdf: string, logImprovement: string];
const rows = JSON.parse(readFileSync(new URL('../../golden/gp/normal.json', import.meta.url), 'utf8')) as Row[];
const relative = (actual: number, expected: number) => Math.abs(actual - expected) / Math.max(Math.abs(expected), Number.MIN_VALUE);

describe('the normal distribution against mpmath', () => {
  test.each(rows)('at %f', (x, cdf, logCdf, improvement) => {
    if (Number(cdf) > 1e-300) expect(relative(normalCdf(x), Number(cdf))).toBeLessThan(1e-13);
    else expect(normalCdf(x)).toBeLessThan(1e-300);
    expect(relative(logNormalCdf(x), Number(logCdf))).toBeLessThan(1e-13);
    // A logarithm near 0 is known to the precision of what it is taken of.
    expect(Math.abs(logImprovement(x) - Number(improvement))).toBeLessThan(1e-13 * Math.max(1, Math.abs(Number(improvement))));
  });

  test('the quantile undoes the distribution function, in both tails', () => {
    for (const p of [1e-300, 1e-40, 1e-10, 1e-3, 0.02425, 0.2, 0.5, 0.7, 0.975, 0.9999]) {
      expect(relative(normalCdf(normalQuantile(p)), p)).toBeLessThan(1e-12);
    }
    expect(normalQuantile(0.975)).toBeCloseTo(1.959963984540054, 13);
    expect(normalQuantile(0)).toBe(Number.NEGATIVE_INFINITY);
    expect(normalQuantile(1)).toBe(Number.POSITIVE_INFINITY);
    expect(normalQuantile(1.1)).toBeNaN();
    expect(normalQuantile(Number.NaN)).toBeNaN();
  });

  test('the density is the slope of the distribution function', () => {
    for (const x of [-3, -2, -0.5, 0, 1, 2, 4]) expect((normalCdf(x + 1e-5) - normalCdf(x - 1e-5)) / 2e-5).toBeCloseTo(normalPdf(x), 9);
  });
});

describe('random numbers', () => {
  const take = (random: () => number, count: number) => Array.from({ length: count }, random);

  test('are the same for ever for a seed and a stream, and others for another', () => {
    expect(take(randomOf(6, 1), 3)).toEqual(take(randomOf(6, 1), 3));
    const first = [randomOf(6), randomOf(7), randomOf(6, 0), randomOf(6, 1), randomOf(6, 1, 0), randomOf(6, 0, 1), randomOf(6 + 2 ** 32)];
    expect(new Set(first.map((random) => random())).size).toBe(first.length);
    // By a twin in Python, whose xoshiro128** gives 11520, 0, 5927040 from the state 1, 2, 3, 4, as its
    // authors' does.
    expect(take(randomOf(2024, 3), 3)).toEqual([0.42875727147975584, 0.8461907932525572, 0.2475389554821622]);
  });

  test('fill [0, 1) evenly, also over neighbouring seeds', () => {
    for (const numbers of [take(randomOf(1), 40_000), Array.from({ length: 40_000 }, (_, seed) => randomOf(seed)())]) {
      const bins = new Array<number>(100).fill(0);
      for (const x of numbers) bins[Math.floor(x * 100)]! += 1;
      // χ² with 99 degrees of freedom: beyond 160 once in 10,000 generators.
      expect(bins.reduce((sum, n) => sum + (n - 400) ** 2 / 400, 0)).toBeLessThan(160);
    }
  });

  test('of normalOf are normal', () => {
    const sorted = take(normalOf(randomOf(5)), 20_000).sort((a, b) => a - b);
    // Kolmogorov and Smirnov: 1.95/√n is exceeded once in 1,000 generators.
    const apart = sorted.reduce((most, x, i) => Math.max(most, Math.abs(normalCdf(x) - (i + 0.5) / sorted.length)), 0);
    expect(apart).toBeLessThan(1.95 / Math.sqrt(sorted.length));
  });
});
