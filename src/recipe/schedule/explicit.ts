import { MergeError, type Warning } from '../../base/errors.ts';
import type { Weighing, WeightRequest } from './types.ts';

/** Sums closer to 1 than this count as 1, everywhere. */
const WEIGHT_SUM_TOLERANCE = 1e-9;

/**
 * Explicit weights, used as given (negative and extrapolating allowed) or, with `normalize`, divided by their
 * sum; a warning when they do not sum to 1.
 *
 * @throws MergeError E_WEIGHTS for a wrong number of weights, a weight that is not finite, all zero, or a sum
 *   of 0 with `normalize`
 */
export function weighAsGiven(count: number, given: readonly number[], { normalize }: WeightRequest): Weighing {
  if (given.length !== count)
    throw new MergeError('E_WEIGHTS', `${given.length} weights for ${count} inputs`, { help: 'Give one weight per input.' });
  for (const [i, w] of given.entries()) {
    if (!Number.isFinite(w)) throw new MergeError('E_WEIGHTS', `weight ${i + 1} is ${w}; weights must be finite numbers`);
  }
  if (given.every((w) => w === 0))
    throw new MergeError('E_WEIGHTS', 'all weights are zero', { help: 'Give at least one member a weight.' });
  let weights = Float64Array.from(given);
  if (normalize) {
    const total = sumOf(weights);
    weights = weights.map((w) => w / total);
    if (!weights.every(Number.isFinite)) {
      throw new MergeError('E_WEIGHTS', `the weights sum to ${total}, so they cannot be normalized`, { help: 'Leave out --normalize.' });
    }
  }
  const total = sumOf(weights);
  if (Math.abs(total - 1) <= WEIGHT_SUM_TOLERANCE) return { weights };
  const message = `the weights sum to ${total}, not 1; they are used as given (--normalize divides by the sum)`;
  const warnings: Warning[] = [{ code: 'W_WEIGHT_SUM', message }];
  return { weights, warnings };
}

export function sumOf(weights: Float64Array): number {
  return weights.reduce((a, b) => a + b, 0);
}
