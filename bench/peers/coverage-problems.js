/**
 * Shapes on which nothing was chosen: intervals are reported on these. As the problems of regret-problems.js:
 * on the unit cube, to be maximised, the noise a tenth of the range.
 */

const sigmoid = (/** @type {number} */ x) => 1 / (1 + Math.exp(-x));

/** @type {readonly { name: string, dimensions: number, value: (point: readonly number[]) => number }[]} */
const SHAPES = [
  { name: 'plateau', dimensions: 1, value: ([u]) => sigmoid((u - 0.3) / 0.06) * sigmoid((0.85 - u) / 0.04) },
  { name: 'sine', dimensions: 1, value: ([u]) => Math.sin(2 * Math.PI * 1.3 * u) + 0.4 * u },
  { name: 'cusp', dimensions: 1, value: ([u]) => -(Math.abs(u - 0.62) ** 0.7) },
  { name: 'cubic', dimensions: 1, value: ([u]) => u * (1 - u) * (u + 0.3) },
  { name: 'ridge', dimensions: 2, value: ([u, v]) => -((0.8 * (u - 0.3) + 0.6 * (v - 0.6)) ** 2) - 0.1 * (v - 0.4) ** 2 },
];

const STEPS = 100;

/** @type {readonly import('./regret-problems.js').Problem[]} */
export const HELD_OUT = SHAPES.map((shape) => {
  const side = Array.from({ length: STEPS + 1 }, (_, k) => k / STEPS);
  const values = side.flatMap((u) => (shape.dimensions === 1 ? [shape.value([u])] : side.map((v) => shape.value([u, v]))));
  const greatest = Math.max(...values);
  return { ...shape, greatest, noise: 0.1 * (greatest - Math.min(...values)) };
});
