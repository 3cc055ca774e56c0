import { describe, expect, it } from 'vitest';
import { normalOf, randomOf } from '../../../src/base/numbers/random.ts';
import { fewItemsFactor } from '../../../src/search/conclusion/difference.ts';
import { validate } from '../../../src/search/conclusion/validate.ts';
import { NORMAL_95 } from '../../../src/search/gaussian-process/normal.ts';

const list = (length: number) => [new Float64Array(length)];

describe('the factor for few items', () => {
  // 97.5 % quantiles of Student's t from a printed table.
  it.each([
    [1, 12.706],
    [2, 4.303],
    [3, 3.182],
    [5, 2.571],
    [9, 2.262],
    [30, 2.042],
    [120, 1.98],
  ])('is that of a t with %i degrees of freedom', (freedom, quantile) => {
    expect(fewItemsFactor(list(freedom + 1)) * NORMAL_95).toBeCloseTo(quantile, 2);
  });

  it('adds the freedom of several lists, and is 1 without any', () => {
    expect(fewItemsFactor([...list(3), ...list(4)])).toBe(fewItemsFactor(list(6)));
    expect(fewItemsFactor(null)).toBe(1);
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
