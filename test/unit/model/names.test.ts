import { expect, it } from 'vitest';
import type { Box } from '../../../src/checkpoints/tensors/box-table.ts';
import { parseAxes, parseTaken } from '../../../src/model/names/axes.ts';
import { Patterns } from '../../../src/model/names/pattern.ts';
import { type BoxedTensor, rearranged } from '../../../src/model/names/rearrange.ts';

const SIZES: Readonly<Record<string, number>> = { heads: 4, kv_heads: 2, head_dim: 6, experts: 3 };
const sizeOf = (word: string | number): number => (typeof word === 'number' ? word : SIZES[word]!);

/** A tensor of numbered elements, cut along its axes into boxes that lie one behind the other in one file. */
function cut(shape: readonly number[], cuts: readonly (readonly number[])[]): BoxedTensor {
  const ranges = shape.map((size, axis) => {
    const at = [0, ...(cuts[axis] ?? []), size];
    return at.slice(1).map((end, i) => [at[i]!, end] as const);
  });
  const boxes: Box[] = [];
  let offset = 0;
  const walk = (axis: number, start: number[], size: number[]): void => {
    if (axis === shape.length) {
      boxes.push({ file: 0, offset, start, size, stride: size.map((_, a) => size.slice(a + 1).reduce((n, s) => n * s, 1)) });
      offset += size.reduce((n, s) => n * s, 1);
      return;
    }
    for (const [from, to] of ranges[axis]!) walk(axis + 1, [...start, from], [...size, to - from]);
  };
  walk(0, [], []);
  return { shape, boxes };
}

/** For each element of a tensor, in order, where it lies: one byte each. */
function placesOf({ shape, boxes }: BoxedTensor): number[] {
  const places = new Array<number>(shape.reduce((n, size) => n * size, 1)).fill(-1);
  for (const { start, size, stride, offset } of boxes) {
    const count = size.reduce((n, s) => n * s, 1);
    for (let i = 0; i < count; i++) {
      let [rest, element, place, unit] = [i, 0, offset, 1];
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        const at = rest % size[axis]!;
        rest = Math.floor(rest / size[axis]!);
        element += (start[axis]! + at) * unit;
        place += at * stride[axis]!;
        unit *= shape[axis]!;
      }
      expect(places[element]).toBe(-1);
      places[element] = place;
    }
  }
  return places;
}

interface Case {
  readonly what: string;
  readonly shape: readonly number[];
  readonly axes: string;
  readonly to?: string;
  readonly take?: Readonly<Record<string, number | string>>;
  readonly indices?: Readonly<Record<string, number>>;
  /** The target's shape, and of each of its indices that of the source. */
  readonly wanted: readonly number[];
  readonly from: (at: readonly number[]) => readonly number[];
}

const CASES: readonly Case[] = [
  {
    what: 'pairs of rows of a head become halves',
    shape: [24, 5],
    axes: '(head=heads pair half=2) in',
    to: '(head half pair) in',
    wanted: [24, 5],
    // As Hugging Face's conversion has it: row h·D + j·D/2 + i is row h·D + 2·i + j.
    from: ([row, column]) => [Math.floor(row! / 6) * 6 + (row! % 3) * 2 + (Math.floor(row! / 3) % 2), column!],
  },
  {
    what: 'queries of a group',
    shape: [48, 5],
    axes: '(group=kv_heads slot dim=head_dim) in',
    take: { slot: ':-2' },
    wanted: [24, 5],
    from: ([row, column]) => [Math.floor(row! / 12) * 24 + (row! % 12), column!],
  },
  {
    what: 'keys of a group',
    shape: [48, 5],
    axes: '(group=kv_heads slot dim=head_dim) in',
    take: { slot: -2 },
    wanted: [12, 5],
    from: ([row, column]) => [Math.floor(row! / 6) * 24 + 12 + (row! % 6), column!],
  },
  {
    what: 'a bias of values',
    shape: [48],
    axes: '(group=kv_heads slot dim=head_dim)',
    take: { slot: -1 },
    wanted: [12],
    from: ([row]) => [Math.floor(row! / 6) * 24 + 18 + (row! % 6)],
  },
  { what: 'up', shape: [14, 3], axes: '(half=2 out) in', take: { half: 1 }, wanted: [7, 3], from: ([row, column]) => [row! + 7, column!] },
  { what: 'rows without padding', shape: [9, 3], axes: 'token in', take: { token: ':7' }, wanted: [7, 3], from: (at) => at },
  {
    what: 'one expert of a layer of all layers',
    shape: [2, 3, 8, 4],
    axes: 'layer expert=experts (half=2 out) in',
    take: { half: 0 },
    indices: { layer: 1, expert: 2 },
    wanted: [4, 4],
    from: ([row, column]) => [1, 2, row!, column!],
  },
  {
    what: 'columns of a matrix',
    shape: [6, 8],
    axes: 'out (part=2 in)',
    take: { part: 1 },
    wanted: [6, 4],
    from: ([row, column]) => [row!, column! + 4],
  },
  {
    what: 'two dimensions of one',
    shape: [6, 4],
    axes: '(a=2 b) in',
    to: 'b a in',
    wanted: [3, 2, 4],
    from: ([b, a, column]) => [a! * 3 + b!, column!],
  },
  {
    what: 'one dimension of two',
    shape: [2, 3, 4],
    axes: 'a b in',
    to: '(b a) in',
    wanted: [6, 4],
    from: ([row, column]) => [row! % 2, Math.floor(row! / 2), column!],
  },
];

it.each(CASES)('$what, whatever boxes the tensor lies in', ({ shape, axes, to, take = {}, indices = {}, wanted, from }) => {
  const target = {
    take: new Map(Object.entries(take).map(([axis, value]) => [axis, parseTaken(value)])),
    axes: to === undefined ? undefined : parseAxes(to),
  };
  for (const cuts of [[], [[5]], [[1, 2]], [[2], [1]], [[], [1, 2]], [[1], [1], [3]]]) {
    const source = cut(
      shape,
      cuts.slice(0, shape.length).map((at, axis) => at.filter((one) => one < shape[axis]!)),
    );
    const placement = { indices: new Map(Object.entries(indices)), stacked: new Map() };
    const made = rearranged(source, parseAxes(axes), target, placement, { sizeOf, bytes: 1 });
    expect(made.shape).toEqual(wanted);
    const places = placesOf(source);
    const elements = wanted.reduce((n, size) => n * size, 1);
    const expected = Array.from({ length: elements }, (_, element) => {
      let rest = element;
      const at = wanted.toReversed().map((size) => {
        const index = rest % size;
        rest = Math.floor(rest / size);
        return index;
      });
      return places[from(at.toReversed()).reduce((n, index, axis) => n * shape[axis]! + index, 0)];
    });
    expect(placesOf(made)).toEqual(expected);
  }
});

it('a head is two boxes of every second row, however many rows it has', () => {
  const axes = parseAxes('(head=32 pair half=2) in');
  const target = { take: new Map(), axes: parseAxes('(head half pair) in') };
  const { boxes } = rearranged(cut([4096, 8], []), axes, target, { indices: new Map(), stacked: new Map() }, { sizeOf, bytes: 2 });
  expect(boxes).toHaveLength(64);
  expect(boxes[1]).toMatchObject({ size: [64, 8], stride: [16, 1] });
});

it('holes are whole numbers as they are written, and literal digits are those', () => {
  const patterns = new Patterns<string>();
  patterns.add('layers.{layer}.w1.weight', 'a');
  patterns.add('layers.{layer}.w{n}.weight', 'b');
  expect(patterns.find('layers.12.w1.weight')).toEqual({ of: 'a', holes: new Map([['layer', 12]]) });
  expect(patterns.find('layers.0.w3.weight')?.of).toBe('b');
  for (const name of ['layers.01.w1.weight', 'layers.x.w1.weight', 'layers.1.w1.weight.x', 'xlayers.1.w1.weight', 'layersX1Xw1Xweight'])
    expect(patterns.find(name)).toBeUndefined();
});
