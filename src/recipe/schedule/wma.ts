import { unevenWarnings } from './positions.ts';
import type { ScheduleMember, Weighing } from './types.ts';

/**
 * Weighted moving average, newer members weigh more: w_i = i / (N(N+1)/2), i = 1 for the oldest.
 * Source: PMA, arXiv 2505.12082, equation 5.
 *
 * @param count number of members, oldest first, at least 1
 */
export function wma(count: number): Float64Array {
  const total = (count * (count + 1)) / 2;
  return Float64Array.from({ length: count }, (_, i) => (i + 1) / total);
}

export function weighByWma(members: readonly ScheduleMember[]): Weighing {
  return { weights: wma(members.length), warnings: unevenWarnings(members, 'wma') };
}
