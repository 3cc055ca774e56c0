import type { TensorColumns } from '../../tensors/types.ts';

/** Tensors, and where the data section has their first and last bytes. */
export type DataColumns = TensorColumns & { readonly begin: Float64Array; readonly end: Float64Array };

/**
 * Puts rows in the order of their data: by first byte, then by last byte (so that a tensor of no bytes comes
 * before the one that starts at the same place), then as the header has them. Writers store them so already,
 * which is checked first.
 */
export function sortByData(columns: DataColumns): DataColumns {
  const { begin, end, names, shapes, dtypes } = columns;
  const compare = (a: number, b: number): number => begin[a]! - begin[b]! || end[a]! - end[b]! || a - b;
  let row = 1;
  while (row < names.length && compare(row - 1, row) <= 0) row++;
  if (row >= names.length) return columns;
  const order = Uint32Array.from(names.keys()).sort(compare);
  return {
    names: Array.from(order, (i) => names[i]!),
    shapes: Array.from(order, (i) => shapes[i]!),
    dtypes: Uint8Array.from(order, (i) => dtypes[i]!),
    begin: Float64Array.from(order, (i) => begin[i]!),
    end: Float64Array.from(order, (i) => end[i]!),
  };
}
