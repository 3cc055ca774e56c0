import { type Dtype, dtypeByCode } from '../../base/dtype.ts';
import type { TensorInfo, TensorTable } from './types.ts';

/** The columns of a table; row i of each describes tensor i. */
export interface TensorColumns {
  readonly names: readonly string[];
  /** Dtype codes, see `dtype.ts`. */
  readonly dtypes: Uint8Array;
  readonly shapes: readonly (readonly number[])[];
}

/** A {@link TensorTable} over columns that are already in the order of their data. */
export class ColumnTable implements TensorTable {
  readonly count: number;
  readonly names: readonly string[];
  readonly dtypes: Uint8Array;
  readonly shapes: readonly (readonly number[])[];
  readonly begin: Float64Array;
  readonly end: Float64Array;
  #rows: Map<string, number> | undefined;

  constructor(columns: TensorColumns & { readonly begin: Float64Array; readonly end: Float64Array }) {
    this.count = columns.names.length;
    this.names = columns.names;
    this.dtypes = columns.dtypes;
    this.shapes = columns.shapes;
    this.begin = columns.begin;
    this.end = columns.end;
  }

  rowOf(name: string): number {
    this.#rows ??= new Map(this.names.map((key, row) => [key, row]));
    return this.#rows.get(name) ?? -1;
  }

  info(row: number): TensorInfo {
    const name = this.names[row];
    if (name === undefined) throw new RangeError(`no tensor has row ${row}`);
    return {
      name,
      dtype: dtypeByCode(this.dtypes[row]!).name,
      shape: this.shapes[row]!,
      begin: this.begin[row]!,
      end: this.end[row]!,
    };
  }
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

/**
 * Bytes of a tensor; NaN where that is beyond 2^53 - 1 bits or, for a dtype of less than a byte, not a whole
 * number.
 */
export function byteLength(dtype: Dtype, elements: number): number {
  const bits = elements * dtype.bits;
  return bits <= Number.MAX_SAFE_INTEGER && bits % 8 === 0 ? bits / 8 : Number.NaN;
}
