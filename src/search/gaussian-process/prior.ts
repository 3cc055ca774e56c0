import type { Hyper } from './kernels.ts';

/**
 * Least variance of the noise of a value, in standardised units: keeps covariances invertible, and repeated
 * points possible.
 */
export const NOISE_FLOOR = 1e-6;

/** What a process is fitted for: to choose the next trial, or to say what is known. */
export type FitPurpose = 'search' | 'conclusion';

/** A prior density of hyperparameters in standardised units. */
interface Prior {
  /** λ of exp(−λ (u + 1/u)) for each inverse squared length u = ℓ^−2. */
  readonly lengthRate: number;
  /**
   * Of D axes, D λ for λ and D/ℓ² for u: a cube of more axes is wider from corner to corner, and a few trials
   * say less of each length.
   */
  readonly scaledByAxes: boolean;
  /** Gamma density of the variance of the function. */
  readonly signal: { readonly shape: number; readonly rate: number };
  /** Sum of weight · x^(shape − 1) exp(−rate x), of the variance of the noise. */
  readonly noise: readonly { readonly weight: number; readonly shape: number; readonly rate: number }[];
  /** See `ProcessModel`. */
  readonly offset: number;
}

/**
 * The constants of a search are those of Optuna 5's GPSampler (optuna/_gp/prior.py), whose authors chose them
 * by trial. A search does well to take a difference for real until trials say otherwise: on scores with noise
 * of a tenth of their range, regret was least with a rate of the noise of 30 and more.
 *
 * A conclusion must not, and its constants are ours, chosen on half of the shapes of `bench/coverage.js` so
 * that 95 % intervals hold the truth (docs/search.md has the figures). With the search's they held it in 77 to
 * 89 %, the truth nearly always above: ends of a range, which the baselines are, were pulled to the mean of
 * values that were sought around a maximum (so the level is unknown here, and the function may vary more), and
 * noise was underrated, in many dimensions by half (so of two kinds of evaluators, without noise and with it,
 * each is likely). Claims that are false stay below 5 % either way.
 */
const PRIORS: Readonly<Record<FitPurpose, Prior>> = {
  search: {
    lengthRate: 0.1,
    scaledByAxes: false,
    signal: { shape: 2, rate: 1 },
    noise: [{ weight: 1, shape: 1.1, rate: 30 }],
    offset: 0,
  },
  conclusion: {
    lengthRate: 0.03,
    scaledByAxes: true,
    signal: { shape: 2, rate: 0.1 },
    // Half of Gamma(0.3, 100), half of Gamma(1, 2): 0.5 · 100^0.3/Γ(0.3), and 0.5 · 2.
    noise: [
      { weight: 0.66538, shape: 0.3, rate: 100 },
      { weight: 1, shape: 1, rate: 2 },
    ],
    offset: 10,
  },
};

/** Variance of the constant about which a function varies, in standardised units: see `ProcessModel`. */
export function offsetOf(purpose: FitPurpose): number {
  return PRIORS[purpose].offset;
}

/**
 * Logarithm of the prior density of hyperparameters in standardised units, up to a constant: see
 * {@link PRIORS}.
 *
 * @param gradient added to where given: derivatives with respect to the logarithms of the lengths, of the
 *   signal and of the noise, [axes + 2]
 */
export function logPrior({ lengths, signal, noise }: Hyper, purpose: FitPurpose, gradient?: Float64Array): number {
  const prior = PRIORS[purpose];
  const unit = prior.scaledByAxes ? lengths.length : 1;
  const lengthRate = prior.lengthRate * unit;
  let sum = 0;
  for (const [a, length] of lengths.entries()) {
    const inverse = unit / (length * length);
    sum -= lengthRate * (inverse + 1 / inverse);
    if (gradient !== undefined) gradient[a] = gradient[a]! + 2 * lengthRate * (inverse - 1 / inverse);
  }
  sum += (prior.signal.shape - 1) * Math.log(signal) - prior.signal.rate * signal;
  const logs = prior.noise.map(({ weight, shape, rate }) => Math.log(weight) + (shape - 1) * Math.log(noise) - rate * noise);
  const most = Math.max(...logs);
  const shares = logs.map((log) => Math.exp(log - most));
  const total = shares.reduce((all, share) => all + share, 0);
  sum += most + Math.log(total);
  if (gradient !== undefined) {
    const width = lengths.length;
    gradient[width] = gradient[width]! + prior.signal.shape - 1 - prior.signal.rate * signal;
    for (const [i, { shape, rate }] of prior.noise.entries()) {
      const share = shares[i]! / total;
      gradient[width + 1] = gradient[width + 1]! + share * shape - share - share * rate * noise;
    }
  }
  return sum;
}

// A fit moves in unbounded coordinates: logarithms of the lengths, of the signal, and of what the noise has
// above its floor.

export function hyperAt(x: ArrayLike<number>): Hyper {
  const width = x.length - 2;
  return {
    lengths: Array.from({ length: width }, (_, a) => Math.exp(x[a]!)),
    signal: Math.exp(x[width]!),
    noise: NOISE_FLOOR + Math.exp(x[width + 1]!),
  };
}

export function coordinatesOf({ lengths, signal, noise }: Hyper): Float64Array {
  return Float64Array.of(...lengths.map(Math.log), Math.log(signal), Math.log(Math.max(noise - NOISE_FLOOR, 0.01 * NOISE_FLOOR)));
}

/**
 * Logarithm of the volume of hyperparameters, as their prior measures it (inverse squared lengths, signal,
 * noise), in a unit of the coordinates of a fit.
 */
export function logVolume(x: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += (i < x.length - 2 ? -2 : 1) * x[i]!;
  return sum;
}
