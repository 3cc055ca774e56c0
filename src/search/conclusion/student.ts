import { NORMAL_95, normalQuantile } from '../gaussian-process/normal.ts';

/**
 * Distribution function of Student's t, by the continued fraction of the incomplete beta function (Abramowitz
 * and Stegun 26.5.8 and 26.7.1); relative error about 1e-12.
 *
 * @param freedom degrees of freedom, above 0, whole or not
 */
export function studentCdf(t: number, freedom: number): number {
  if (t === 0) return 0.5;
  const tail = 0.5 * incompleteBeta(freedom / (freedom + t * t), freedom / 2, 0.5);
  return t > 0 ? 1 - tail : tail;
}

/**
 * Quantile of Student's t.
 *
 * @param p in (0, 1) @param freedom degrees of freedom, above 0, whole or not; infinite is the normal's
 */
export function studentQuantile(p: number, freedom: number): number {
  if (p > 0.5) return -studentQuantile(1 - p, freedom);
  if (p === 0.5) return 0;
  if (!Number.isFinite(freedom)) return normalQuantile(p);
  let [low, high] = [2 * normalQuantile(p), 0];
  while (studentCdf(low, freedom) > p) low *= 2;
  for (let step = 0; step < 200; step++) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) break;
    if (studentCdf(middle, freedom) > p) high = middle;
    else low = middle;
  }
  return (low + high) / 2;
}

/**
 * By how much a 95 % interval is wider because its standard error was estimated from few differences: the
 * quantile of Student's t over that of the normal distribution.
 *
 * @param lists differences by item, each list with a mean of its own
 * @returns 1 or more; 1 without lists
 */
export function fewItemsFactor(lists: readonly { readonly length: number }[] | null): number {
  if (lists === null || lists.length === 0) return 1;
  return freedomFactor(lists.reduce((sum, { length }) => sum + length - 1, 0));
}

/** The same for degrees of freedom. */
export function freedomFactor(freedom: number): number {
  return studentQuantile(0.975, freedom) / NORMAL_95;
}

/** In the place of 0 in a continued fraction. */
const TINY = 1e-300;

/** I_x(a, b), the regularised incomplete beta function. */
function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  // The fraction converges fast below the mean of the distribution; above it the other tail is taken.
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)) / a;
  // Lentz's method, as in Thompson and Barnett, Journal of Computational Physics 64, 1986.
  let [c, d] = [1, 1 / nonZero(1 - ((a + b) * x) / (a + 1))];
  let fraction = d;
  for (let m = 1; m < 10_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / nonZero(1 + even * d);
    c = nonZero(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / nonZero(1 + odd * d);
    c = nonZero(1 + odd / c);
    const change = d * c;
    fraction *= change;
    if (Math.abs(change - 1) < 1e-15) break;
  }
  return front * fraction;
}

function nonZero(value: number): number {
  return Math.abs(value) < TINY ? TINY : value;
}

/** log Γ(x) for x > 0, by Stirling's series from 10 on (Abramowitz and Stegun 6.1.41). */
function logGamma(x: number): number {
  let shift = 0;
  let z = x;
  for (; z < 10; z++) shift += Math.log(z);
  const s = 1 / (z * z);
  const series = (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s * (1 / 1680 - s / 1188)))) / z;
  return (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + series - shift;
}
