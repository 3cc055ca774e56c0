import type { BoxColumns } from './types.ts';

/** Most dimensions of a tensor in several boxes: each doubles the corners of a box. */
const MAX_BOX_RANK = 8;

/** Boxes of one tensor: starts and sizes in each dimension, one box after another. */
export interface Boxes {
  readonly shape: readonly number[];
  readonly count: number;
  start(box: number, axis: number): number;
  size(box: number, axis: number): number;
}

/** The boxes of a row of a table. */
export function boxesOf({ first, boundsAt, bounds }: BoxColumns, shape: readonly number[], row: number): Boxes {
  const rank = shape.length;
  const from = boundsAt[row]!;
  return {
    shape,
    count: first[row + 1]! - first[row]!,
    start: (box, axis) => bounds[from + box * 3 * rank + axis]!,
    size: (box, axis) => bounds[from + box * 3 * rank + rank + axis]!,
  };
}

/** Why boxes are not a tensor: an element that none of them holds, or that several do. */
export interface TilingFault {
  readonly kind: 'hole' | 'overlap' | 'outside' | 'rank';
  /** Index in each dimension. */
  readonly at: readonly number[];
}

/**
 * Proves that boxes tile a tensor: that each element is in exactly one of them. Null where they do.
 *
 * A function of compact support is zero where its mixed difference is, and the mixed difference of a box is
 * ±1 at its corners: so boxes tile the tensor exactly where the signed corners of all of them cancel against
 * those of the whole. That takes time for each box, and none for each pair.
 */
export function tilingFault({ shape, count, start, size }: Boxes): TilingFault | null {
  const rank = shape.length;
  const all = shape.map((_, axis) => axis);
  if (count === 1 && all.every((axis) => start(0, axis) === 0 && size(0, axis) === shape[axis])) return null;
  if (rank > MAX_BOX_RANK) return { kind: 'rank', at: shape };
  // Corners as numbers: at most those of a tensor of one more in each dimension.
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, length) => product * (length + 1), 1));
  const corners = new Map<number, number>();
  const add = (begin: (axis: number) => number, length: (axis: number) => number, sign: number): void => {
    for (let corner = 0; corner < 2 ** rank; corner++) {
      let at = 0;
      let value = sign;
      for (let axis = 0; axis < rank; axis++) {
        const end = ((corner >> axis) & 1) === 1;
        at += (begin(axis) + (end ? length(axis) : 0)) * strides[axis]!;
        if (end) value = -value;
      }
      const sum = (corners.get(at) ?? 0) + value;
      if (sum === 0) corners.delete(at);
      else corners.set(at, sum);
    }
  };
  for (let box = 0; box < count; box++) {
    let empty = false;
    for (let axis = 0; axis < rank; axis++) {
      if (start(box, axis) + size(box, axis) > shape[axis]!) return { kind: 'outside', at: shape.map((_, a) => start(box, a)) };
      empty ||= size(box, axis) === 0;
    }
    if (!empty)
      add(
        (axis) => start(box, axis),
        (axis) => size(box, axis),
        1,
      );
  }
  if (!shape.includes(0))
    add(
      () => 0,
      (axis) => shape[axis]!,
      -1,
    );
  if (corners.size === 0) return null;
  // Up to the first corner that is left over, in the order of elements, all is as it should be.
  const [at, sum] = [...corners].reduce((least, corner) => (corner[0] < least[0] ? corner : least));
  return { kind: sum > 0 ? 'overlap' : 'hole', at: strides.map((stride, axis) => Math.floor(at / stride) % (shape[axis]! + 1)) };
}
