import { type Axis, type Point, snapPoint } from '../gaussian-process/cube.ts';
import type { History } from './types.ts';

/**
 * The first `count` of the points that stand for no recipe tried or pending, each once; fewer where there are
 * no more.
 * @param but points that are not to be among them
 */
export async function freshPoints(points: Iterable<Point>, history: History, count: number, but: readonly Point[] = []): Promise<Point[]> {
  const known = new Set(but.map(String));
  const found: Point[] = [];
  for (const point of points) {
    if (found.length >= count) break;
    if (known.has(String(point))) continue;
    known.add(String(point));
    if (!(await history.isTaken(point))) found.push(point);
  }
  return found;
}

/**
 * All points of a cube whose axes have levels or choices, the last axis fastest; none where an axis is real.
 */
export function* cells(axes: readonly Axis[]): Generator<Point> {
  if (axes.some((axis) => axis.kind === 'real')) return;
  for (const point of product(axes.map((axis) => evenly(axis.kind === 'real' ? 1 : axis.count)))) yield snapPoint(point, axes);
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
