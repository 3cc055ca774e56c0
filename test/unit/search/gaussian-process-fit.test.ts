import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { normalOf, randomOf } from '../../../src/base/numbers/random.ts';
import type { Axis } from '../../../src/search/gaussian-process/cube.ts';
import { fitProcess } from '../../../src/search/gaussian-process/fit.ts';
import type { Hyper } from '../../../src/search/gaussian-process/kernels.ts';
import { likelihoodOf } from '../../../src/search/gaussian-process/likelihood.ts';
import { minimiseSmooth, type Smooth } from '../../../src/search/gaussian-process/minimise-smooth.ts';
import { coordinatesOf, hyperAt, logPrior, logVolume, NOISE_FLOOR, offsetOf } from '../../../src/search/gaussian-process/prior.ts';
import { type Observations, standardise, standardOf } from '../../../src/search/gaussian-process/process.ts';
import { fitSamples, sliceSweep } from '../../../src/search/gaussian-process/samples.ts';

const LINE: Axis[] = [{ kind: 'real' }];
const PLANE: Axis[] = [{ kind: 'real' }, { kind: 'real' }];

/** Scores of a smooth function of the first coordinate with noise of a given standard deviation. */
function noisy(count: number, noise: number, seed: number, width = 1): Observations {
  const random = randomOf(seed);
  const normal = normalOf(randomOf(seed, 1));
  const points = Array.from({ length: count }, (_, i) => [i / (count - 1), ...Array.from({ length: width - 1 }, random)]);
  return { points, values: points.map(([x]) => 0.6 - 0.1 * (x! - 0.4) ** 2 + noise * normal()) };
}

const finiteDifference = (f: (x: Float64Array) => number, x: Float64Array, i: number) =>
  (f(x.with(i, x[i]! + 1e-5)) - f(x.with(i, x[i]! - 1e-5))) / 2e-5;

describe('fitting a process', () => {
  test('follows a smooth function through few exact scores', () => {
    const { points, values } = noisy(8, 0, 1);
    const process = fitProcess({ points, values }, LINE);
    const between = Array.from({ length: 40 }, (_, i) => [i / 39]);
    const { mean, std } = process.predict(between);
    for (const [i, [x]] of between.entries()) {
      expect(Math.abs(mean[i]! - (0.6 - 0.1 * (x! - 0.4) ** 2))).toBeLessThan(6e-4);
      expect(std[i]!).toBeLessThan(2e-3);
    }
  });

  const { cases } = JSON.parse(readFileSync(new URL('../../golden/gp/optuna.json', import.meta.url), 'utf8')) as {
    cases: (Observations & { name: string; axes: Axis[]; hyper: Hyper })[];
  };
  test.each(cases)('for a search gives the hyperparameters of Optuna: $name', ({ points, values, axes, hyper }) => {
    const fitted = fitProcess({ points, values }, axes).hyper;
    const both = [fitted, hyper].map(({ lengths, signal, noise }) => [...lengths, signal, noise]);
    // Ours ends where the slope of the log density is below a hundredth.
    for (const [i, value] of both[1]!.entries()) expect(Math.abs(Math.log(both[0]![i]! / value))).toBeLessThan(0.02);
  });

  test('reaches a larger posterior density than hyperparameters drawn at random, with a vanishing gradient', () => {
    for (const [observed, axes, purpose] of [
      [noisy(12, 0.01, 2), LINE, 'search'],
      [noisy(12, 0.01, 2), LINE, 'conclusion'],
      [noisy(30, 0.003, 3, 2), PLANE, 'search'],
    ] as const) {
      const { hyper } = fitProcess(observed, axes, { seed: 1, purpose });
      const likelihood = likelihoodOf({
        kernel: 'matern52',
        axes,
        points: observed.points,
        offset: offsetOf(purpose),
        ...standardise(observed, standardOf(observed)),
      });
      const density = (x: Float64Array) => likelihood(hyperAt(x)) + logPrior(hyperAt(x), purpose);
      const at = coordinatesOf(hyper);
      const normal = normalOf(randomOf(4));
      const others = Array.from({ length: 400 }, () => density(at.map((_, i) => (i === at.length - 1 ? -4 : 0) + 2 * normal())));
      expect(density(at)).toBeGreaterThan(Math.max(...others) - 0.01);
      for (let i = 0; i < at.length; i++) expect(Math.abs(finiteDifference(density, at, i))).toBeLessThan(0.02);
    }
  });

  test('the prior knows its own slope', () => {
    const x = coordinatesOf({ lengths: [0.3, 2], signal: 0.7, noise: 0.05 });
    const gradient = new Float64Array(4);
    const hyper = hyperAt(x);
    logPrior(hyper, 'search', gradient);
    const aboveFloor = (hyper.noise - NOISE_FLOOR) / hyper.noise;
    for (let i = 0; i < 4; i++) {
      expect(gradient[i]! * (i === 3 ? aboveFloor : 1)).toBeCloseTo(
        finiteDifference((at) => logPrior(hyperAt(at), 'search'), x, i),
        6,
      );
    }
  });

  test('coordinates of a fit and hyperparameters are one another', () => {
    const hyper: Hyper = { lengths: [0.3, 2], signal: 0.7, noise: 0.05 };
    const back = hyperAt(coordinatesOf(hyper));
    for (const [i, value] of [...back.lengths, back.signal, back.noise].entries()) {
      expect(value).toBeCloseTo([...hyper.lengths, hyper.signal, hyper.noise][i]!, 12);
    }
    // A change of inverse squared lengths, signal and noise for one of the coordinates, by the determinant of
    // its derivatives.
    const x = coordinatesOf(hyper);
    const natural = (at: Float64Array) => [
      hyperAt(at).lengths[0]! ** -2,
      hyperAt(at).lengths[1]! ** -2,
      hyperAt(at).signal,
      hyperAt(at).noise,
    ];
    const volume = x.reduce((product, _, i) => product * Math.abs(finiteDifference((at) => natural(at)[i]!, x, i)), 1);
    expect(logVolume(x) + 2 * Math.log(2)).toBeCloseTo(Math.log(volume), 6);
  });

  test('finds about the noise that there was', () => {
    const stds = Array.from({ length: 12 }, (_, seed) => {
      const { hyper, standard } = fitProcess(noisy(40, 0.02, seed), LINE, { purpose: 'conclusion' });
      return Math.sqrt(hyper.noise) * standard.scale;
    }).sort((a, b) => a - b);
    expect(stds[0]!).toBeGreaterThan(0.01);
    expect(stds[6]!).toBeGreaterThan(0.015);
    expect(stds[6]!).toBeLessThan(0.025);
    expect(stds[11]!).toBeLessThan(0.03);
  });

  test('finds the axis that matters', () => {
    const random = randomOf(8);
    const points = Array.from({ length: 60 }, () => [random(), random(), random()]);
    const { hyper } = fitProcess({ points, values: points.map(([, y]) => Math.sin(8 * y!)) }, [...PLANE, { kind: 'real' }]);
    expect(hyper.lengths[1]! * 4).toBeLessThan(Math.min(hyper.lengths[0]!, hyper.lengths[2]!));
  });

  test('of scores in another unit is the same in that unit', () => {
    const observed = noisy(10, 0.01, 5);
    const scaled = { points: observed.points, values: observed.values.map((value) => 1000 - 50 * value) };
    const [one, other] = [fitProcess(observed, LINE), fitProcess(scaled, LINE)];
    const at = [[0.13], [0.77]];
    for (const i of [0, 1]) {
      expect(other.predict(at).mean[i]!).toBeCloseTo(1000 - 50 * one.predict(at).mean[i]!, 6);
      expect(other.predict(at).std[i]!).toBeCloseTo(50 * one.predict(at).std[i]!, 6);
      expect(other.joint(at).covariance[i]! / (2500 * one.joint(at).covariance[i]!)).toBeCloseTo(1, 6);
    }
  });

  test.each([1e-200, 1e200])('of scores around %f is fitted like any other', (unit) => {
    const observed = noisy(10, 0.01, 5);
    const process = fitProcess({ points: observed.points, values: observed.values.map((value) => unit * value) }, LINE);
    const { mean } = fitProcess(observed, LINE).predict([[0.13]]);
    expect(process.predict([[0.13]]).mean[0]! / unit).toBeCloseTo(mean[0]!, 6);
  });

  test('is the same for the same seed, also with many observations', () => {
    for (const count of [9, 90]) {
      const observed = noisy(count, 0.01, 6, 2);
      expect(fitProcess(observed, PLANE, { seed: 3 }).hyper).toEqual(fitProcess(observed, PLANE, { seed: 3 }).hyper);
    }
  });

  test('on many observations is about the fit from all starts', () => {
    const observed = noisy(120, 0.02, 7);
    const { hyper, standard } = fitProcess(observed, LINE);
    const likelihood = likelihoodOf({
      kernel: 'matern52',
      axes: LINE,
      points: observed.points,
      ...standardise(observed, standardOf(observed)),
    });
    const density = (h: Hyper) => likelihood(h) + logPrior(h, 'search');
    const grid = [0.1, 0.2, 0.4, 0.8, 1.6].flatMap((length) =>
      [0.1, 0.4, 1, 3].flatMap((signal) => [0.05, 0.1, 0.2, 0.4, 0.8].map((noise) => density({ lengths: [length], signal, noise }))),
    );
    expect(density(hyper)).toBeGreaterThan(Math.max(...grid) - 0.1);
    expect(Math.sqrt(hyper.noise) * standard.scale).toBeCloseTo(0.02, 2);
  });

  test('of one score, and of equal ones, is flat at that score', () => {
    const one = fitProcess({ points: [[0.5]], values: [0.7] }, LINE);
    expect(one.predict([[0.5], [0.9]]).mean[0]).toBeCloseTo(0.7, 12);
    expect(one.predict([[0.9]]).std[0]).toBeGreaterThan(one.predict([[0.5]]).std[0]!);
    const equal = fitProcess({ points: [[0], [0.4], [1]], values: [0.1, 0.1, 0.1] }, LINE);
    expect(equal.standard.scale).toBe(1);
    expect(equal.predict([[0.2]]).mean[0]).toBeCloseTo(0.1, 12);
    expect(equal.predict([[0.2]]).std[0]).toBeLessThan(1);
  });

  test('takes repeats of one point, whose mean it believes the more the more there are', () => {
    const std = (repeats: number) => {
      const seeds = Array.from({ length: 10 }, (_, seed) => seed);
      return seeds.reduce((sum, seed) => {
        const normal = normalOf(randomOf(seed, 2));
        const { points, values } = noisy(6, 0.03, seed);
        const again = Array.from({ length: repeats }, () => 0.6 + 0.03 * normal());
        const process = fitProcess({ points: [...points, ...again.map(() => [0.5])], values: [...values, ...again] }, LINE);
        expect(process.predict([[0.5]]).mean[0]).toBeCloseTo(0.6, 1);
        return sum + process.predict([[0.5]]).std[0]!;
      }, 0);
    };
    expect(std(24)).toBeLessThan(0.8 * std(3));
  });

  test('gives little weight to a score whose noise is known to be large', () => {
    const points = [[0], [0.25], [0.5], [0.75], [1]];
    const values = [0.5, 0.52, 0.9, 0.52, 0.5];
    const sure = fitProcess({ points, values, variances: [null, null, null, null, null] }, LINE);
    const unsure = fitProcess({ points, values, variances: [1e-6, 1e-6, 0.25, null, 1e-6] }, LINE);
    expect(unsure.predict([[0.5]]).mean[0]!).toBeLessThan(0.6);
    expect(sure.predict([[0.5]]).mean[0]!).toBeGreaterThan(unsure.predict([[0.5]]).mean[0]!);
  });

  test('refuses no scores, scores that are no numbers, and another number of points than of scores', () => {
    expect(() => fitProcess({ points: [[0], [1]], values: [1, Number.NaN] }, LINE)).toThrow(/finite/);
    expect(() => fitProcess({ points: [], values: [] }, LINE)).toThrow(RangeError);
    expect(() => fitProcess({ points: [[0], [1]], values: [1] }, LINE)).toThrow(/2 points, but 1 values/);
  });
});

describe('believing values that are still to come', () => {
  const observed = noisy(8, 0.005, 11);
  const process = fitProcess(observed, LINE);

  test('lowers the uncertainty there and leaves the mean', () => {
    const believing = process.condition([[0.33], [0.9]]);
    const at = [[0.33], [0.9], [0.1]];
    const [before, after] = [process.predict(at), believing.predict(at)];
    for (const i of [0, 1, 2]) {
      expect(after.mean[i]!).toBeCloseTo(before.mean[i]!, 9);
      expect(after.std[i]!).toBeLessThanOrEqual(before.std[i]! * (1 + 1e-9));
    }
    expect(after.std[0]!).toBeLessThan(0.9 * before.std[0]!);
    expect(believing.points.length).toBe(10);
    expect(believing.hyper).toEqual(process.hyper);
  });

  test('takes given values in raw units', () => {
    const { mean } = process.condition(Array(50).fill([0.5]), Array(50).fill(0.9)).predict([[0.5]]);
    expect(mean[0]!).toBeGreaterThan(0.85);
  });
});

describe('hyperparameters drawn from their posterior', () => {
  test('are the same for the same seed, and others for another', () => {
    const observed = noisy(10, 0.01, 12);
    const hyper = (seed: number) => fitSamples(observed, LINE, { seed, count: 3 }).map((process) => process.hyper);
    expect(hyper(1)).toEqual(hyper(1));
    expect(hyper(1)).not.toEqual(hyper(2));
    expect(new Set(hyper(1).map(({ noise }) => noise)).size).toBe(3);
  });

  test('spread around the noise that there was, wider with fewer scores', () => {
    const logs = (count: number) =>
      fitSamples(noisy(count, 0.02, 13), LINE, { count: 64 }).map(
        ({ hyper, standard }) => 0.5 * Math.log(hyper.noise) + Math.log(standard.scale / 0.02),
      );
    const spread = (values: number[]) => {
      const mean = values.reduce((sum, value) => sum + value / values.length, 0);
      return { mean, std: Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2 / values.length, 0)) };
    };
    const [few, many] = [spread(logs(8)), spread(logs(60))];
    expect(Math.abs(many.mean)).toBeLessThan(0.3);
    expect(few.std).toBeGreaterThan(1.5 * many.std);
  });

  test('slice sampling draws from the density it is given', () => {
    const random = randomOf(14);
    // A normal of means 1 and −2, standard deviations 1 and 0.5, correlation 0.6, and the logarithm of an
    // exponential.
    const density = ([a, b, c]: Float64Array) => {
      const [u, v] = [a! - 1, (b! + 2) / 0.5];
      return -(u * u - 1.2 * u * v + v * v) / (2 * 0.64) + c! - Math.exp(c!);
    };
    let x = new Float64Array(3);
    const draws = Array.from({ length: 6000 }, () => {
      x = sliceSweep(density, x, random) as Float64Array<ArrayBuffer>;
      return x;
    });
    const mean = (f: (x: Float64Array) => number) => draws.reduce((sum, draw) => sum + f(draw) / draws.length, 0);
    expect(mean(([a]) => a!)).toBeCloseTo(1, 0.8);
    expect(mean(([, b]) => b!)).toBeCloseTo(-2, 1);
    expect(mean(([a]) => (a! - 1) ** 2)).toBeGreaterThan(0.88);
    expect(mean(([a]) => (a! - 1) ** 2)).toBeLessThan(1.12);
    expect(mean(([a, b]) => (a! - 1) * (b! + 2))).toBeCloseTo(0.3, 1);
    expect(mean(([, , c]) => Math.exp(c!))).toBeCloseTo(1, 1);
    expect(mean(([, , c]) => Math.exp(2 * c!))).toBeGreaterThan(1.75);
    expect(mean(([, , c]) => Math.exp(2 * c!))).toBeLessThan(2.25);
  });
});

describe('a smooth minimum', () => {
  test('of the banana of Rosenbrock is found', () => {
    const { x, value } = minimiseSmooth(
      ([a, b], gradient) => {
        gradient[0] = -2 * (1 - a!) - 400 * a! * (b! - a! * a!);
        gradient[1] = 200 * (b! - a! * a!);
        return (1 - a!) ** 2 + 100 * (b! - a! * a!) ** 2;
      },
      Float64Array.of(-1.2, 1),
      { evaluations: 200, tolerance: 1e-8 },
    );
    expect(value).toBeLessThan(1e-15);
    expect(x[0]!).toBeCloseTo(1, 7);
    expect(x[1]!).toBeCloseTo(1, 7);
  });

  test('keeps to its evaluations, and to where the function is defined', () => {
    let calls = 0;
    const { x } = minimiseSmooth(
      ([a], gradient) => {
        calls += 1;
        gradient[0] = 1 - 1 / a!;
        return a! > 0 ? a! - Math.log(a!) : Number.POSITIVE_INFINITY;
      },
      Float64Array.of(0.01),
      { evaluations: 40, tolerance: 1e-6 },
    );
    expect(x[0]!).toBeCloseTo(1, 5);
    expect(calls).toBeLessThanOrEqual(40);
    calls = 0;
    const falling: Smooth = ([a], gradient) => {
      calls += 1;
      gradient[0] = -1;
      return -a!;
    };
    minimiseSmooth(falling, Float64Array.of(0), { evaluations: 7, tolerance: 1e-6 });
    expect(calls).toBe(7);
  });
});
