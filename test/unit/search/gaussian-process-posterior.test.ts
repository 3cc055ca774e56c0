import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { randomOf } from '../../../src/base/numbers/random.ts';
import type { Axis } from '../../../src/search/gaussian-process/cube.ts';
import type { Hyper } from '../../../src/search/gaussian-process/kernels.ts';
import { likelihoodOf } from '../../../src/search/gaussian-process/likelihood.ts';
import { choleskyFactor, invertSymmetric, solveLower, solveUpper } from '../../../src/search/gaussian-process/linear-algebra.ts';
import type { KernelName } from '../../../src/search/gaussian-process/names.ts';
import { posteriorOf } from '../../../src/search/gaussian-process/posterior.ts';
import { processOf, standardOf } from '../../../src/search/gaussian-process/process.ts';

interface Case {
  name: string;
  kernel: KernelName;
  axes: Axis[];
  points: number[][];
  values: number[];
  variances: number[] | null;
  queries: number[][];
  hyper: Hyper;
  normalize: boolean;
  mean: number[];
  std: number[];
  covariance: number[][];
  logMarginalLikelihood: number;
  gradient: number[];
}

const { cases } = JSON.parse(readFileSync(new URL('../../golden/gp/scikit-learn.json', import.meta.url), 'utf8')) as { cases: Case[] };

function close(actual: ArrayLike<number>, expected: readonly number[], relative = 1e-9): void {
  expect(actual.length).toBe(expected.length);
  for (const [i, value] of expected.entries()) {
    expect(Math.abs(actual[i]! - value), `${i}: ${actual[i]} for ${value}`).toBeLessThanOrEqual(relative * Math.abs(value));
  }
}

/** A standard deviation at a point that was observed is a small difference of large numbers. */
const stdTolerance = ({ points }: Case, query: readonly number[]) =>
  points.some((point) => point.every((x, a) => x === query[a])) ? 1e-7 : 1e-9;

describe('against scikit-learn', () => {
  test.each(cases)('$name', (golden) => {
    const { kernel, axes, points, values, hyper, queries, normalize } = golden;
    const observed = { points, values, ...(golden.variances === null ? {} : { variances: golden.variances }) };
    const process = normalize
      ? processOf(observed, { axes, kernel, hyper, standard: standardOf(observed) })
      : posteriorOf({ kernel, axes, hyper, ...observed });
    const { mean, std } = process.predict(queries);
    close(mean, golden.mean);
    for (const [q, query] of queries.entries()) close([std[q]!], [golden.std[q]!], stdTolerance(golden, query));

    const joint = process.joint(queries);
    close(joint.mean, golden.mean);
    const largest = Math.max(...golden.covariance.flat());
    for (const [k, value] of golden.covariance.flat().entries())
      expect(Math.abs(joint.covariance[k]! - value)).toBeLessThan(1e-9 * largest);

    if (normalize) return;
    const gradient = new Float64Array(axes.length + 2);
    close([likelihoodOf({ kernel, axes, ...observed })(hyper, gradient)], [golden.logMarginalLikelihood]);
    close(gradient, golden.gradient);
    close([posteriorOf({ kernel, axes, hyper, ...observed }).logMarginalLikelihood], [golden.logMarginalLikelihood]);
  });

  test('the numbers that were measured for the design, before this code', () => {
    const named = (name: string) => cases.find((one) => one.name === name)!;
    close(named('table rbf').mean, [0.4057796410439719, 0.9999224477435795, 0.5477837551421332]);
    close(named('table matern32').std, [0.8567772606746294, 0.009999511020588991, 0.9696244932272], 1e-7);
    close(named('table matern52').mean, [0.35838554085676366, 0.9999480959862292, 0.5051375449305485]);
    close(named('table matern52').gradient.slice(0, 3), [0.3364464760799366, 0.6314781369218477, -2.0719547777171536]);
    close([named('table rbf').logMarginalLikelihood], [-4.785219670607014]);
    close(named('table, values standardised').std, [0.34669214154552036, 0.004399767195660177, 0.40492719433320057], 1e-7);
  });
});

describe('a posterior', () => {
  const random = randomOf(3);
  const axes: Axis[] = [{ kind: 'real' }, { kind: 'levels', count: 5 }];
  const points = Array.from({ length: 11 }, () => [random(), random()]);
  const values = points.map(([x, y]) => Math.sin(4 * x!) - y!);
  const model = { kernel: 'matern52', axes, hyper: { lengths: [0.4, 0.7], signal: 2, noise: 1e-3 }, points, values } as const;
  const queries = Array.from({ length: 300 }, () => [random(), random()]);

  test('of some observations, extended by the others, is that of all', () => {
    const whole = posteriorOf(model);
    const extended = posteriorOf({ ...model, points: points.slice(0, 4), values: values.slice(0, 4) }).extend(
      points.slice(4),
      values.slice(4),
    );
    close(extended.predict(queries).mean, [...whole.predict(queries).mean], 1e-9);
    close(extended.predict(queries).std, [...whole.predict(queries).std], 1e-9);
    close([extended.logMarginalLikelihood], [whole.logMarginalLikelihood]);
    expect(extended.model.points).toEqual(points);
  });

  test('says the same of points alone, together, and in blocks', () => {
    const posterior = posteriorOf(model);
    const all = posterior.predict(queries);
    const joint = posterior.joint(queries);
    for (const [q, query] of queries.entries()) {
      const alone = posterior.predict([query]);
      close([alone.mean[0]!, alone.std[0]!, joint.mean[q]!], [all.mean[q]!, all.std[q]!, all.mean[q]!], 1e-10);
      close([joint.covariance[q * queries.length + q]!], [all.std[q]! ** 2], 1e-10);
    }
  });

  test('takes coordinates between levels for the nearest level, and outside of the cube for its edge', () => {
    const posterior = posteriorOf(model);
    const { mean } = posterior.predict([
      [0.3, 0.26],
      [0.3, 0.25],
      [1, 1],
      [1.7, 1.1],
    ]);
    expect(mean[0]).toBe(mean[1]);
    expect(mean[2]).toBe(mean[3]);
  });

  test('far from all observations is the prior', () => {
    const far = posteriorOf({ ...model, hyper: { ...model.hyper, lengths: [1e-3, 1e-3] } }).predict([[0.123456, 0.5]]);
    expect(far.mean[0]).toBeCloseTo(0, 12);
    expect(far.std[0]).toBeCloseTo(Math.SQRT2, 12);
  });

  test('refuses points of another cube and repeats without noise', () => {
    expect(() => posteriorOf(model).predict([[0.5]])).toThrow(RangeError);
    const repeated = { ...model, points: [points[0]!, points[0]!], values: [0, 1], hyper: { ...model.hyper, noise: 0 } };
    expect(() => posteriorOf(repeated)).toThrow(/not positive definite/);
  });
});

describe('linear algebra', () => {
  const size = 23;
  const random = randomOf(9);
  const root = Array.from({ length: size }, () => Array.from({ length: size }, () => random() - 0.5));
  const matrix = Float64Array.from({ length: size * size }, (_, k) => {
    const [i, j] = [Math.floor(k / size), k % size];
    return root[i]!.reduce((sum, x, c) => sum + x * root[j]![c]!, i === j ? 0.1 : 0);
  });

  test('an inverse and a determinant by sweeping agree with the factor', () => {
    const inverse = matrix.slice();
    const logDeterminant = invertSymmetric(inverse, size);
    const lower = choleskyFactor(matrix, size);
    let expected = 0;
    for (let i = 0; i < size; i++) expected += 2 * Math.log(lower[i * size + i]!);
    expect(logDeterminant).toBeCloseTo(expected, 10);
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) {
        let product = 0;
        for (let k = 0; k < size; k++) product += matrix[i * size + k]! * inverse[k >= j ? k * size + j : j * size + k]!;
        expect(product).toBeCloseTo(i === j ? 1 : 0, 9);
      }
    }
  });

  test.each([1, 3, 4, 5, 8, 9])('solves for %i right-hand sides', (count) => {
    const lower = choleskyFactor(matrix, size);
    const wanted = Float64Array.from({ length: count * size }, () => random() - 0.5);
    const rows = new Float64Array(count * size);
    for (let r = 0; r < count; r++) {
      for (let i = 0; i < size; i++) {
        for (let j = 0; j <= i; j++) rows[r * size + i] = rows[r * size + i]! + lower[i * size + j]! * wanted[r * size + j]!;
      }
    }
    solveLower(lower, size, rows);
    for (const [k, x] of wanted.entries()) expect(rows[k]).toBeCloseTo(x, 10);
    const first = rows.slice(0, size);
    solveUpper(lower, size, first);
    for (let i = 0; i < size; i++) {
      let back = 0;
      for (let j = i; j < size; j++) back += lower[j * size + i]! * first[j]!;
      expect(back).toBeCloseTo(wanted[i]!, 10);
    }
  });

  test('a matrix that is not positive definite has no inverse here', () => {
    expect(invertSymmetric(Float64Array.of(1, 0, 2, 1), 2)).toBe(Number.NEGATIVE_INFINITY);
  });
});
