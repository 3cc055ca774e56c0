import { PARAMETERS } from './parameters.ts';
import { unevenWarnings } from './positions.ts';
import type { ScheduleMember, Weighing, WeightRequest } from './types.ts';

/**
 * Truncated exponential average: w_i = α(1 − α)^(N−i) / (1 − (1 − α)^N), i = 1 for the oldest, so that every
 * member weighs (1 − α) times the next newer. Source: the closed form of PMA, arXiv 2505.12082, section 4.2,
 * which sums to 1 − (1 − α)^N (0.651 for α = 0.1 and N = 10) and would shrink the model; dividing by that sum
 * is ours.
 *
 * @param count number of members N, oldest first, at least 1
 * @param alpha in (0, 1]
 */
export function emaNormalized(count: number, alpha: number): Float64Array {
  const weights = new Float64Array(count);
  let power = 1;
  for (let i = count - 1; i >= 0; i--) {
    weights[i] = alpha * power;
    power *= 1 - alpha;
  }
  // 1 − (1 − α)^N cancels for small α: the sum of the terms, smallest first, does not.
  const total = weights.reduce((sum, w) => sum + w, 0);
  return weights.map((w) => w / total);
}

export function weighByEmaNormalized(members: readonly ScheduleMember[], request: WeightRequest): Weighing {
  const alpha = request.alpha ?? PARAMETERS.alpha.default;
  return { weights: emaNormalized(members.length, alpha), parameters: { alpha }, warnings: unevenWarnings(members, 'ema-normalized') };
}
