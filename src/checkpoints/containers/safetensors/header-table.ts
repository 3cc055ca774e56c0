import type { TensorTable } from '../../tensors/types.ts';
import type { HeaderEntry, HeaderTable } from './types.ts';

/** A table with the offsets of its header: the inverse of what the readers make of one. */
export class RelativeTable implements HeaderTable {
  readonly #table: TensorTable;
  readonly #dataStart: number;
  #begin: Float64Array | undefined;
  #end: Float64Array | undefined;

  /** @param dataStart where the data section begins in the file whose offsets the table has */
  constructor(table: TensorTable, dataStart: number) {
    this.#table = table;
    this.#dataStart = dataStart;
  }

  get count(): number {
    return this.#table.count;
  }

  get names(): readonly string[] {
    return this.#table.names;
  }

  get dtypes(): Uint8Array {
    return this.#table.dtypes;
  }

  get shapes(): readonly (readonly number[])[] {
    return this.#table.shapes;
  }

  get begin(): Float64Array {
    this.#begin ??= this.#table.offset.map((offset) => offset - this.#dataStart);
    return this.#begin;
  }

  get end(): Float64Array {
    this.#end ??= this.begin.map((begin, row) => begin + this.#table.bytes[row]!);
    return this.#end;
  }

  rowOf(name: string): number {
    return this.#table.rowOf(name);
  }

  info(row: number): HeaderEntry {
    const { name, dtype, shape } = this.#table.info(row);
    return { name, dtype, shape, begin: this.begin[row]!, end: this.end[row]! };
  }
}
