import { describe, expect, it } from 'vitest';
import { normalOf, randomOf } from '../../../src/base/numbers/random.ts';
import { fewItemsFactor, studentCdf, studentQuantile } from '../../../src/search/conclusion/student.ts';
import { validate } from '../../../src/search/conclusion/validate.ts';
import { NORMAL_95 } from '../../../src/search/gaussian-process/normal.ts';

const list = (length: number) => [new Float64Array(length)];

describe('the factor for few items', () => {
  // 97.5 % quantiles of Student's t from a printed table.
  it.each([
    [1, 12.7062],
    [2, 4.3027],
    [3, 3.1824],
    [5, 2.5706],
    [9, 2.2622],
    [30, 2.0423],
    [120, 1.9799],
  ])('is that of a t with %i degrees of freedom', (freedom, quantile) => {
    expect(fewItemsFactor(list(freedom + 1)) * NORMAL_95).toBeCloseTo(quantile, 3);
  });

  it('adds the freedom of several lists, and is 1 without any', () => {
    expect(fewItemsFactor([...list(3), ...list(4)])).toBe(fewItemsFactor(list(6)));
    expect(fewItemsFactor(null)).toBe(1);
  });
});

describe("Student's t", () => {
  it('has the distribution functions of 1, 2 and 4 degrees of freedom in closed form', () => {
    for (const t of [-40, -3, -0.2, 0, 0.7, 2.5, 11]) {
      expect(studentCdf(t, 1)).toBeCloseTo(0.5 + Math.atan(t) / Math.PI, 12);
      expect(studentCdf(t, 2)).toBeCloseTo(0.5 + t / (2 * Math.sqrt(2 + t * t)), 12);
      const s = t / Math.sqrt(4 + t * t);
      expect(studentCdf(t, 4)).toBeCloseTo(0.5 + 0.75 * s * (1 - (s * s) / 3), 12);
    }
  });

  it('takes degrees of freedom that are no whole number: its density, summed', () => {
    const freedom = 3.4;
    const density = (t: number) => (1 + (t * t) / freedom) ** (-(freedom + 1) / 2);
    // Over t = sinh u, whose tails are short.
    const sum = (to: number) => {
      let total = 0;
      const [from, steps] = [-20, 40_000];
      for (let i = 0; i < steps; i++) {
        const u = from + ((to - from) * (i + 0.5)) / steps;
        total += (density(Math.sinh(u)) * Math.cosh(u) * (to - from)) / steps;
      }
      return total;
    };
    expect(studentCdf(1.3, freedom)).toBeCloseTo(sum(Math.asinh(1.3)) / sum(20), 7);
  });

  it('has quantiles that its distribution function gives back, and those of the normal without end', () => {
    for (const p of [1e-6, 0.01, 0.025, 0.5, 0.8, 0.9995]) expect(studentCdf(studentQuantile(p, 5.5), 5.5)).toBeCloseTo(p, 12);
    expect(studentQuantile(0.975, Number.POSITIVE_INFINITY)).toBeCloseTo(NORMAL_95, 12);
  });
});

it('a validation over five items claims a gain where there is none in one of forty cases, and not in one of fifteen', () => {
  let claims = 0;
  const cases = 4000;
  for (let seed = 0; seed < cases; seed++) {
    const normal = normalOf(randomOf(seed, 5));
    const scored = (id: number) => {
      const scores = Array.from({ length: 5 }, normal);
      const score = scores.reduce((sum, item) => sum + item / 5, 0);
      return { ids: [id], score, stderr: null, items: [{ name: '', weight: 1, digest: 'd', scores }] };
    };
    const [best, newest] = [scored(0), scored(1)];
    const rows = [best, newest].map((score) => ({ trial: score.ids[0]!, score }));
    const { interval } = validate({ command: '', rows }, best, [newest], 'maximize', { measured: null, learned: null })!;
    if (interval![0] > 0) claims++;
  }
  expect(claims / cases).toBeGreaterThan(0.018);
  expect(claims / cases).toBeLessThan(0.033);
});
