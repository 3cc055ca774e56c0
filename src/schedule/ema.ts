/**
 * Exponential moving average by the recursion M_avg(i) = α·M_i + (1 − α)·M_avg(i−1), seeded with the oldest member. α multiplies the NEW member.
 * The weights are the recursion's own float64 values: start with [1], for each newer member multiply all by (1 − α) and append α.
 * Source: PMA, arXiv 2505.12082, equation 4; the paper leaves M_avg(1) unsaid, M_1 is the natural reading. The oldest weighs (1 − α)^(N−1), which
 * for small α and N is the largest weight of all: callers warn (W_OLDEST_HEAVIEST).
 *
 * @param count number of members, oldest first, at least 1
 * @param alpha weight of the newest member, in (0, 1]
 */
export function ema(count: number, alpha: number): Float64Array {
  const weights = new Float64Array(count);
  weights[0] = 1;
  for (let i = 1; i < count; i++) {
    for (let j = 0; j < i; j++) weights[j]! *= 1 - alpha;
    weights[i] = alpha;
  }
  return weights;
}
