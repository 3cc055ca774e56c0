/**
 * What the samplers are compared on, as in regret-peers.py: six shapes of a score over lambda, and two
 * functions that everybody takes. On the unit cube, to be maximised; the noise is normal, its standard
 * deviation 10 % of the range of the function.
 *
 * @typedef {object} Problem
 * @property {string} name
 * @property {number} dimensions
 * @property {(point: readonly number[]) => number} value
 * @property {number} greatest the largest value
 * @property {number} noise standard deviation
 */

const hump = (/** @type {number} */ x, /** @type {number} */ centre, /** @type {number} */ width) =>
  Math.exp(-0.5 * ((x - centre) / width) ** 2);

/** Branin on its usual domain, negated. @param {readonly number[]} point */
function branin([u, v]) {
  const [x, y] = [15 * u - 5, 15 * v];
  return -((y - (5.1 / (4 * Math.PI ** 2)) * x ** 2 + (5 / Math.PI) * x - 6) ** 2 + 10 * (1 - 1 / (8 * Math.PI)) * Math.cos(x) + 10);
}

const HARTMANN = [
  { c: 1, a: [10, 3, 17, 3.5, 1.7, 8], p: [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886] },
  { c: 1.2, a: [0.05, 10, 17, 0.1, 8, 14], p: [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991] },
  { c: 3, a: [3, 3.5, 1.7, 10, 17, 8], p: [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.665] },
  { c: 3.2, a: [17, 8, 0.05, 10, 0.1, 14], p: [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381] },
];

/** @param {readonly number[]} point */
function hartmann6(point) {
  return HARTMANN.reduce((sum, { c, a, p }) => sum + c * Math.exp(-point.reduce((q, x, d) => q + a[d] * (x - p[d]) ** 2, 0)), 0);
}

/** @type {Problem[]} */
export const PROBLEMS = [
  { name: 'quadratic', dimensions: 1, value: ([u]) => 1 - ((u - 0.43) / 0.57) ** 2, greatest: 1, noise: 0.1 },
  { name: 'skewed', dimensions: 1, value: ([u]) => (u / 0.15) * Math.exp(1 - u / 0.15), greatest: 1, noise: 0.1 },
  { name: 'on the bound', dimensions: 1, value: ([u]) => 1 - (1 - u) ** 1.5, greatest: 1, noise: 0.1 },
  {
    name: 'narrow peak',
    dimensions: 1,
    value: ([u]) => 0.3 - 0.3 * (u - 0.6) ** 2 + 0.7 * hump(u, 0.37, 0.05),
    greatest: 0.9841639352452114,
    noise: 0.1,
  },
  {
    name: 'two humps',
    dimensions: 1,
    value: ([u]) => 0.75 * hump(u, 0.22, 0.12) + hump(u, 0.77, 0.07),
    greatest: 1.0000205822657116,
    noise: 0.1,
  },
  { name: 'flat', dimensions: 1, value: () => 0.5, greatest: 0.5, noise: 0.1 },
  { name: 'branin', dimensions: 2, value: branin, greatest: -0.39788735772973816, noise: 30 },
  { name: 'hartmann6', dimensions: 6, value: hartmann6, greatest: 3.322368011415515, noise: 0.33 },
];
