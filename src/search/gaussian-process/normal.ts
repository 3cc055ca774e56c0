const LOG_SQRT_2PI = 0.5 * Math.log(2 * Math.PI);
/** Below −TAIL the lower tail is taken from its continued fraction, above from the series. */
const TAIL = 2;

/** Density of the standard normal distribution. */
export function normalPdf(x: number): number {
  return Math.exp(-0.5 * x * x - LOG_SQRT_2PI);
}

/** log φ(x). */
function logNormalPdf(x: number): number {
  return -0.5 * x * x - LOG_SQRT_2PI;
}

/**
 * Φ(x), the distribution function of the standard normal; relative error below 1e-13 wherever it is a normal
 * double, in both tails.
 */
export function normalCdf(x: number): number {
  if (x > TAIL) return 1 - normalCdf(-x);
  if (x < -TAIL) return normalPdf(x) / (-x + tailFraction(-x));
  return 0.5 + normalPdf(x) * series(x);
}

/** log Φ(x), also where Φ(x) is too small for a double. */
export function logNormalCdf(x: number): number {
  if (x < -TAIL) return logNormalPdf(x) - Math.log(-x + tailFraction(-x));
  return x > TAIL ? Math.log1p(-normalCdf(-x)) : Math.log(normalCdf(x));
}

/** Φ⁻¹(p): x with Φ(x) = p; −∞ and ∞ at 0 and 1. */
export function normalQuantile(p: number): number {
  if (!(p >= 0 && p <= 1)) return Number.NaN;
  if (p > 0.5) return -normalQuantile(1 - p);
  if (p === 0) return Number.NEGATIVE_INFINITY;
  // Abramowitz and Stegun 26.2.23, good to 4.5e-4; then Newton's steps on log Φ, which is concave, so that
  // they converge from there in the far tail too.
  const t = Math.sqrt(-2 * Math.log(p));
  let x = (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))) - t;
  for (let step = 0; step < 3; step++) {
    const logCdf = logNormalCdf(x);
    x += (Math.log(p) - logCdf) * Math.exp(logCdf - logNormalPdf(x));
  }
  return x;
}

/**
 * log(φ(z) + z Φ(z)), the logarithm of the expected improvement of a standard normal by z (Ament et al. 2023,
 * eq. 9), without loss in the tail.
 */
export function logImprovement(z: number): number {
  if (z >= -TAIL) return Math.log(normalPdf(z) + z * normalCdf(z));
  // With x = −z and Φ(z) = φ(z)/(x + c), φ(z) − x Φ(z) = φ(z) c/(x + c): nothing cancels.
  const c = tailFraction(-z);
  return logNormalPdf(z) + Math.log(c / (-z + c));
}

/** (Φ(x) − 1/2)/φ(x) = x + x³/3 + x⁵/(3·5) + … (Abramowitz and Stegun 26.2.11). */
function series(x: number): number {
  let term = x;
  let sum = x;
  for (let k = 3; Math.abs(term) > 1e-18 * Math.abs(sum); k += 2) {
    term *= (x * x) / k;
    sum += term;
  }
  return sum;
}

/**
 * c with (1 − Φ(x))/φ(x) = 1/(x + c), by Laplace's continued fraction c = 1/(x + 2/(x + 3/(x + …)))
 * (Abramowitz and Stegun 26.2.14), x ≥ TAIL.
 */
function tailFraction(x: number): number {
  // The error was measured to fall like exp(−1.8 x √terms).
  const terms = 6 + Math.ceil((22 / x) ** 2);
  let c = 0;
  for (let k = terms; k >= 1; k--) c = k / (x + c);
  return c;
}

/** Two-sided 95 % of a normal distribution. */
export const NORMAL_95 = 1.959963984540054;
