import { type Dtype, dtypeByCode } from '../../base/dtype.ts';
import { sectionOf } from './section.ts';
import type { BoxColumns, TensorColumns, TensorInfo, TensorTable } from './types.ts';

/** A {@link TensorTable} over columns that are already in the order of their data. */
export class ColumnTable implements TensorTable {
  readonly count: number;
  readonly names: readonly string[];
  readonly dtypes: Uint8Array;
  readonly shapes: readonly (readonly number[])[];
  readonly bytes: Float64Array;
  readonly offset: Float64Array;
  readonly boxes: BoxColumns | null;
  readonly sections: Uint8Array | null;
  #rows: Map<string, number> | undefined;

  constructor(
    columns: TensorColumns &
      Pick<TensorTable, 'bytes' | 'offset'> & { readonly boxes?: BoxColumns | null; readonly sections?: Uint8Array | null },
  ) {
    this.count = columns.names.length;
    this.names = columns.names;
    this.dtypes = columns.dtypes;
    this.shapes = columns.shapes;
    this.bytes = columns.bytes;
    this.offset = columns.offset;
    this.boxes = columns.boxes ?? null;
    this.sections = columns.sections ?? null;
  }

  rowOf(name: string): number {
    this.#rows ??= new Map(this.names.map((key, row) => [key, row]));
    return this.#rows.get(name) ?? -1;
  }

  info(row: number): TensorInfo {
    const name = this.names[row];
    if (name === undefined) throw new RangeError(`no tensor has row ${row}`);
    return { name, dtype: dtypeByCode(this.dtypes[row]!).name, shape: this.shapes[row]!, bytes: this.bytes[row]! };
  }
}

/**
 * Whether two tables are known to describe the same tensors in the same order: all but where their data lies. Of
 * those that are read together equal columns are one.
 */
export function haveSameTensors(a: TensorTable, b: TensorTable | undefined): boolean {
  return a === b || (b !== undefined && a.names === b.names && a.shapes === b.shapes && a.dtypes === b.dtypes && a.sections === b.sections);
}

/** Number of elements of a shape; NaN where it is beyond 2^53 - 1. */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const size of shape) {
    count *= size;
    if (count > Number.MAX_SAFE_INTEGER) return Number.NaN;
  }
  return count;
}

/** Number of elements of a tensor of a table. */
export function elementsOf({ bytes, dtypes }: Pick<TensorTable, 'bytes' | 'dtypes'>, row: number): number {
  return (bytes[row]! * 8) / dtypeByCode(dtypes[row]!).bits;
}

/**
 * Bytes of a tensor; NaN where that is beyond 2^53 - 1 bits or, for a dtype of less than a byte, not a whole
 * number.
 */
export function byteLength(dtype: Dtype, elements: number): number {
  const bits = elements * dtype.bits;
  return bits <= Number.MAX_SAFE_INTEGER && bits % 8 === 0 ? bits / 8 : Number.NaN;
}

/** Bytes of data of all tensors together. */
export function dataBytes(shards: readonly { readonly tensors: Pick<TensorTable, 'bytes'> }[]): number {
  return shards.reduce((sum, { tensors }) => sum + sumOf(tensors.bytes), 0);
}

/** The steps of a run share tables: sums by the column that they are of, which does not change. */
const sums = new WeakMap<Float64Array, number>();

function sumOf(column: Float64Array): number {
  let sum = sums.get(column);
  if (sum !== undefined) return sum;
  sum = 0;
  for (let row = 0; row < column.length; row++) sum += column[row]!;
  sums.set(column, sum);
  return sum;
}

/** Bytes of data of the model's tensors, without those of an optimizer and a trainer that lie among them. */
export function modelBytes(shards: readonly { readonly tensors: Pick<TensorTable, 'bytes' | 'sections'> }[]): number {
  let sum = 0;
  for (const { tensors } of shards) {
    if (tensors.sections === null) sum += sumOf(tensors.bytes);
    else for (const [row, bytes] of tensors.bytes.entries()) if (sectionOf(tensors, row) === 'model') sum += bytes;
  }
  return sum;
}

/** Bytes of a file before its first tensor; null where it holds none. */
export function dataStart({ count, offset }: Pick<TensorTable, 'count' | 'offset'>): number | null {
  return count === 0 ? null : offset[0]!;
}
