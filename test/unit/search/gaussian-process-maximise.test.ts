import { readFileSync } from 'node:fs';
import { describe, expect, test, vi } from 'vitest';
import { acquisitionOf, acquisitionValues, incumbent, KAPPA, XI } from '../../../src/search/gaussian-process/acquisition.ts';
import type { Axis, Point } from '../../../src/search/gaussian-process/cube.ts';
import { fitProcess } from '../../../src/search/gaussian-process/fit.ts';
import { maximise } from '../../../src/search/gaussian-process/maximise.ts';

const real: Axis = { kind: 'real' };
const levels = (count: number): Axis => ({ kind: 'levels', count });
const choice = (count: number): Axis => ({ kind: 'choice', count });
const each = (f: (point: Point) => number) => (points: readonly Point[]) => Float64Array.from(points, f);

describe('acquisition functions', () => {
  const { acquisition: golden } = JSON.parse(readFileSync(new URL('../../golden/gp/scikit-learn.json', import.meta.url), 'utf8')) as {
    acquisition: { mean: number[]; std: number[]; best: number; ei: number[]; pi: number[]; ucb: number[] };
  };
  const prediction = { mean: Float64Array.from(golden.mean), std: Float64Array.from(golden.std) };

  test.each(['ei', 'pi', 'ucb'] as const)('%s is that of scipy', (name) => {
    const values = acquisitionValues(name, prediction, golden.best);
    for (const [i, value] of golden[name].entries()) expect(Math.abs(values[i]! - value)).toBeLessThan(1e-12 * Math.abs(value) + 1e-15);
  });

  test('the logarithm of EI is its logarithm, and goes on where EI is 0', () => {
    const values = acquisitionValues('logei', prediction, golden.best);
    for (const [i, value] of golden.ei.entries()) expect(values[i]!).toBeCloseTo(Math.log(value), 9);
    const far = { mean: Float64Array.of(-50, -60), std: Float64Array.of(1, 1) };
    expect([...acquisitionValues('ei', far, 0)]).toEqual([0, 0]);
    const [near, farther] = acquisitionValues('logei', far, 0);
    expect(near!).toBeGreaterThan(farther!);
    expect(farther!).toBeGreaterThan(Number.NEGATIVE_INFINITY);
  });

  test('have their limits where nothing is uncertain', () => {
    const certain = { mean: Float64Array.of(0.5, 1.5), std: Float64Array.of(0, 0) };
    const at = (name: 'ei' | 'logei' | 'pi' | 'ucb') => [...acquisitionValues(name, certain, 1, { xi: 0 })];
    expect(at('ei')).toEqual([0, 0.5]);
    expect(at('logei')).toEqual([Number.NEGATIVE_INFINITY, Math.log(0.5)]);
    expect(at('pi')).toEqual([0, 1]);
    expect(at('ucb')).toEqual([0.5, 1.5]);
  });

  test('are taken in standardised units, so that a score in percent leads to the same trial', () => {
    const points = [[0], [0.3], [0.6], [1]];
    const values = [0.41, 0.44, 0.46, 0.43];
    const axes = [real];
    for (const name of ['ei', 'logei', 'pi', 'ucb'] as const) {
      const [fraction, percent] = [1, 100].map((unit) => {
        const process = fitProcess({ points, values: values.map((value) => unit * value) }, axes);
        return maximise(acquisitionOf(process, name, incumbent(process).mean), axes, { seed: 1 })[0]!;
      });
      expect(percent!.point).toEqual(fraction!.point);
      if (name !== 'ucb') expect(percent!.score).toBeCloseTo(fraction!.score, 6);
    }
    expect([KAPPA, XI]).toEqual([1.96, 0.01]);
  });

  test('the incumbent is the largest posterior mean among the observed, which a lucky repeat is not', () => {
    const points = [...Array(6).fill([0.2]), ...Array(6).fill([0.8])];
    const values = [0.5, 0.51, 0.52, 0.5, 0.51, 0.52, 0.4, 0.41, 0.56, 0.4, 0.39, 0.4];
    expect(incumbent(fitProcess({ points, values }, [real])).point).toEqual([0.2]);
  });
});

describe('the maximum of a score', () => {
  test('on one real axis is that of a grid with corners and middle', () => {
    const found = maximise(
      each(([x]) => -((x! - 0.3141) ** 2)),
      [real],
      { seed: 1 },
    );
    expect(found[0]!.point[0]).toBeCloseTo(0.314, 12);
    const xs = new Set(found.map(({ point }) => point[0]));
    for (const x of [0, 0.5, 1]) expect(xs).toContain(x);
    expect(xs.size).toBe(found.length);
  });

  test('is ranked: each score at least the next, equal ones in the order of their points', () => {
    const found = maximise(
      each(([x]) => Math.round(4 * x!)),
      [levels(21)],
      { seed: 1 },
    );
    for (const [i, { point, score }] of found.slice(1).entries()) {
      const before = found[i]!;
      expect(score < before.score || (score === before.score && point[0]! > before.point[0]!)).toBe(true);
    }
  });

  test('of a small cube without real axes is looked for at every point, once', () => {
    const score = vi.fn(each(([a, b, c]) => -Math.abs(a! - 0.25) - b! + (c === 0.5 ? 1 : 0)));
    const found = maximise(score, [levels(5), levels(1), choice(3)], { seed: 1 });
    expect(found.length).toBe(15);
    expect(score.mock.calls.flatMap(([points]) => points).length).toBe(15);
    expect(found[0]!.point).toEqual([0.25, 0, 0.5]);
  });

  test.each([2, 4, 8])('of a narrow peak in %i dimensions is climbed to', (width) => {
    const peak = Array.from({ length: width }, (_, a) => 0.2 + (0.6 * a) / width);
    // A ridge along no axis: neighbours pull at each other.
    const score = each((point) => {
      const d = point.map((x, a) => x - peak[a]!);
      return -d.reduce((sum, x, a) => sum + 30 * x * x + 20 * x * d[(a + 1) % width]!, 0);
    });
    const [best] = maximise(score, Array(width).fill(real), { seed: 2 });
    expect(best!.score).toBeGreaterThan(-1e-4);
    for (const [a, x] of best!.point.entries()) expect(Math.abs(x - peak[a]!)).toBeLessThan(3e-3);
  });

  test('in a corner of the cube is found exactly', () => {
    const [best] = maximise(
      each((point) => point.reduce((sum, x, a) => sum + (a % 2 === 0 ? x : -x), 0)),
      Array(5).fill(real),
      { seed: 3 },
    );
    expect(best!.point).toEqual([1, 0, 1, 0, 1]);
  });

  test('with real, ordered and unordered axes at once', () => {
    const axes = [real, levels(40), choice(6), real];
    const score = each(([a, b, c, d]) => -((a! - 0.77) ** 2) - (b! - 31 / 39) ** 2 + (c === 0.4 ? 0.5 : 0) - Math.abs(d! - 0.1));
    const [best] = maximise(score, axes, { seed: 4 });
    expect(best!.point[0]).toBeCloseTo(0.77, 2);
    expect(best!.point[1]).toBe(31 / 39);
    expect(best!.point[2]).toBe(0.4);
    expect(best!.point[3]).toBeCloseTo(0.1, 2);
  });

  test('prefers the higher of two humps', () => {
    const hump = (point: Point, at: number, width: number) => Math.exp(-point.reduce((sum, x) => sum + ((x - at) / width) ** 2, 0));
    const [best] = maximise(
      each((point) => hump(point, 0.25, 0.3) + 1.5 * hump(point, 0.8, 0.08)),
      Array(3).fill(real),
      { seed: 5 },
    );
    for (const x of best!.point) expect(x).toBeCloseTo(0.8, 1);
  });

  test('is looked for at points that are asked for', () => {
    const needle = [0.123456, 0.654321, 0.5];
    const score = each((point) => (point.every((x, a) => Math.abs(x - needle[a]!) < 1e-9) ? 1 : 0));
    expect(maximise(score, Array(3).fill(real), { seed: 6 })[0]!.score).toBe(0);
    expect(maximise(score, Array(3).fill(real), { seed: 6, include: [needle] })[0]!.score).toBe(1);
  });

  test('is the same for the same seed, whatever is not a number', () => {
    const axes = [real, real, choice(3)];
    const score = each(([x, y]) => (x! > 0.5 ? Number.NEGATIVE_INFINITY : x! * y!));
    const [one, other] = [7, 7].map((seed) => maximise(score, axes, { seed }));
    expect(one).toEqual(other);
    expect(one![0]!.point[0]).toBeGreaterThan(0.499);
    expect(
      maximise(
        each(() => Number.NEGATIVE_INFINITY),
        axes,
        { seed: 1 },
      ).length,
    ).toBeGreaterThan(1000);
  });
});
