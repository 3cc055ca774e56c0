import { type Axis, type Point, snapPoint } from '../gaussian-process/cube.ts';
import { evenly, freshPoints, product } from './fresh.ts';
import type { Sampler } from './types.ts';

/**
 * An even grid over the cube, of at most `trials` points: all combinations of evenly spaced values on each
 * axis, bounds included. It is tried from the middle outwards so that what has been tried covers the cube
 * evenly whenever the search stops; what was tried before the grid is passed over.
 */
export function gridSampler(axes: readonly Axis[], trials: number): Sampler {
  let order: readonly Point[] | undefined;
  return {
    async propose(history, count) {
      order ??= spreadOut(gridPoints(axes, trials));
      return (await freshPoints(order, history, count)).map((point) => ({ point, by: 'grid' }));
    },
    ahead: () => trials,
  };
}

/**
 * The points of the largest such grid. Choices come first, with all of their values while the trials suffice,
 * because nothing lies between two of them; then the axis with the fewest values gets one more, as long as
 * the product stays within `trials`. An axis with one value stands in its middle.
 *
 * @param trials at least 1
 */
export function gridPoints(axes: readonly Axis[], trials: number): Point[] {
  const counts = axes.map(() => 1);
  const grow = (grown: readonly number[]): void => {
    for (;;) {
      const open = grown.filter((d) => counts[d]! < capacity(axes[d]!) && (total(counts) / counts[d]!) * (counts[d]! + 1) <= trials);
      const next = open.sort((a, b) => counts[a]! - counts[b]!)[0];
      if (next === undefined) return;
      counts[next]!++;
    }
  };
  const all = axes.map((_, d) => d);
  grow(all.filter((d) => axes[d]!.kind === 'choice'));
  grow(all);
  return [...product(counts.map(evenly))].map((point) => snapPoint(point, axes));
}

const capacity = (axis: Axis): number => (axis.kind === 'real' ? Number.POSITIVE_INFINITY : axis.count);

const total = (counts: readonly number[]): number => counts.reduce((a, b) => a * b, 1);

/**
 * The point nearest the middle, then always the one farthest from all before it (Gonzalez 1985); the first in
 * order where several are.
 */
function spreadOut(points: readonly Point[]): Point[] {
  const centre = points[0]?.map(() => 0.5) ?? [];
  const left = points.map((point) => ({ point, apart: -distance(point, centre) }));
  const order: Point[] = [];
  while (left.length > 0) {
    let farthest = 0;
    for (let i = 1; i < left.length; i++) if (left[i]!.apart > left[farthest]!.apart + 1e-12) farthest = i;
    const next = left.splice(farthest, 1)[0]!.point;
    for (const other of left)
      other.apart = Math.min(order.length === 0 ? Number.POSITIVE_INFINITY : other.apart, distance(other.point, next));
    order.push(next);
  }
  return order;
}

/** Squared. */
function distance(a: Point, b: Point): number {
  return a.reduce((sum, x, d) => sum + (x - b[d]!) ** 2, 0);
}
