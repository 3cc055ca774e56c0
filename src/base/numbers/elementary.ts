/**
 * The functions of schedules that ECMAScript leaves to the engine (Math.cos, Math.log, **): they may differ in the
 * last bit between versions of V8, and the bytes of a merge must not. Built from + − × ÷ alone, which IEEE
 * 754 fixes; within 2 units in the last place of 1.
 */

/** cos(πu) for u in [0, 1]: the Taylor series up to (πu)^24 / 24!, below 1e-19 here. */
export function cosPi(u: number): number {
  if (u > 0.5) return -cosPi(1 - u);
  const squared = Math.PI * u * (Math.PI * u);
  let sum = 1;
  for (let k = 24; k > 0; k -= 2) sum = 1 - (sum * squared) / (k * (k - 1));
  return sum;
}

/**
 * 1 − 2^(−x) for x ≥ 0, without cancellation for small x: the Taylor series up to (f ln 2)^19 / 19! of the
 * fraction f, below 1e-19 here.
 */
export function shareLost(x: number): number {
  const whole = Math.min(Math.floor(x), 1100);
  const y = (x - Math.floor(x)) * Math.LN2;
  let series = 1;
  for (let k = 19; k > 1; k--) series = 1 - (series * y) / k;
  const lost = y * series;
  let left = 1;
  for (let i = 0; i < whole; i++) left /= 2;
  return whole === 0 ? lost : 1 - left * (1 - lost);
}

/**
 * ln(to / from) for 0 < from ≤ to, without cancellation where they are close: the series 2·artanh s up to
 * s^25, below 1e-18 for the s ≤ 1/5 that is left when doublings of `from`, which are exact, are taken out.
 */
export function logOfRatio(from: number, to: number): number {
  let doublings = 0;
  let near = from;
  for (; to > 1.5 * near; near *= 2) doublings++;
  // Between 3/4 and 3/2.
  const s = (to - near) / (to + near);
  let series = 0;
  for (let k = 25; k > 0; k -= 2) series = series * s * s + 1 / k;
  return doublings * Math.LN2 + 2 * s * series;
}
