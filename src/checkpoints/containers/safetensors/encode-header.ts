import { type DtypeName, dtypeByCode, dtypeByName } from '../../../base/dtype.ts';
import { type ErrorCode, MergeError } from '../../../base/errors.ts';
import { byteLength, ColumnTable, elementCount } from '../../tensors/table.ts';
import type { TensorColumns, TensorTable } from '../../tensors/types.ts';
import { RelativeTable } from './header-table.ts';
import { quoteUtf8 } from './json-text.ts';
import { MAX_HEADER_BYTES } from './limits.ts';
import { TextChunks } from './text-chunks.ts';
import type { HeaderTable } from './types.ts';

/** What a header says of a tensor, without its place. */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: DtypeName;
  readonly shape: readonly number[];
}

/** `__metadata__` to write: strings by name. */
export type HeaderMetadata = ReadonlyMap<string, string> | Readonly<Record<string, string>> | null;

/**
 * The data section starts at a multiple of this, so that a mapped file can be viewed as any dtype whose
 * tensors are aligned among themselves.
 */
const ALIGNMENT = 8;

/**
 * Lays tensors out one after another in the order given.
 * @param tensors objects, or columns where there are very many
 * @throws MergeError E_DTYPE, E_HEADER_NUMBER, E_SHAPE_OVERFLOW, E_SIZE_MISMATCH naming the tensor
 */
export function layOutTensors(tensors: Iterable<TensorSpec> | TensorColumns): HeaderTable {
  return new RelativeTable(layOut(tensors), 0);
}

/** {@link layOutTensors} as a table whose offsets count from the beginning of the data section. */
export function layOut(tensors: Iterable<TensorSpec> | TensorColumns): TensorTable {
  const columns = 'names' in tensors ? tensors : toColumns(tensors);
  const count = columns.names.length;
  const bytes = new Float64Array(count);
  const offset = new Float64Array(count);
  let at = 0;
  for (let row = 0; row < count; row++) {
    const dtype = dtypeByCode(columns.dtypes[row]!);
    const shape = columns.shapes[row]!;
    const elements = elementCount(shape);
    const size = byteLength(dtype, elements);
    if (Number.isNaN(size)) {
      const overflow = !(elements * dtype.bits <= Number.MAX_SAFE_INTEGER);
      throw misuse(
        overflow ? 'E_SHAPE_OVERFLOW' : 'E_SIZE_MISMATCH',
        columns.names[row]!,
        `the shape [${shape.join(', ')}] of ${dtype.name} ${overflow ? 'needs more than 2^53 - 1 bits' : 'does not fill whole bytes'}`,
      );
    }
    bytes[row] = size;
    offset[row] = at;
    at += size;
  }
  return new ColumnTable({ names: columns.names, dtypes: columns.dtypes, shapes: columns.shapes, bytes, offset });
}

/**
 * The first bytes of a safetensors file: the length, then the JSON, padded with spaces so that the data
 * starts at a multiple of 8. The data of the tensors follows in the order given, without gaps;
 * {@link layOutTensors} gives their offsets.
 * @param tensors objects, or columns where there are very many (a million names take about a second)
 * @throws MergeError E_DUPLICATE_KEY, E_SURROGATE, E_METADATA, E_DTYPE, E_HEADER_NUMBER, E_SHAPE_OVERFLOW,
 *   E_SIZE_MISMATCH, E_HEADER_TOO_LARGE
 */
export function encodeHeader(tensors: Iterable<TensorSpec> | TensorColumns, metadata: HeaderMetadata = null): Uint8Array {
  return encodeTable(layOut(tensors), metadata);
}

/** Bytes that suffice for nearly every entry without its name: a shape of two sizes and offsets of 13 digits. */
const ROOM = 96;

/** {@link encodeHeader} for a table that {@link layOut} made. */
export function encodeTable(table: TensorTable, metadata: HeaderMetadata): Uint8Array {
  return Buffer.concat(frameEntries(encodeEntries(table), metadata));
}

/**
 * The entries of a header without what is around them: the same bytes for all files that differ in metadata
 * only. Of a table that {@link layOut} made.
 */
export function encodeEntries(table: TensorTable): Uint8Array {
  const json = new TextChunks(table.names.reduce((sum, { length }) => sum + length + ROOM, 0));
  let separator = '';
  const shapes = new Map<readonly number[], string>();
  const { names, dtypes, offset, bytes } = table;
  const seen = new Set<string>();
  for (let row = 0; row < table.count; row++) {
    const name = names[row]!;
    if (seen.add(name).size === row) throw misuse('E_DUPLICATE_KEY', name, 'two tensors have this name');
    if (name === '__metadata__') throw misuse('E_METADATA', name, 'the format keeps this name for itself');
    const shape = table.shapes[row]!;
    let sizes = shapes.get(shape);
    if (sizes === undefined) {
      sizes = shape.join();
      shapes.set(shape, sizes);
    }
    const dtype = dtypeByCode(dtypes[row]!).name;
    json.add(
      `${separator}${encodeName(name)}:{"dtype":"${dtype}","shape":[${sizes}],"data_offsets":[${offset[row]},${offset[row]! + bytes[row]!}]}`,
    );
    separator = ',';
  }
  return json.bytes();
}

/** A header in three parts: length and metadata, the entries as they were given, the end with its padding. */
export function frameEntries(entries: Uint8Array, metadata: HeaderMetadata): [start: Uint8Array, entries: Uint8Array, end: Uint8Array] {
  const separator = entries.length > 0 ? ',' : '';
  const start = Buffer.from(metadata === null ? '{' : `{"__metadata__":${encodeMetadata(metadata)}${separator}`);
  const json = start.length + entries.length + 1;
  const padding = -json & (ALIGNMENT - 1);
  const size = json + padding;
  if (size > MAX_HEADER_BYTES) {
    throw new MergeError('E_HEADER_TOO_LARGE', `a header of ${size} bytes is beyond the limit of ${MAX_HEADER_BYTES}`, {
      help: 'Write the tensors to more than one file.',
    });
  }
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(size));
  return [Buffer.concat([length, start]), entries, Buffer.from(`}${' '.repeat(padding)}`)];
}

function toColumns(tensors: Iterable<TensorSpec>): TensorColumns {
  const names: string[] = [];
  const shapes: (readonly number[])[] = [];
  const codes: number[] = [];
  for (const { name, dtype, shape } of tensors) {
    const known = dtypeByName(dtype);
    if (known === undefined) throw misuse('E_DTYPE', name, `the format knows no dtype ${JSON.stringify(dtype)}`);
    if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
      throw misuse('E_HEADER_NUMBER', name, `the shape [${shape.join(', ')}] holds something else than sizes`);
    }
    names.push(name);
    shapes.push(shape);
    codes.push(known.code);
  }
  return { names, shapes, dtypes: Uint8Array.from(codes) };
}

function encodeMetadata(metadata: NonNullable<HeaderMetadata>): string {
  const pairs = metadata instanceof Map ? [...metadata] : Object.entries(metadata as Readonly<Record<string, string>>);
  return `{${pairs.map(([key, value]) => `${encodeName(key)}:${encodeName(value)}`).join()}}`;
}

function encodeName(text: string): string {
  const encoded = quoteUtf8(text);
  if (encoded === undefined) throw misuse('E_SURROGATE', text, 'the text holds half of a surrogate pair');
  return encoded;
}

function misuse(code: ErrorCode, tensor: string, problem: string): MergeError {
  return new MergeError(code, `tensor ${JSON.stringify(tensor)}: ${problem}`, {
    details: { tensor },
    help: 'Correct what is being written.',
  });
}
