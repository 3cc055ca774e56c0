import type { Axis, Point } from '../gp/types.ts';

/** The point with each coordinate at its axis's nearest value. */
export function roundPoint(point: Point, axes: readonly Axis[]): Point {
  return axes.map((axis, d) => {
    const x = point[d]!;
    if (axis.kind === 'real') return x;
    return axis.count === 1 ? 0 : Math.min(axis.count - 1, Math.round(x * (axis.count - 1))) / (axis.count - 1);
  });
}

/** How many different points the cube has; infinite where an axis is real. */
export function cellCount(axes: readonly Axis[]): number {
  return axes.reduce((product, axis) => product * (axis.kind === 'real' ? Number.POSITIVE_INFINITY : axis.count), 1);
}

/** All points of a finite cube, the last axis fastest. */
export function* cells(axes: readonly Axis[]): Generator<Point> {
  for (const point of product(axes.map((axis) => evenly(axis.kind === 'real' ? 0 : axis.count)))) yield roundPoint(point, axes);
}

/** `count` values from 0 to 1, both included; the middle for one. */
export function evenly(count: number): number[] {
  return count === 1 ? [0.5] : Array.from({ length: count }, (_, k) => k / (count - 1));
}

/** Every combination of one value an axis, the last axis fastest. */
export function* product(values: readonly (readonly number[])[]): Generator<Point> {
  const [head, ...rest] = values;
  if (head === undefined) return yield [];
  for (const value of head) for (const tail of product(rest)) yield [value, ...tail];
}
