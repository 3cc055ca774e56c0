import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Axis, Point } from '../../../src/search/gaussian-process/cube.ts';
import { sobolPoints } from '../../../src/search/gaussian-process/sobol.ts';
import { gridPoints } from '../../../src/search/sampler/grid.ts';
import { SAMPLERS, type SamplerName } from '../../../src/search/sampler/names.ts';
import { samplerByName } from '../../../src/search/sampler/samplers.ts';
import type { History, Proposal, Sampler } from '../../../src/search/sampler/types.ts';

const real: Axis = { kind: 'real' };
const levels = (count: number): Axis => ({ kind: 'levels', count });
const choice = (count: number): Axis => ({ kind: 'choice', count });

/** A search over a score, a proposal at a time, as it would be told again on a resume. */
class Searching {
  readonly observed: History['observed'][number][] = [];
  readonly proposals: Proposal[] = [];

  history(): History {
    const tried = new Set(this.observed.map(({ point }) => String(point)));
    return {
      observed: [...this.observed],
      pending: [],
      proposed: this.proposals.length,
      isTaken: async (point) => tried.has(String(point)),
    };
  }

  async run(sampler: Sampler, trials: number, score: (point: Point) => number | null): Promise<this> {
    while (this.proposals.length < trials) {
      const [proposal] = await sampler.propose(this.history(), 1);
      if (proposal === undefined) break;
      this.proposals.push(proposal);
      const { point, by, proposals = null } = proposal;
      this.observed.push({ id: this.observed.length, point, value: score(point), variance: null, by, proposals });
    }
    return this;
  }
}

const NEW: History = { observed: [], pending: [], proposed: 0, isTaken: async () => false };
const score = (point: Point) => -point.reduce((sum, x, d) => sum + (x - 0.3 - d / 10) ** 2, 0);

describe('the Sobol sequence', () => {
  const golden = JSON.parse(readFileSync(new URL('../../golden/sampler/sobol.json', import.meta.url), 'utf8'));
  const integers = (points: readonly Point[]) => points.map((point) => point.map((x) => Math.floor(x * 2 ** 20)));

  test('is that of scipy, near and far', () => {
    expect(integers(sobolPoints(21, 64, null))).toEqual(golden.first);
    expect(integers(sobolPoints(21, 8, null, golden.farFrom))).toEqual(golden.far);
  });

  test.each([1, 2, 3, 8, 40])('scrambled, has one of 2^m points in each interval, %i dimensions', (dimensions) => {
    for (const seed of [0, 1, 2 ** 53 - 1]) {
      const points = sobolPoints(dimensions, 64, seed);
      for (let d = 0; d < dimensions; d++) {
        const cells = points.map((point) => Math.floor(point[d]! * 64)).sort((a, b) => a - b);
        expect(cells).toEqual(Array.from({ length: 64 }, (_, k) => k));
      }
    }
  });

  test('scrambled, keeps the balance of the first two dimensions in every elementary interval', () => {
    const points = sobolPoints(2, 64, 5);
    for (let bits = 0; bits <= 6; bits++) {
      const boxes = new Set(points.map(([x, y]) => Math.floor(x! * 2 ** bits) * 1000 + Math.floor(y! * 2 ** (6 - bits))));
      expect(boxes.size).toBe(64);
    }
  });

  test('differs from seed to seed, and dimension to dimension, beyond the direction numbers too', () => {
    expect(sobolPoints(3, 4, 1)).not.toEqual(sobolPoints(3, 4, 2));
    const points = sobolPoints(50, 256, 3);
    const correlation = (a: number, b: number) => points.reduce((sum, p) => sum + (p[a]! - 0.5) * (p[b]! - 0.5), 0) / 256 / (1 / 12);
    for (const [a, b] of [
      [0, 21],
      [1, 22],
      [21, 42],
      [20, 41],
    ] as const)
      expect(Math.abs(correlation(a, b))).toBeLessThan(0.25);
  });

  test('can be taken piece by piece', () => {
    expect([...sobolPoints(25, 5, 9), ...sobolPoints(25, 5, 9, 5)]).toEqual(sobolPoints(25, 10, 9));
  });
});

describe('the grid', () => {
  test.each([
    [[real], 1, [1]],
    [[real], 2, [2]],
    [[real], 9, [9]],
    [[real, real], 12, [4, 3]],
    [[real, real], 3, [3, 1]],
    [[real, real, real], 30, [3, 3, 3]],
    [[real, real, real], 36, [4, 3, 3]],
    [[levels(3), real], 20, [3, 6]],
    [[levels(3)], 20, [3]],
    [[real, choice(3)], 12, [4, 3]],
    [[real, choice(6)], 4, [1, 4]],
    [[levels(9)], 5, [5]],
  ] as const)('%j in %i trials', (axes, trials, counts) => {
    const points = gridPoints(axes, trials);
    expect(points).toHaveLength(counts.reduce((a: number, b) => a * b, 1));
    expect(new Set(points.map(String)).size).toBe(points.length);
    for (const [d, count] of counts.entries()) {
      const values = [...new Set(points.map((point) => point[d]!))].sort((a, b) => a - b);
      expect(values).toHaveLength(count);
      if (count > 1) expect([values[0], values.at(-1)]).toEqual([0, 1]);
    }
  });

  test('has both bounds and even steps on a line', () => {
    expect(gridPoints([real], 5)).toEqual([[0], [0.25], [0.5], [0.75], [1]]);
    expect(gridPoints([levels(9)], 4)).toEqual([[0], [3 / 8], [5 / 8], [1]]);
  });

  test('covers the line evenly wherever it stops', async () => {
    const order = (await samplerByName('grid', { axes: [real], initial: [], seed: 0, trials: 17 }).propose(NEW, 100)).map(
      ({ point }) => point[0]!,
    );
    expect(order).toHaveLength(17);
    for (const [tried, gap] of [
      [3, 0.5],
      [5, 0.25],
      [9, 0.125],
      [17, 0.0625],
    ] as const) {
      const sorted = order.slice(0, tried).sort((a, b) => a - b);
      expect([sorted[0], sorted.at(-1)]).toEqual([0, 1]);
      expect(Math.max(...sorted.slice(1).map((x, i) => x - sorted[i]!))).toBe(gap);
    }
  });

  test('ends when it is used up, and passes over what was tried', async () => {
    const sampler = samplerByName('grid', { axes: [real, choice(2)], initial: [], seed: 0, trials: 7 });
    const found = await new Searching().run(sampler, 100, () => null);
    expect(found.proposals).toHaveLength(6);
    const isTaken = async ([x]: Point) => x === 0.5;
    expect(await sampler.propose({ ...NEW, isTaken }, 100)).toHaveLength(4);
  });
});

describe.each(SAMPLERS)('the sampler %s', (name: SamplerName) => {
  const make = (axes: readonly Axis[], seed = 4) =>
    samplerByName(name, { axes, initial: [axes.map(() => 0), axes.map(() => 1)], seed, trials: 12 });

  test('proposes the same for the same history, whatever it proposed before', async () => {
    const axes = [real, levels(5)];
    const whole = await new Searching().run(make(axes), 12, score);
    const resumed = new Searching();
    while (resumed.proposals.length < 12) await resumed.run(make(axes), resumed.proposals.length + 1, score);
    expect(resumed.proposals).toEqual(whole.proposals);
    expect(new Set(whole.proposals.map(({ point }) => String(point))).size).toBe(12);
  });

  test('keeps to the cube and to the values of its axes', async () => {
    const { proposals } = await new Searching().run(make([real, levels(5), choice(3)]), 12, score);
    for (const { point } of proposals) {
      expect(point).toHaveLength(3);
      for (const x of point) expect(x >= 0 && x <= 1).toBe(true);
      expect(point[1]! * 4).toBeCloseTo(Math.round(point[1]! * 4), 12);
      expect(point[2]! * 2).toBeCloseTo(Math.round(point[2]! * 2), 12);
    }
  });

  test('proposes several at once, all different and none taken', async () => {
    const before = await new Searching().run(make([real, real]), 4, score);
    const proposals = await make([real, real]).propose(before.history(), 5);
    expect(new Set([...before.proposals, ...proposals].map(({ point }) => String(point))).size).toBe(9);
  });

  test('uses a finite space up, and then has no more', async () => {
    const sampler = samplerByName(name, { axes: [levels(3), choice(4)], initial: [], seed: 1, trials: 12 });
    const { proposals } = await new Searching().run(sampler, 100, (point) => (point[0] === 1 ? null : score(point)));
    expect(new Set(proposals.map(({ point }) => String(point))).size).toBe(12);
    expect(proposals).toHaveLength(12);
    const all = await sampler.propose(NEW, 100);
    expect(all.length).toBe(12);
  });

  test('proposes nothing where everything is taken', async () => {
    expect(await make([real]).propose({ ...NEW, isTaken: async () => true }, 3)).toEqual([]);
  });
});

test('random points of different seeds and numbers have nothing to do with each other', async () => {
  const points = async (seed: number) =>
    (await samplerByName('random', { axes: [real], initial: [], seed, trials: 1 }).propose(NEW, 400)).map(({ point }) => point[0]!);
  const [one, other] = [await points(1), await points(2)];
  const covariance = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + (x - 0.5) * (b[i]! - 0.5), 0) / a.length;
  expect(Math.abs(covariance(one, other)) * 12).toBeLessThan(0.2);
  expect(Math.abs(covariance(one.slice(1), one)) * 12).toBeLessThan(0.2);
  expect(covariance(one, one) * 12).toBeCloseTo(1, 0);
});

test('samplers that depend on no score say how far ahead they can propose', () => {
  const ahead = (name: SamplerName, history = NEW) =>
    samplerByName(name, { axes: [real], initial: [[0], [1], [0.5]], seed: 0, trials: 9 }).ahead?.(history);
  expect(ahead('grid')).toBe(9);
  expect(ahead('random')).toBe(Number.POSITIVE_INFINITY);
  expect(ahead('sobol')).toBe(Number.POSITIVE_INFINITY);
  expect(ahead('gp')).toBe(7);
  expect(ahead('gp', { ...NEW, pending: [[0], [1]] })).toBe(5);
});
