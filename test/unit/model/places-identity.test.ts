import { describe, expect, it } from 'vitest';
import { dot } from '../../../src/base/numbers/matrix.ts';
import { assignment } from '../../../src/model/places/assignment.ts';
import { identityOf, nearestByChance } from '../../../src/model/places/identity.ts';
import { cosines, unitRows } from '../../../src/model/places/similarity.ts';
import { seeded } from '../../support/safetensors.ts';

/** Standard normal numbers from uniform ones (twelve of them, summed). */
function normals(seed: number): () => number {
  const random = seeded(seed);
  return () => Array.from({ length: 12 }, () => random(1 << 30) / (1 << 30)).reduce((a, b) => a + b, -6);
}

/** A healthy step of training: every expert near itself. */
function trained(experts: number, width: number, seed: number, noise = 0.3): { before: Float64Array; after: Float64Array } {
  const normal = normals(seed);
  const before = Float64Array.from({ length: experts * width }, normal);
  return { before, after: before.map((v) => v + noise * normal()) };
}

/** Row e of the result is row order[e]. */
function reordered(rows: Float64Array, order: readonly number[]): Float64Array {
  const width = rows.length / order.length;
  return Float64Array.from(order.flatMap((e) => [...rows.subarray(e * width, (e + 1) * width)]));
}

function compare(router: ReturnType<typeof trained>, weights: ReturnType<typeof trained> | null, experts: number, centred = true) {
  const of = ({ before, after }: ReturnType<typeof trained>, mean: boolean) => ({
    cosines: cosines(unitRows(before.slice(), experts, mean), unitRows(after.slice(), experts, mean)),
    width: before.length / experts,
  });
  return identityOf(of(router, centred), weights === null ? null : of(weights, false), experts);
}

describe('cosines', () => {
  it.each([3, 4, 9])('of %i rows are what the definition gives, whatever falls out of the blocks of four', (count) => {
    const normal = normals(count);
    const a = Float64Array.from({ length: count * 5 }, normal);
    const b = Float64Array.from({ length: count * 5 }, normal);
    const found = cosines(unitRows(a.slice(), count, false), unitRows(b.slice(), count, false));
    for (let i = 0; i < count; i++) {
      for (let j = 0; j < count; j++) {
        const [x, y] = [a.subarray(i * 5, i * 5 + 5), b.subarray(j * 5, j * 5 + 5)];
        expect(found[i * count + j]).toBeCloseTo(dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y)), 12);
      }
    }
  });

  it('of rows that are all alike are 0 once their mean is removed, though the mean is rounded', () => {
    const rows = Float64Array.from({ length: 7 * 3 }, (_, i) => [0.1, 0.7, -1 / 3][i % 3]!);
    expect([...unitRows(rows, 7, true).data].every((v) => v === 0)).toBe(true);
  });

  it('of rows that hold NaN are 0, and leave the others alone', () => {
    const rows = Float64Array.from([1, 0, Number.NaN, 1, 0, 2]);
    expect([...unitRows(rows, 3, false).data]).toEqual([1, 0, 0, 0, 0, 1]);
    const centred = unitRows(Float64Array.from([1, 0, Number.NaN, 1, 3, 0]), 3, true);
    expect([...centred.data]).toEqual([-1, 0, 0, 0, 1, 0]);
  });
});

describe('assignment', () => {
  it('has the largest sum of all permutations', () => {
    const random = seeded(7);
    const permutations = (n: number): number[][] =>
      n === 0 ? [[]] : permutations(n - 1).flatMap((p) => Array.from({ length: n }, (_, at) => [...p.slice(0, at), n - 1, ...p.slice(at)]));
    for (let n = 1; n <= 7; n++) {
      const all = permutations(n);
      for (let round = 0; round < 12; round++) {
        // Few different values: ties are where such algorithms loop.
        const s = Float64Array.from({ length: n * n }, () => random(round % 2 === 0 ? 4 : 1000) / 7);
        const sum = (p: readonly number[]) => p.reduce((total, f, e) => total + s[e * n + f]!, 0);
        const best = all.reduce((most, p) => Math.max(most, sum(p)), Number.NEGATIVE_INFINITY);
        const found = assignment(s, n);
        expect([...found].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, e) => e));
        expect(sum(found)).toBeCloseTo(best, 12);
      }
    }
  });

  it('of 256 experts finds a permutation that was applied', () => {
    const random = seeded(3);
    const order = Array.from({ length: 256 }, (_, e) => e);
    for (let i = 255; i > 0; i--) {
      const j = random(i + 1);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    const s = Float64Array.from({ length: 256 * 256 }, (_, i) => (order[Math.floor(i / 256)] === i % 256 ? 0.9 : random(1000) / 2000));
    expect(assignment(s, 256)).toEqual(order);
  });

  it('of 256 experts has more than any exchange of two of them, and as much where all rows and columns get something added', () => {
    const n = 256;
    const random = seeded(5);
    const s = Float64Array.from({ length: n * n }, () => random(1 << 30) / (1 << 30));
    const sum = (p: readonly number[]) => p.reduce((total, f, e) => total + s[e * n + f]!, 0);
    const found = assignment(s, n);
    expect([...found].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, e) => e));
    let least = Number.POSITIVE_INFINITY;
    for (let a = 0; a < n; a++) {
      for (let b = 0; b < a; b++) {
        const [x, y] = [found[a]!, found[b]!];
        least = Math.min(least, s[a * n + x]! + s[b * n + y]! - s[a * n + y]! - s[b * n + x]!);
      }
    }
    expect(least).toBeGreaterThanOrEqual(0);
    const [row, column] = [0, 1].map((seed) => Float64Array.from({ length: n }, normals(seed)));
    expect(
      sum(
        assignment(
          s.map((v, i) => v + row![Math.floor(i / n)]! + column![i % n]!),
          n,
        ),
      ),
    ).toBeCloseTo(sum(found), 9);
    // The same problem with rows and columns exchanged.
    const turned = assignment(
      s.map((_, i) => s[(i % n) * n + Math.floor(i / n)]!),
      n,
    );
    expect(turned.reduce((total, e, f) => total + s[e * n + f]!, 0)).toBeCloseTo(sum(found), 9);
  });

  it('is the identity where all is equal', () => {
    expect(assignment(new Float64Array(25), 5)).toEqual([0, 1, 2, 3, 4]);
  });
});

describe('identity of experts', () => {
  const E = 8;
  const router = trained(E, 64, 1);
  const weights = trained(E, 192, 2);

  it('holds in a healthy step', () => {
    const found = compare(router, weights, E);
    expect(found).toMatchObject({ status: 'same', moved: [], by: null, ties: [] });
    expect(found.margin.router).toBeGreaterThan(0.3);
    expect(found.margin.weights).toBeGreaterThan(0.3);
  });

  it('is lost where all experts are permuted, and where two are exchanged', () => {
    const all = [3, 0, 1, 2, 7, 6, 5, 4];
    const permuted = (r: typeof router, order: readonly number[]) => ({ before: r.before, after: reordered(r.after, order) });
    const found = compare(permuted(router, all), permuted(weights, all), E);
    expect(found.status).toBe('permuted');
    // Row e of the newer checkpoint is the old expert all[e].
    expect(found.moved).toEqual(all.map((from, to) => ({ from, to })).sort((a, b) => a.from - b.from));
    const two = [0, 1, 5, 3, 4, 2, 6, 7];
    const swapped = compare(permuted(router, two), permuted(weights, two), E);
    expect(swapped).toMatchObject({
      status: 'permuted',
      moved: [
        { from: 2, to: 5 },
        { from: 5, to: 2 },
      ],
    });
    expect(swapped.margin.router).toBeLessThan(0);
  });

  it('is lost where experts upcycled from one, still much alike, are exchanged', () => {
    const normal = normals(5);
    const common = Float64Array.from({ length: 192 }, normal);
    const before = Float64Array.from({ length: E * 192 }, (_, i) => common[i % 192]! + 0.3 * normal());
    const after = reordered(
      before.map((v) => v + 0.03 * normal()),
      [1, 0, 2, 3, 4, 5, 6, 7],
    );
    const swapped = { before: router.before, after: reordered(router.after, [1, 0, 2, 3, 4, 5, 6, 7]) };
    expect(compare(swapped, { before, after }, E)).toMatchObject({
      status: 'permuted',
      moved: [
        { from: 0, to: 1 },
        { from: 1, to: 0 },
      ],
    });
  });

  it('counts as kept where experts are identical (just upcycled), and says that they are', () => {
    const normal = normals(6);
    const one = Float64Array.from({ length: 192 }, normal);
    const alike = Float64Array.from({ length: E * 192 }, (_, i) => one[i % 192]!);
    const rows = Float64Array.from({ length: E * 64 }, (_, i) => one[i % 64]!);
    const found = compare({ before: rows, after: rows }, { before: alike, after: alike.map((v) => 1.01 * v) }, E);
    expect(found).toMatchObject({ status: 'same', moved: [], ties: [[0, 1, 2, 3, 4, 5, 6, 7]], margin: { router: null, weights: null } });
  });

  it('counts as kept where two experts are dead, and where two began anew', () => {
    const dead = (r: typeof router) => {
      const width = r.after.length / E;
      const zero = (rows: Float64Array) => rows.map((v, i) => (i < 2 * width ? 0 : v));
      return { before: zero(r.before), after: zero(r.after) };
    };
    expect(compare(dead(router), dead(weights), E, false)).toMatchObject({ status: 'same', moved: [], ties: [[0, 1]] });
    const normal = normals(9);
    const anew = (r: typeof router) => ({ before: r.before, after: r.after.map((v, i) => (i < (2 * r.after.length) / E ? normal() : v)) });
    expect(compare(anew(router), anew(weights), E)).toMatchObject({ status: 'same', moved: [] });
  });

  it.each([
    [512, 4, 24],
    [64, 16, 16],
    [8, 64, 192],
  ])(
    'is neither kept nor lost where %i experts have nothing in common, however short their vectors (%i, %i)',
    (experts, width, elements) => {
      const normal = normals(experts);
      const anew = (length: number) => ({
        before: Float64Array.from({ length: experts * length }, normal),
        after: Float64Array.from({ length: experts * length }, normal),
      });
      const expected = { status: 'unrelated', moved: [], by: null };
      expect(compare(anew(width), anew(elements), experts, false)).toMatchObject(expected);
      expect(compare(anew(width), null, experts, false)).toMatchObject(expected);
      // Where the experts are still themselves, they are: only the router began anew.
      expect(compare(anew(width), trained(experts, 64, 3), experts, false)).toMatchObject({ status: 'same', moved: [] });
    },
  );

  it('is neither where some few of them are near to other places by chance', () => {
    const normal = normals(31);
    const rows = () => Float64Array.from({ length: 64 * 64 }, normal);
    const [before, after] = [rows(), rows()];
    after.set(before.subarray(5 * 64, 6 * 64), 9 * 64);
    after.set(before.subarray(9 * 64, 10 * 64), 5 * 64);
    expect(compare({ before, after }, null, 64, false)).toMatchObject({ status: 'unrelated', moved: [] });
  });

  it('knows what chance gives: the nearest of some random vectors', () => {
    const normal = normals(21);
    for (const [count, width] of [
      [512, 4],
      [64, 16],
      [256, 64],
    ] as const) {
      const rows = () => unitRows(Float64Array.from({ length: count * width }, normal), count, false);
      const found = cosines(rows(), rows());
      const nearest = Array.from({ length: count }, (_, e) => found.subarray(e * count, (e + 1) * count).reduce((a, b) => Math.max(a, b)));
      expect(Math.abs(nearest.reduce((a, b) => a + b) / count - nearestByChance(count, width))).toBeLessThan(0.1);
    }
    expect(nearestByChance(8, 1)).toBe(1);
  });

  it('gives no alarm for a starved expert: its row shrinks and hardly turns, or noise takes it over', () => {
    const normal = normals(11);
    const shrunk = (r: typeof router) => ({ before: r.before, after: r.after.map((v, i) => (i < r.after.length / E ? 1e-3 * v : v)) });
    expect(compare(shrunk(router), shrunk(weights), E)).toMatchObject({ status: 'same', moved: [], ties: [] });
    const noise = (r: typeof router) => ({
      before: r.before,
      after: r.after.map((v, i) => (i < r.after.length / E ? 1e-3 * normal() : v)),
    });
    expect(compare(noise(router), noise(weights), E)).toMatchObject({ status: 'same', moved: [] });
  });

  it('is in question, not lost, where router rows alone are exchanged, or weights alone, or weights cannot be seen', () => {
    const swap = [1, 0, 2, 3, 4, 5, 6, 7];
    const swapped = (r: typeof router) => ({ before: r.before, after: reordered(r.after, swap) });
    const moved = [
      { from: 0, to: 1 },
      { from: 1, to: 0 },
    ];
    expect(compare(swapped(router), weights, E)).toMatchObject({ status: 'one-sided', by: 'router', moved });
    expect(compare(router, swapped(weights), E)).toMatchObject({ status: 'one-sided', by: 'weights', moved });
    expect(compare(swapped(router), null, E)).toMatchObject({ status: 'one-sided', by: 'router', moved, margin: { weights: null } });
  });

  it('does not see what a softmax does not see: a vector added to all rows', () => {
    const shift = Float64Array.from({ length: 64 }, normals(13));
    const shifted = { before: router.before, after: router.after.map((v, i) => v + 50 * shift[i % 64]!) };
    const found = compare(shifted, weights, E);
    expect(found.status).toBe('same');
    expect(found.margin.router).toBeCloseTo(compare(router, weights, E).margin.router!, 6);
  });
});
