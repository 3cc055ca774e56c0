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
