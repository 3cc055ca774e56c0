import type { Box } from '../../checkpoints/tensors/box-table.ts';
import type { Axes, NamedAxis, NamedTarget, SizeWord, TakenRange } from './types.ts';

/** Boxes of a tensor at most: more is an order of single elements, and no arrangement of rows. */
const MOST_BOXES = 1 << 20;

/** Why a rule does not fit a tensor, as half a sentence about it. */
export class RearrangeFault extends Error {}

/** A tensor as boxes. */
export interface BoxedTensor {
  readonly shape: readonly number[];
  readonly boxes: readonly Box[];
}

/** The sizes that words stand for. @throws RearrangeFault where one is not known */
export type SizeOf = (word: SizeWord) => number;

/** An axis of the source. */
interface SourceAxis {
  readonly size: number;
  readonly dimension: number;
  /** Indices of its dimension from one of its own to the next. */
  readonly stride: number;
}

/** An axis of the target: a range of one of the source, or one place of an axis that several sources make. */
interface TargetAxis {
  readonly size: number;
  /** Null where the source is one place of it. */
  readonly source: (SourceAxis & { readonly from: number }) | null;
  /** Its place, where the source is one. */
  readonly at: number;
}

/** What a source gives to a target. */
export interface Placement {
  /** By axis of the source that is gone: the one index of it that is meant, as a hole of the target's name says. */
  readonly indices: ReadonlyMap<string, number>;
  /** By axis that the source has not: its place in it, and how many there are. */
  readonly stacked: ReadonlyMap<string, { readonly at: number; readonly count: number }>;
}

/**
 * The axes of a tensor with their sizes. Of each dimension one may be left open.
 * @throws RearrangeFault
 */
export function sourceAxes(axes: Axes, shape: readonly number[], sizeOf: SizeOf): ReadonlyMap<string, SourceAxis> {
  if (axes.length !== shape.length) throw new RearrangeFault(`is [${shape.join(', ')}], and the rule's axes are ${axes.length} dimensions`);
  const found = new Map<string, SourceAxis>();
  for (const [dimension, parts] of axes.entries()) {
    const known = parts.map(({ size }) => (size === undefined ? null : sizeOf(size)));
    const product = known.reduce<number>((all, size) => all * (size ?? 1), 1);
    const open = known.filter((size) => size === null).length;
    const length = shape[dimension]!;
    const text = axesText(parts);
    if (open > 1) throw new RearrangeFault(`has ${length} rows as ${text}, of which two sizes are not known`);
    if (open === 0 ? product !== length : product === 0 || length % product !== 0) {
      const what = parts.flatMap(({ name, size }, i) => (size === undefined ? [] : [`${name} = ${known[i]}`])).join(', ');
      throw new RearrangeFault(`has a dimension of ${length}, which is not ${text} with ${what}`);
    }
    let stride = 1;
    for (let i = parts.length - 1; i >= 0; i--) {
      const size = known[i] ?? length / product;
      found.set(parts[i]!.name, { size, dimension, stride });
      stride *= size;
    }
  }
  return found;
}

/**
 * What a source gives to a target: the target's shape, and boxes that lie where those of the source lie.
 * Elements are moved by whole rows: no byte is looked at.
 * @param bytes of an element
 * @throws RearrangeFault
 */
export function rearranged(
  source: BoxedTensor,
  axes: Axes,
  { take, axes: order }: Pick<NamedTarget, 'take' | 'axes'>,
  { indices, stacked }: Placement,
  { sizeOf, bytes }: { readonly sizeOf: SizeOf; readonly bytes: number },
): BoxedTensor {
  const all = sourceAxes(axes, source.shape, sizeOf);
  // Of each dimension of the source, the index that is the same in all elements of the target.
  const fixed = source.shape.map(() => 0);
  const ranges = new Map<string, { from: number; size: number }>();
  for (const [name, axis] of all) {
    const index = indices.get(name);
    const taken = index === undefined ? take.get(name) : { from: index, to: null, single: true };
    const { from, size } = taken === undefined ? { from: 0, size: axis.size } : rangeOf(name, taken, axis.size, sizeOf);
    if (taken?.single) fixed[axis.dimension]! += from * axis.stride;
    else ranges.set(name, { from, size });
  }
  const target = (order ?? remaining(axes, ranges)).map((parts) =>
    coalesced(
      parts.map(({ name }): TargetAxis => {
        const place = stacked.get(name);
        if (place !== undefined) return { size: place.count, source: null, at: place.at };
        const { from, size } = ranges.get(name)!;
        return { size, source: { ...all.get(name)!, from }, at: 0 };
      }),
    ),
  );
  return { shape: target.map((parts) => parts.reduce((n, { size }) => n * size, 1)), boxes: [...boxesOf(source, target, fixed, bytes)] };
}

/** Axes that stay, in the dimensions that they were in. */
function remaining(axes: Axes, ranges: ReadonlyMap<string, unknown>): Axes {
  return axes.map((parts) => parts.filter(({ name }) => ranges.has(name))).filter((parts) => parts.length > 0);
}

function rangeOf(name: string, { from, to, single }: TakenRange, size: number, sizeOf: SizeOf): { from: number; size: number } {
  const bound = (given: SizeWord | null, otherwise: number): number => {
    if (given === null) return otherwise;
    const value = typeof given === 'number' ? given : sizeOf(given);
    return value < 0 ? size + value : value;
  };
  const first = bound(from, 0);
  const end = single ? first + 1 : bound(to, size);
  if (first < 0 || end > size || end <= first) {
    const text = single ? `${from}` : `${from ?? ''}:${to ?? ''}${typeof to === 'string' ? ` (${end})` : ''}`;
    throw new RearrangeFault(`has ${size} of ${name}, and the rule takes ${text}`);
  }
  return { from: first, size: end - first };
}

/** Neighbours that are neighbours in the source, too, are one. */
function coalesced(parts: readonly TargetAxis[]): TargetAxis[] {
  const out: TargetAxis[] = [];
  for (const part of parts) {
    const before = out.at(-1);
    const [a, b] = [before?.source ?? null, part.source];
    // The inner one is whole, so that the last of it is followed by the first of the next.
    if (a !== null && b !== null && a.dimension === b.dimension && a.stride === b.stride * b.size && part.size === b.size) {
      const source = { dimension: b.dimension, stride: b.stride, size: a.size * b.size, from: a.from * b.size };
      out[out.length - 1] = { size: before!.size * part.size, source, at: 0 };
    } else out.push(part);
  }
  return out;
}

/** A dimension of the target, and what of it lies in one box: its innermost axis, unless that is one place. */
interface Walked {
  readonly index: number;
  readonly axis: TargetAxis;
  /** Indices of its dimension from one of its own to the next. */
  readonly stride: number;
}

function* boxesOf(
  source: BoxedTensor,
  target: readonly (readonly TargetAxis[])[],
  fixed: readonly number[],
  bytes: number,
): Generator<Box> {
  const walked = target.flatMap((parts, index): Walked[] => {
    let stride = 1;
    return parts.toReversed().map((axis) => {
      const own = { index, axis, stride };
      stride *= axis.size;
      return own;
    });
  });
  // What is not looked at one by one: of each dimension of the target and of the source one axis at most.
  const inBox = new Map<number, Walked>();
  for (const one of walked.filter(({ axis, stride }) => axis.source !== null && stride === 1)) {
    const dimension = one.axis.source!.dimension;
    const other = inBox.get(dimension);
    if (other === undefined || one.axis.source!.stride < other.axis.source!.stride) inBox.set(dimension, one);
  }
  const whole = new Set(inBox.values());
  const single = walked.filter((one) => !whole.has(one) && one.axis.source !== null);
  const count = single.reduce((n, { axis }) => n * axis.size, 1);
  if (count > MOST_BOXES) throw new RearrangeFault('is put in another order element by element, which is no arrangement of rows');
  const start = target.map(() => 0);
  for (const { index, axis, stride } of walked) if (axis.source === null) start[index]! += axis.at * stride;
  const base = [...fixed];
  for (const { axis } of walked) if (axis.source !== null) base[axis.source.dimension]! += axis.source.from * axis.source.stride;
  for (let combination = 0; combination < count; combination++) {
    const [first, at] = [[...start], [...base]];
    let rest = combination;
    for (const { index, axis, stride } of single) {
      const i = rest % axis.size;
      rest = Math.floor(rest / axis.size);
      first[index]! += i * stride;
      at[axis.source!.dimension]! += i * axis.source!.stride;
    }
    for (const box of source.boxes) {
      const part = partOf(box, first, at, inBox, bytes);
      if (part !== null) yield part;
    }
  }
}

/** What of the elements from `first` of the target, `at` of the source, lies in a box; null where nothing does. */
function partOf(box: Box, first: readonly number[], at: readonly number[], inBox: ReadonlyMap<number, Walked>, bytes: number): Box | null {
  const start = [...first];
  const size = first.map(() => 1);
  const stride = first.map(() => 1);
  let offset = box.offset;
  for (let dimension = 0; dimension < at.length; dimension++) {
    const from = box.start[dimension]!;
    const end = from + box.size[dimension]!;
    const along = inBox.get(dimension);
    let place = at[dimension]!;
    if (along === undefined) {
      if (place < from || place >= end) return null;
    } else {
      const step = along.axis.source!.stride;
      const low = Math.max(0, Math.ceil((from - place) / step));
      const high = Math.min(along.axis.size, Math.ceil((end - place) / step));
      if (low >= high) return null;
      start[along.index]! += low;
      size[along.index] = high - low;
      stride[along.index] = box.stride[dimension]! * step;
      place += low * step;
    }
    offset += (place - from) * box.stride[dimension]! * bytes;
  }
  return { file: box.file, offset, start, size, stride };
}

function axesText(parts: readonly NamedAxis[]): string {
  const text = parts.map(({ name }) => name).join(' ');
  return parts.length === 1 ? text : `(${text})`;
}
