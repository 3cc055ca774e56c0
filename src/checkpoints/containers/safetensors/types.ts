import type { DtypeName } from '../../../base/dtype.ts';

/** Where header bytes come from. */
export interface HeaderSource {
  readonly path: string;
  /** Bytes of the whole file. */
  readonly fileSize: number;
}

/** One tensor of a file, as its header describes it. The public entry calls it `TensorInfo`. */
export interface HeaderEntry {
  readonly name: string;
  readonly dtype: DtypeName;
  /** Sizes of the dimensions, outermost first; [] for a scalar. */
  readonly shape: readonly number[];
  /** Byte offset of the first byte, from the start of the data section. */
  readonly begin: number;
  /** Byte offset after the last byte. */
  readonly end: number;
}

/**
 * The tensors of one file as columns, in the order of their data, as the public entry gives them (there it is
 * `TensorTable`): offsets are those of the header. Identical headers (two steps of a run) share one table.
 */
export interface HeaderTable {
  readonly count: number;
  readonly names: readonly string[];
  /** Dtype codes, see `dtype.ts`. */
  readonly dtypes: Uint8Array;
  /** Equal shapes share one array. */
  readonly shapes: readonly (readonly number[])[];
  readonly begin: Float64Array;
  readonly end: Float64Array;
  /** Row of a name, or -1. The lookup table is built at the first call. */
  rowOf(name: string): number;
  /** Row as an object, for people. */
  info(row: number): HeaderEntry;
}

/** The header of one safetensors file. */
export interface SafetensorsHeader {
  readonly path: string;
  /** Bytes of the whole file. */
  readonly fileSize: number;
  /** Where the data section starts: 8 + length of the JSON. */
  readonly dataStart: number;
  /**
   * `__metadata__`, or null where the header has none. Own keys only; `__proto__` is a name like any other.
   */
  readonly metadata: ReadonlyMap<string, string> | null;
  readonly tensors: HeaderTable;
}
