import { normalOf, randomOf } from '../../base/numbers/random.ts';
import type { Axis } from './cube.ts';
import type { Hyper } from './kernels.ts';
import { type Likelihood, likelihoodOf } from './likelihood.ts';
import { type Effort, minimiseSmooth, type Smooth } from './minimise-smooth.ts';
import type { KernelName } from './names.ts';
import type { ProcessModel } from './posterior.ts';
import { coordinatesOf, type FitPurpose, hyperAt, logPrior, NOISE_FLOOR, offsetOf } from './prior.ts';
import { type Observations, type Process, processOf, standardise, standardOf } from './process.ts';

export interface FitOptions {
  /** Without it Matérn 5/2. */
  readonly kernel?: KernelName;
  /** Decides where the starts beside the fixed ones lie; 0 without. */
  readonly seed?: number;
  /** Which prior the noise has: `search` without. */
  readonly purpose?: FitPurpose;
}

/** Hyperparameters that a fit starts from: smooth, wavy and almost exact, flat and noisy. */
const STARTS = [
  { length: 0.5, signal: 1, noise: 1e-3 },
  { length: 0.15, signal: 1, noise: 1e-5 },
  { length: 1.5, signal: 0.5, noise: 0.3 },
] as const;
const RANDOM_STARTS = 2;
/**
 * Of more observations than this the starts are compared on a part, and only the best of them goes on with
 * all.
 */
const ENOUGH = 64;
// The log posterior density within a hundredth of its maximum is more than the choice of the next trial can
// tell.
const FULL: Effort = { evaluations: 100, tolerance: 1e-2 };
const ROUGH: Effort = { evaluations: 40, tolerance: 0.1 };
const LARGE: Effort = { evaluations: 20, tolerance: 0.5 };

/**
 * Fits a Gaussian process: values standardised, then the hyperparameters of the largest posterior density
 * (prior of prior.ts) by L-BFGS from several starts. The same observations and seed give the same process.
 *
 * @throws RangeError without observations
 */
export function fitProcess(
  observations: Observations,
  axes: readonly Axis[],
  { kernel = 'matern52', seed = 0, purpose = 'search' }: FitOptions = {},
): Process {
  const standard = standardOf(observations);
  const offset = offsetOf(purpose);
  const model = { kernel, axes, points: observations.points, offset, ...standardise(observations, standard) };
  const starts = startsOf(axes.length, seed);
  const hyper =
    model.points.length <= ENOUGH
      ? fitHyper(model, purpose, starts)
      : fitHyper(model, purpose, [coordinatesOf(fitHyper(partOf(model), purpose, starts, ROUGH))], LARGE);
  return processOf(observations, { axes, kernel, hyper, standard, offset });
}

/** The hyperparameters of the largest posterior density that is reached from the starts. */
export function fitHyper(
  model: Omit<ProcessModel, 'hyper'>,
  purpose: FitPurpose,
  starts: readonly Float64Array[],
  effort: Effort = FULL,
): Hyper {
  const objective = objectiveOf(likelihoodOf(model), purpose);
  const minima = starts.map((start) => minimiseSmooth(objective, start, effort));
  return hyperAt(minima.reduce((least, minimum) => (minimum.value < least.value ? minimum : least)).x);
}

/**
 * Some of the observations, spread over their order, so that early, scattered points and late, clustered ones
 * are both among them.
 */
export function partOf(model: Required<Omit<ProcessModel, 'hyper'>>): Omit<ProcessModel, 'hyper'> {
  const count = model.points.length;
  if (count <= ENOUGH) return model;
  const part = Array.from({ length: ENOUGH }, (_, i) => Math.floor((i * count) / ENOUGH));
  const { points, values, variances } = model;
  return { ...model, points: part.map((i) => points[i]!), values: part.map((i) => values[i]!), variances: part.map((i) => variances[i]!) };
}

/** Minus the log posterior density, in the coordinates of a fit. */
function objectiveOf(likelihood: Likelihood, purpose: FitPurpose): Smooth {
  return (x, gradient) => {
    const hyper = hyperAt(x);
    gradient.fill(0);
    const value = likelihood(hyper, gradient) + logPrior(hyper, purpose, gradient);
    for (let i = 0; i < x.length; i++) gradient[i] = -gradient[i]!;
    const last = x.length - 1;
    gradient[last] = (gradient[last]! * (hyper.noise - NOISE_FLOOR)) / hyper.noise;
    return Number.isFinite(value) ? -value : Number.POSITIVE_INFINITY;
  };
}

/** Where the search for the largest posterior density begins, in the coordinates of a fit. */
export function startsOf(width: number, seed: number): Float64Array[] {
  const normal = normalOf(randomOf(seed, 0));
  const fixed = STARTS.map(({ length, signal, noise }) => coordinatesOf({ lengths: new Array<number>(width).fill(length), signal, noise }));
  const random = Array.from({ length: RANDOM_STARTS }, () =>
    coordinatesOf({
      lengths: Array.from({ length: width }, () => 0.5 * Math.exp(normal())),
      signal: Math.exp(0.5 * normal()),
      noise: NOISE_FLOOR + 1e-2 * Math.exp(2 * normal()),
    }),
  );
  return [...fixed, ...random];
}
