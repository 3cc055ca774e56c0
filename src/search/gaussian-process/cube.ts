/**
 * The coordinate a value of an axis stands at: itself on a real axis, the nearest of the values elsewhere;
 * within [0, 1].
 */
function snapCoordinate(value: number, axis: Axis): number {
  const inside = Math.min(1, Math.max(0, value));
  if (axis.kind === 'real') return inside;
  return axis.count < 2 ? 0 : Math.round(inside * (axis.count - 1)) / (axis.count - 1);
}

/** A point with each coordinate at a value of its axis. */
export function snapPoint(point: Point, axes: readonly Axis[]): number[] {
  return axes.map((axis, a) => snapCoordinate(point[a]!, axis));
}

/** Snapped points, row after row: [points x axes]. */
export function packPoints(points: readonly Point[], axes: readonly Axis[]): Float64Array {
  const packed = new Float64Array(points.length * axes.length);
  for (const [p, point] of points.entries()) {
    if (point.length !== axes.length) throw new RangeError(`a point of ${point.length} coordinates in a cube of ${axes.length} axes`);
    for (const [a, axis] of axes.entries()) packed[p * axes.length + a] = snapCoordinate(point[a]!, axis);
  }
  return packed;
}

/** One axis of the unit cube in which points of a search lie, all coordinates in [0, 1]. */
export type Axis =
  | { readonly kind: 'real' }
  /**
   * `count` values in order, value k at k / (count - 1); points in between are rounded to the nearest before
   * the kernel sees them.
   */
  | { readonly kind: 'levels'; readonly count: number }
  /**
   * `count` values without an order, value k at k / (count - 1) as for levels; two values are 0 or 1 apart.
   */
  | { readonly kind: 'choice'; readonly count: number };

/** A point of the unit cube. */
export type Point = readonly number[];
