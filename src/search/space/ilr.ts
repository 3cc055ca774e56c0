/**
 * Coordinates of weights that are all over 0 and sum to 1: isometric log-ratios (Egozcue, Pawlowsky-Glahn,
 * Mateu-Figueras and Barceló-Vidal 2003, "Isometric logratio transformations for compositional data
 * analysis", Mathematical Geology 35, 279-300) in the Helmert basis
 *
 *     z_i = sqrt(i / (i + 1)) · ln( g(w_1 … w_i) / w_{i+1} )        i = 1 … N − 1, g the geometric mean
 *
 * Distances between points are those of the logarithms of weights; the origin is 1/N for all.
 */

/** The N − 1 coordinates of N weights over 0, whatever their sum. */
export function ilr(weights: readonly number[]): number[] {
  const logs = weights.map(Math.log);
  let sum = logs[0]!;
  return logs.slice(1).map((log, k) => {
    const i = k + 1;
    const z = Math.sqrt(i / (i + 1)) * (sum / i - log);
    sum += log;
    return z;
  });
}

/** The N weights of N − 1 coordinates; exactly 1/N each at the origin, and their sum within rounding of 1. */
export function ilrInverse(z: readonly number[]): number[] {
  const logs = Array.from({ length: z.length + 1 }, (_, member) =>
    z.reduce((log, value, k) => {
      const i = k + 1;
      if (member < i) return log + value / Math.sqrt(i * (i + 1));
      return member === i ? log - value * Math.sqrt(i / (i + 1)) : log;
    }, 0),
  );
  // Less the largest, so that no exponential overflows.
  const largest = Math.max(...logs);
  const shares = logs.map((log) => Math.exp(log - largest));
  const total = shares.reduce((sum, share) => sum + share, 0);
  return shares.map((share) => share / total);
}
