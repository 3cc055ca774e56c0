import type { DtypeName } from '../../base/dtype.ts';
import type { Stat } from '../../base/store/types.ts';

/** One tensor as its container describes it. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: DtypeName;
  /** Sizes of the dimensions, outermost first; [] for a scalar. */
  readonly shape: readonly number[];
  readonly bytes: number;
}

/** The columns of a table; row i of each describes tensor i. */
export interface TensorColumns {
  readonly names: readonly string[];
  /** Dtype codes, see `dtype.ts`. */
  readonly dtypes: Uint8Array;
  /** Equal shapes share one array. */
  readonly shapes: readonly (readonly number[])[];
}

/**
 * Tensors as columns, whatever container they lie in. Half a million of them as objects would cost several
 * times the memory and the time; what two steps of a run say alike is one table.
 */
export interface TensorTable extends TensorColumns {
  readonly count: number;
  /** [rows] Bytes of data. */
  readonly bytes: Float64Array;
  /** [rows] Where its data begins, in bytes from the beginning of its file; of boxes, the first. */
  readonly offset: Float64Array;
  /** The boxes of all rows; null where each tensor lies whole in the file of its shard: nothing is stored. */
  readonly boxes: BoxColumns | null;
  /**
   * [rows] What each belongs to, see `section.ts`; null where the container tells of nothing but a model, in
   * which names may still say otherwise (`model/roles`).
   */
  readonly sections: Uint8Array | null;
  /** Row of a name, or -1. The lookup table is built at the first call. */
  rowOf(name: string): number;
  /** Row as an object, for people. */
  info(row: number): TensorInfo;
}

/**
 * A run of a tensor's elements, in row-major order, and its bytes, which follow one another in one file: of a
 * box that is no run of elements, one for each of its rows.
 */
export interface Extent {
  /** First element in the tensor. */
  readonly from: number;
  readonly elements: number;
  /** Index into the checkpoint's `files`. */
  readonly file: number;
  /** Bytes from the beginning of that file. */
  readonly offset: number;
}

/**
 * Boxes as columns. A tensor that was saved in parts is several: axis-aligned, in any order, and each element
 * in exactly one of them (`boxes.ts` proves it).
 */
export interface BoxColumns {
  /** [rows + 1] The first box of each row. */
  readonly first: Int32Array;
  /** [boxes] Index into the checkpoint's `files`. */
  readonly file: Int32Array;
  /** [boxes] Where its first element lies, in bytes from the beginning of that file. */
  readonly offset: Float64Array;
  /** [rows + 1] Where the bounds of a row's boxes begin. */
  readonly boundsAt: Float64Array;
  /**
   * For each box its start in each dimension, its size in each, and in each the elements from one to the
   * next.
   */
  readonly bounds: Float64Array;
}

/** A file of a checkpoint that holds tensor data. */
export interface TensorFile {
  /** Name inside the checkpoint, as the index writes it; the file's own name for a single file. */
  readonly name: string;
  readonly path: string;
  readonly stat: Stat;
}

/** Tensors that belong into one file of an output, and the file in which they lie, where that is one. */
export interface Shard extends TensorFile {
  readonly tensors: TensorTable;
  /**
   * What the file says of itself beside its tensors, or null. Own keys only; `__proto__` is a name like any
   * other.
   */
  readonly metadata: ReadonlyMap<string, string> | null;
}

/** Where a tensor is described: index into `shards`, and row of that table. */
export interface TensorPlace {
  readonly shard: number;
  readonly row: number;
}

/** What there is to know of a checkpoint in order to read a tensor of it. */
export interface TensorSource {
  readonly shards: readonly Shard[];
  /** The files that extents speak of. Where a table has none, its shard's own number is its file's. */
  readonly files: readonly TensorFile[];
}
