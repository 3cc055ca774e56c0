/**
 * Simple moving average: w_i = 1/N.
 * Source: PMA, arXiv 2505.12082, equation 3.
 *
 * @param count number of members, at least 1
 */
export function sma(count: number): Float64Array {
  return new Float64Array(count).fill(1 / count);
}
