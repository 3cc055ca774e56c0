import { dtypeByCode } from '../../../base/dtype.ts';
import { ColumnTable, elementCount } from '../../../checkpoints/tensors/table.ts';
import type { TensorPlace, TensorTable } from '../../../checkpoints/tensors/types.ts';

/**
 * Elements from one to the next in each dimension of a tensor that lies in one box of its own; null of
 * others.
 */
export function boxStrides({ boxes, shapes }: TensorTable, row: number): readonly number[] | null {
  if (boxes === null || boxes.first[row + 1]! - boxes.first[row]! !== 1) return null;
  const rank = shapes[row]!.length;
  const at = boxes.boundsAt[row]! + 2 * rank;
  return [...boxes.bounds.subarray(at, at + rank)];
}

/**
 * A tensor with its dimensions in another order, as a table of its own, in the same bytes. Dimensions that
 * are left out are of one element, or of one that stands for all.
 * @param axes those that stay, in their new order
 */
export function withAxes(
  { names, dtypes, shapes, offset, boxes }: TensorTable,
  { shard, row }: TensorPlace,
  axes: readonly number[],
): TensorTable {
  const shape = shapes[row]!;
  const rank = shape.length;
  const file: number[] = [];
  const at: number[] = [];
  const bounds: number[] = [];
  const add = (own: {
    file: number;
    offset: number;
    start: ArrayLike<number>;
    size: ArrayLike<number>;
    stride: ArrayLike<number>;
  }): void => {
    if (Array.from(own.size).includes(0)) return;
    file.push(own.file);
    at.push(own.offset);
    for (const part of [own.start, own.size, own.stride]) bounds.push(...axes.map((axis) => part[axis]!));
  };
  if (boxes === null) {
    const stride = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
    add({ file: shard, offset: offset[row]!, start: shape.map(() => 0), size: shape, stride });
  } else {
    for (let box = boxes.first[row]!; box < boxes.first[row + 1]!; box++) {
      const from = boxes.boundsAt[row]! + (box - boxes.first[row]!) * 3 * rank;
      const part = (kind: number): Float64Array => boxes.bounds.subarray(from + kind * rank, from + (kind + 1) * rank);
      add({ file: boxes.file[box]!, offset: boxes.offset[box]!, start: part(0), size: part(1), stride: part(2) });
    }
  }
  const kept = axes.map((axis) => shape[axis]!);
  return new ColumnTable({
    names: [names[row]!],
    dtypes: dtypes.subarray(row, row + 1),
    shapes: [kept],
    bytes: Float64Array.of((elementCount(kept) * dtypeByCode(dtypes[row]!).bits) / 8),
    offset: Float64Array.of(at[0] ?? 0),
    boxes: {
      first: Int32Array.of(0, file.length),
      file: Int32Array.from(file),
      offset: Float64Array.from(at),
      boundsAt: Float64Array.of(0, bounds.length),
      bounds: Float64Array.from(bounds),
    },
  });
}
