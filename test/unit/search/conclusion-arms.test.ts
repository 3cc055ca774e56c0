import { describe, expect, it } from 'vitest';
import { normalOf, randomOf } from '../../../src/base/numbers/random.ts';
import { armBeliefs } from '../../../src/search/conclusion/arm-beliefs.ts';
import { chosenInterval } from '../../../src/search/conclusion/chosen-interval.ts';
import { shrunkCovarianceOfMeans, varianceFreedom } from '../../../src/search/conclusion/shrunk-covariance.ts';
import { choleskyFactor } from '../../../src/search/gaussian-process/linear-algebra.ts';
import { NORMAL_95 } from '../../../src/search/gaussian-process/normal.ts';

function rowsOf(count: number, items: number, seed: number): Float64Array[] {
  const normal = normalOf(randomOf(seed, 1));
  const common = Float64Array.from({ length: items }, normal);
  return Array.from({ length: count }, (_, i) => common.map((value) => value + (1 + i) * normal()));
}

describe('the covariance of the means of arms', () => {
  it('is shrunk by the shares of the paper, computed pair by pair', () => {
    const [rows, items, size] = [rowsOf(4, 12, 3), 12, 4];
    const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const centred = rows.map((row) => [...row].map((value) => value - mean([...row])));
    const covariances = (rowsIn: number[][]) => {
      const product = (i: number, j: number) => rowsIn[i]!.map((value, k) => value * rowsIn[j]![k]!);
      const of = (i: number, j: number) => (items / (items - 1)) * mean(product(i, j));
      const variance = (i: number, j: number) => {
        const w = product(i, j);
        return (items / (items - 1) ** 3) * w.reduce((sum, value) => sum + (value - mean(w)) ** 2, 0);
      };
      return { of, variance };
    };
    const { of, variance } = covariances(centred);
    const standard = covariances(centred.map((row, i) => row.map((value) => value / Math.sqrt(of(i, i)))));
    const all = Array.from({ length: size }, (_, i) => i);
    const middle = all.map((i) => of(i, i)).sort((a, b) => a - b)[1]!;
    const ofVariances = Math.min(1, all.reduce((s, i) => s + variance(i, i), 0) / all.reduce((s, i) => s + (of(i, i) - middle) ** 2, 0));
    const pairs = all.flatMap((i) => all.filter((j) => j !== i).map((j) => [i, j] as const));
    const ofPairs = Math.min(
      1,
      pairs.reduce((s, [i, j]) => s + standard.variance(i, j), 0) / pairs.reduce((s, [i, j]) => s + standard.of(i, j) ** 2, 0),
    );
    const shrunk = all.map((i) => ofVariances * middle + (1 - ofVariances) * of(i, i));
    const found = shrunkCovarianceOfMeans(rows);
    for (const i of all) {
      for (const j of all) {
        const correlation = i === j ? 1 : (1 - ofPairs) * standard.of(i, j);
        expect(found[i * size + j]).toBeCloseTo((correlation * Math.sqrt(shrunk[i]! * shrunk[j]!)) / items, 12);
      }
    }
  });

  it('has an inverse with fewer items than arms, and where one arm differs nowhere', () => {
    const rows = rowsOf(10, 6, 5);
    rows[3]!.fill(0);
    expect(choleskyFactor(shrunkCovarianceOfMeans(rows), 10).every(Number.isFinite)).toBe(true);
  });

  it('rests on about twice as many values as differ', () => {
    const few = Float64Array.from({ length: 1000 }, (_, i) => (i < 6 ? 1 : i < 11 ? -1 : 0));
    expect(varianceFreedom([few])).toBeCloseTo(22, 0);
    const normal = normalOf(randomOf(1, 2));
    const values = Float64Array.from({ length: 2000 }, normal);
    expect(varianceFreedom([values]) / 2000).toBeCloseTo(1, 1);
    // Two tasks with as much variance each are worth both.
    expect(varianceFreedom([few, few])).toBeCloseTo(44, 0);
  });
});

describe('the model of a grid', () => {
  const axes = [{ kind: 'real' }, { kind: 'choice', count: 3 }] as const;
  const points = [
    [0, 0],
    [0.4, 0.5],
    [1, 0.5],
  ];
  // Three arms and a further reference.
  const covariance = Float64Array.from([4, 2, 1, 1, 2, 5, 2, 1, 1, 2, 3, 0.5, 1, 1, 0.5, 2]);
  const observed = Float64Array.from([1.5, -0.5, 4, 0.7]);

  it('expects what conditioning of one large normal distribution gives, reading by reading', () => {
    const spreads = [0, 0.5, 1, 2, 4, 8, 20, 60, 200];
    const [flat, size] = [1e9, 4];
    const parts: { log: number; mean: number[] }[] = [];
    for (const [s, spread] of spreads.entries()) {
      const width = (spreads[Math.min(s + 1, 8)]! - spreads[Math.max(0, s - 1)]!) / 2;
      const correlations = spread === 0 ? [0] : [0, 0.5];
      for (const r of correlations) {
        for (const [arm, wide] of [[-1, 0], ...[3, 12].flatMap((w) => [0, 1, 2].map((a) => [a, w] as const))] as [number, number][]) {
          const prior = Array.from({ length: size * size }, (_, at) => {
            const [i, j] = [Math.floor(at / size), at % size];
            if (i === 3 || j === 3) return i === j ? flat : 0;
            const distance = Math.abs(points[i]![0]! - points[j]![0]!) + Number(points[i]![1] !== points[j]![1]);
            return flat + spread ** 2 * 4 * r ** distance + (i === j && i === arm ? wide ** 2 * 4 : 0);
          });
          const sum = prior.map((value, at) => value + covariance[at]!);
          const { inverse, determinant } = inverted(sum, size);
          const weighed = rowTimes(inverse, [...observed]);
          const quadratic = weighed.reduce((total, value, i) => total + value * observed[i]!, 0);
          const chance = (width / (1 + spread ** 2) / correlations.length) * (arm < 0 ? 0.5 : 0.5 / 6);
          parts.push({ log: Math.log(chance) - 0.5 * (Math.log(determinant) + quadratic), mean: rowTimes(prior, weighed) });
        }
      }
    }
    const most = Math.max(...parts.map(({ log }) => log));
    const total = parts.reduce((sum, { log }) => sum + Math.exp(log - most), 0);
    const expected = [0, 1, 2, 3].map((i) => parts.reduce((sum, { log, mean }) => sum + (Math.exp(log - most) / total) * mean[i]!, 0));
    const beliefs = armBeliefs(covariance, points, axes);
    const found = beliefs.along(observed, new Float64Array(4))(0);
    for (const i of [0, 1, 2, 3]) expect(found[i]).toBeCloseTo(expected[i]!, 3);
    const target = Float64Array.from([0, 0, 1, -1]);
    const mixture = beliefs.mixture(observed)(target);
    expect(mixture.reduce((sum, { weight }) => sum + weight, 0)).toBeCloseTo(1, 6);
    expect(mixture.reduce((sum, { weight, mean }) => sum + weight * mean, 0)).toBeCloseTo(found[2]! - found[3]!, 6);
    const { mean, covariance: all } = beliefs.moments(observed);
    for (const i of [0, 1, 2, 3]) expect(mean[i]).toBeCloseTo(found[i]!, 6);
    const middle = mean[2]! - mean[3]!;
    const variance = mixture.reduce((sum, part) => sum + part.weight * (part.std ** 2 + (part.mean - middle) ** 2), 0);
    expect(all[10]! + all[15]! - 2 * all[11]!).toBeCloseTo(variance, 6);
  });

  it('moves with the reference: what is added to all arms is added to what is expected of them', () => {
    const beliefs = armBeliefs(covariance.slice(), points, axes);
    const at = beliefs.along(observed, Float64Array.from([1, 1, 1, 0]));
    const [here, there] = [at(0), at(10)];
    for (const i of [0, 1, 2]) expect(there[i]! - here[i]!).toBeCloseTo(10, 6);
  });

  it('pulls equal arms together, and one that stands far out of many hardly', () => {
    const count = 24;
    const noise = Float64Array.from({ length: count * count }, (_, at) => (at % (count + 1) === 0 ? 1 : 0.5));
    const places = Array.from({ length: count }, (_, i) => [i / (count - 1)]);
    const x = Float64Array.from({ length: count }, (_, i) => (i === 5 ? 6 : 0.5 * Math.sin(7 * i)));
    const expected = armBeliefs(noise, places, [{ kind: 'real' }]).along(x, new Float64Array(count))(0);
    expect(expected[5]).toBeGreaterThan(5);
    expect(Math.max(...expected.filter((_, i) => i !== 5)) - Math.min(...expected.filter((_, i) => i !== 5))).toBeLessThan(0.4);
  });
});

describe('the interval of what was chosen', () => {
  it('is that of one comparison where nothing else could have been chosen', () => {
    const [low, high] = chosenInterval({ value: 2, error: 0.5, of: 1, chosenAt: () => true }, 0.95);
    expect(low).toBeCloseTo(2 - 0.5 * NORMAL_95, 1);
    expect(high).toBeCloseTo(2 + 0.5 * NORMAL_95, 1);
  });

  it.each([
    ['all equal', [0, 0, 0, 0, 0, 0, 0, 0]],
    ['one ahead', [2, 0, 0, 0, 0, 0, 0, 0]],
    ['all different', [0, 0.3, 0.6, 0.9, 1.2, 1.5, 1.8, 2.1]],
  ])('holds the truth of the best of eight in 95 of 100 cases: %s', (_, truth) => {
    const seeds = 1500;
    const held = { below: 0, above: 0, plain: 0 };
    for (let seed = 0; seed < seeds; seed++) {
      const normal = normalOf(randomOf(seed, 4));
      const shared = normal();
      // Correlated by half.
      const x = truth.map((value) => value + Math.SQRT1_2 * (shared + normal()));
      const best = x.indexOf(Math.max(...x));
      const value = x[best]!;
      const chosenAt = (t: number) => x.every((other, i) => i === best || other + 0.5 * (t - value) <= t);
      const [low, high] = chosenInterval({ value, error: 1, of: 8, chosenAt }, 0.95);
      if (truth[best]! < low) held.below++;
      if (truth[best]! > high) held.above++;
      if (Math.abs(value - truth[best]!) <= NORMAL_95) held.plain++;
    }
    expect((held.below + held.above) / seeds).toBeGreaterThan(0.03);
    expect((held.below + held.above) / seeds).toBeLessThan(0.065);
    expect(held.below / seeds).toBeLessThan(0.036);
    if (truth[0] === 0 && truth[7] === 0) expect(held.plain / seeds).toBeLessThan(0.93);
  });
});

/** By Gauss and Jordan, with the largest pivots. */
function inverted(matrix: readonly number[], size: number): { inverse: number[]; determinant: number } {
  const rows = Array.from({ length: size }, (_, i) => [
    ...matrix.slice(i * size, (i + 1) * size),
    ...Array.from({ length: size }, (_unused, j) => Number(i === j)),
  ]);
  let determinant = 1;
  for (let k = 0; k < size; k++) {
    const pivot = rows.slice(k).reduce((best, row, i) => (Math.abs(row[k]!) > Math.abs(rows[best]![k]!) ? i + k : best), k);
    if (pivot !== k) {
      [rows[k], rows[pivot]] = [rows[pivot]!, rows[k]!];
      determinant = -determinant;
    }
    const own = rows[k]![k]!;
    determinant *= own;
    rows[k] = rows[k]!.map((value) => value / own);
    for (let i = 0; i < size; i++) {
      if (i === k) continue;
      const factor = rows[i]![k]!;
      rows[i] = rows[i]!.map((value, j) => value - factor * rows[k]![j]!);
    }
  }
  return { inverse: rows.flatMap((row) => row.slice(size)), determinant };
}

function rowTimes(matrix: readonly number[], x: readonly number[]): number[] {
  return x.map((_, i) => x.reduce((sum, value, j) => sum + matrix[i * x.length + j]! * value, 0));
}
