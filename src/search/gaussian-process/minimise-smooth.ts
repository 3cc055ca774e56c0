/** The value of a function at x; its gradient is written to `gradient`. Infinite where it is not defined. */
export type Smooth = (x: Float64Array, gradient: Float64Array) => number;

export interface Minimum {
  readonly x: Float64Array;
  readonly value: number;
}

/** How long to go on. */
export interface Effort {
  /** Calls of the function, at most. */
  readonly evaluations: number;
  /** Ends where no component of the gradient is larger. */
  readonly tolerance: number;
}

/** Steps whose curvature is remembered. */
const MEMORY = 8;
/** A step changes no coordinate by more: what is minimised here are logarithms, and e^2 is far. */
const LONGEST = 2;

/**
 * A local minimum of a smooth function by L-BFGS (Nocedal and Wright 2006, algorithms 7.4 and 7.5) with a backtracking line search. */
export function minimiseSmooth(smooth: Smooth, start: Float64Array, { evaluations, tolerance }: Effort): Minimum {
  const size = start.length;
  let x = start.slice();
  let gradient = new Float64Array(size);
  let value = smooth(x, gradient);
  let left = evaluations - 1;
  const history: { step: Float64Array; change: Float64Array; rho: number }[] = [];
  while (left > 0 && Number.isFinite(value) && gradient.some((g) => Math.abs(g) > tolerance)) {
    const direction = descent(gradient, history);
    let slope = product(direction, gradient);
    const most = direction.reduce((largest, d) => Math.max(largest, Math.abs(d)), 0);
    let scale = Math.min(1, LONGEST / most);
    // Without curvature yet the gradient says nothing of how far to go.
    if (history.length === 0) scale = Math.min(scale, 0.5 / most);
    slope *= scale;
    const step = direction.map((d) => d * scale);
    const nextGradient = new Float64Array(size);
    let next = x;
    let nextValue = Number.POSITIVE_INFINITY;
    while (left > 0) {
      next = x.map((at, i) => at + step[i]!);
      nextValue = smooth(next, nextGradient);
      left -= 1;
      if (nextValue <= value + 1e-4 * slope) break;
      // The minimum of the parabola through both values and the slope, within a tenth and a half of the step.
      const parabola = slope / (2 * (slope + value - nextValue));
      const shrink = Number.isFinite(parabola) ? Math.min(0.5, Math.max(0.1, parabola)) : 0.1;
      slope *= shrink;
      for (let i = 0; i < size; i++) step[i] = step[i]! * shrink;
    }
    if (!(nextValue < value)) break;
    const change = nextGradient.map((g, i) => g - gradient[i]!);
    const curvature = product(step, change);
    if (curvature > 1e-10 * product(change, change)) {
      history.push({ step, change, rho: 1 / curvature });
      if (history.length > MEMORY) history.shift();
    }
    [x, value, gradient] = [next, nextValue, nextGradient];
  }
  return { x, value };
}

/** −H g by the two loops over the remembered steps. */
function descent(gradient: Float64Array, history: readonly { step: Float64Array; change: Float64Array; rho: number }[]): Float64Array {
  const direction = gradient.map((g) => -g);
  const factors: number[] = [];
  for (const { step, change, rho } of history.toReversed()) {
    const factor = rho * product(step, direction);
    factors.push(factor);
    for (let i = 0; i < direction.length; i++) direction[i] = direction[i]! - factor * change[i]!;
  }
  const last = history.at(-1);
  if (last !== undefined) {
    const scale = 1 / (last.rho * product(last.change, last.change));
    for (let i = 0; i < direction.length; i++) direction[i] = direction[i]! * scale;
  }
  for (const { step, change, rho } of history) {
    const factor = factors.pop()! - rho * product(change, direction);
    for (let i = 0; i < direction.length; i++) direction[i] = direction[i]! + factor * step[i]!;
  }
  return direction;
}

function product(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
