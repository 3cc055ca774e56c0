import { describe, expect, it } from 'vitest';
import { dtypeByName } from '../../../src/base/dtype.ts';
import { randomOf } from '../../../src/base/numbers/random.ts';
import { BoxTable } from '../../../src/checkpoints/tensors/box-table.ts';
import { type Boxes, tilingFault } from '../../../src/checkpoints/tensors/boxes.ts';
import { extentsOf } from '../../../src/checkpoints/tensors/extents.ts';
import { matrixOf } from '../../../src/checkpoints/tensors/matrix.ts';
import type { TensorTable } from '../../../src/checkpoints/tensors/types.ts';

interface RandomBox {
  readonly start: number[];
  readonly size: number[];
}

type Random = ReturnType<typeof randomOf>;
const below = (random: Random, count: number): number => Math.floor(random() * count);

/** Cuts a tensor into boxes, at random places along random dimensions. */
function cut(random: Random, box: RandomBox, depth: number): RandomBox[] {
  const axis = below(random, box.size.length);
  if (depth === 0 || box.size.length === 0 || random() < 0.2) return [box];
  const at = below(random, box.size[axis]! + 1);
  const part = (from: number, length: number): RandomBox => ({
    start: box.start.map((value, a) => (a === axis ? value + from : value)),
    size: box.size.map((value, a) => (a === axis ? length : value)),
  });
  return [...cut(random, part(0, at), depth - 1), ...cut(random, part(at, box.size[axis]! - at), depth - 1)];
}

/** A box in its file: in the usual order of its elements or, now and then, in another. */
function placed(random: Random, { start, size }: RandomBox, file: number) {
  const order = size.map((_, axis) => axis);
  if (random() < 0.3) order.sort(() => random() - 0.5);
  const stride = size.map(() => 1);
  let run = 1;
  for (const axis of [...order].reverse()) {
    stride[axis] = run;
    run *= size[axis]!;
  }
  return { file, offset: below(random, 100), start, size, stride };
}

/** Where each element lies, by the definition of a box. */
function byDefinition(shape: readonly number[], boxes: readonly ReturnType<typeof placed>[]): string[] {
  const found: string[] = [];
  const count = shape.reduce((product, length) => product * length, 1);
  for (let element = 0; element < count; element++) {
    const index: number[] = [];
    let rest = element;
    for (const length of [...shape].reverse()) {
      index.unshift(rest % length);
      rest = Math.floor(rest / length);
    }
    const { file, offset, start, stride } = boxes.find((box) =>
      index.every((value, a) => value >= box.start[a]! && value < box.start[a]! + box.size[a]!),
    )!;
    found.push(`${file}@${offset + 2 * index.reduce((sum, value, a) => sum + (value - start[a]!) * stride[a]!, 0)}`);
  }
  return found;
}

/** Where each element lies, by the extents of a range of them. */
function byExtents(table: TensorTable, from: number, count: number): string[] {
  const shards = [{ tensors: table }] as unknown as Parameters<typeof extentsOf>[0]['shards'];
  const found: string[] = [];
  for (const extent of extentsOf({ shards }, { shard: 0, row: 0 }, from, count)) {
    expect(extent.from).toBe(from + found.length);
    for (let i = 0; i < extent.elements; i++) found.push(`${extent.file}@${extent.offset + 2 * i}`);
  }
  return found;
}

/** Where each element lies, by the matrix. */
function byMatrix(table: TensorTable, count: number): string[] | null {
  const matrix = matrixOf(table, 0);
  if (matrix === null) return null;
  const found = new Array<string>(count);
  let [row, rows, column] = [0, 0, matrix.columns];
  for (const box of matrix.boxes) {
    if (column === matrix.columns) [row, rows, column] = [row + rows, box.rows, 0];
    expect([box.row, box.rows, box.column]).toEqual([row, rows, column]);
    column += box.width;
    for (let r = 0; r < box.rows; r++) {
      for (let c = 0; c < box.width; c++)
        found[(box.row + r) * matrix.columns + box.column + c] = `${box.file}@${box.offset + r * box.rowStride + 2 * c}`;
    }
  }
  expect([row + rows, column]).toEqual([count / matrix.columns, matrix.columns]);
  return found;
}

describe('tensors in boxes', () => {
  it.each([1, 2, 3, 4])('of %i dimensions: extents and matrices are where boxes have each element', (rank) => {
    const random = randomOf(15, rank);
    let matrices = 0;
    for (let trial = 0; trial < 100; trial++) {
      const shape = Array.from({ length: rank }, () => 1 + below(random, 6));
      const boxes = cut(random, { start: shape.map(() => 0), size: shape }, 4).map((box, i) => placed(random, box, i));
      boxes.sort(() => random() - 0.5);
      const table = new BoxTable();
      for (const box of boxes) table.add('t', { dtype: dtypeByName('BF16')!, shape, section: 'model' }, box);
      const made = table.table((_, text) => new Error(text));
      const count = shape.reduce((product, length) => product * length, 1);
      const wanted = byDefinition(
        shape,
        boxes.filter(({ size }) => !size.includes(0)),
      );
      expect(byExtents(made, 0, count)).toEqual(wanted);
      const from = below(random, count);
      const length = below(random, count - from + 1);
      expect(byExtents(made, from, length)).toEqual(wanted.slice(from, from + length));
      const matrix = byMatrix(made, count);
      if (matrix === null) continue;
      matrices++;
      expect(matrix).toEqual(wanted);
    }
    if (rank > 1) expect(matrices).toBeGreaterThan(20);
  });

  it('are proved to be a tensor, or the first element that is not as it should be is named', () => {
    const random = randomOf(15, 99);
    const kinds = new Map<string, number>();
    for (let trial = 0; trial < 500; trial++) {
      const shape = Array.from({ length: 1 + below(random, 3) }, () => 1 + below(random, 5));
      const boxes = cut(random, { start: shape.map(() => 0), size: shape }, 4);
      const fault = below(random, 4);
      const i = below(random, boxes.length);
      if (fault === 1) boxes.splice(i, 1);
      if (fault === 2) boxes.push(boxes[i]!);
      if (fault === 3) boxes[i] = { ...boxes[i]!, start: boxes[i]!.start.map((value) => Math.max(0, value - 1)) };
      // How many boxes hold each element, counted.
      const held = new Map<string, number>();
      for (const { start, size } of boxes) {
        const count = size.reduce((product, length) => product * length, 1);
        for (let element = 0; element < count; element++) {
          let rest = element;
          const index = size.map((_, axis) => {
            const inner = size.slice(axis + 1).reduce((product, other) => product * other, 1);
            const at = Math.floor(rest / inner);
            rest %= inner;
            return start[axis]! + at;
          });
          held.set(index.join(), (held.get(index.join()) ?? 0) + 1);
        }
      }
      const elements = shape.reduce((product, length) => product * length, 1);
      const whole = held.size === elements && [...held.values()].every((count) => count === 1);
      const of: Boxes = {
        shape,
        count: boxes.length,
        start: (box, axis) => boxes[box]!.start[axis]!,
        size: (box, axis) => boxes[box]!.size[axis]!,
      };
      const found = tilingFault(of);
      expect(found === null, JSON.stringify({ shape, boxes })).toBe(whole);
      if (found === null) continue;
      kinds.set(found.kind, (kinds.get(found.kind) ?? 0) + 1);
      expect(held.get(found.at.join()) ?? 0, JSON.stringify({ shape, boxes, found }))[found.kind === 'hole' ? 'toBe' : 'toBeGreaterThan'](
        found.kind === 'hole' ? 0 : 1,
      );
    }
    expect([...kinds.keys()].sort()).toEqual(['hole', 'overlap']);
  });
});

it('one box that is the whole tensor may have any number of dimensions', () => {
  const shape = [1, 2, 1, 2, 1, 2, 1, 2, 3];
  const boxes = { shape, count: 1, start: () => 0, size: (_: number, axis: number) => shape[axis]! };
  expect(tilingFault(boxes)).toBeNull();
  expect(tilingFault({ ...boxes, size: (_, axis) => (axis === 8 ? 2 : shape[axis]!) })).toMatchObject({ kind: 'rank' });
});
