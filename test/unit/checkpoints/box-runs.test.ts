import { expect, it } from 'vitest';
import { boxesOfRun } from '../../../src/checkpoints/tensors/box-runs.ts';

const SHAPES = [[], [7], [3, 5], [1, 6], [2, 3, 4], [3, 1, 2], [2, 2, 2, 3]];

it.each(SHAPES.map((shape) => [shape]))('every run of elements of a box of %j is boxes that hold each of them once', (shape) => {
  const all = shape.reduce((product, size) => product * size, 1);
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
  for (let from = 0; from < all; from++) {
    for (let count = 1; from + count <= all; count++) {
      const found: number[] = [];
      const boxes = boxesOfRun(shape, from, count);
      expect(boxes.length).toBeLessThanOrEqual(Math.max(1, 2 * shape.length - 1));
      for (const { start, size, at } of boxes) {
        const first = start.reduce((sum, index, axis) => sum + index * strides[axis]!, 0);
        expect(at).toBe(first);
        const elements = size.reduce((product, length) => product * length, 1);
        for (let i = 0; i < elements; i++) {
          let rest = i;
          let element = first;
          for (let axis = size.length - 1; axis >= 0; axis--) {
            element += (rest % size[axis]!) * strides[axis]!;
            rest = Math.floor(rest / size[axis]!);
          }
          found.push(element);
        }
      }
      expect(found).toEqual(Array.from({ length: count }, (_, i) => from + i));
    }
  }
});

it('no elements are no boxes', () => {
  expect(boxesOfRun([3, 5], 4, 0)).toEqual([]);
});
