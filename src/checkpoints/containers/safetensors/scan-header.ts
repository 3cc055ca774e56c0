import { MergeError } from '../../../base/errors.ts';
import type { TensorTable } from '../../tensors/types.ts';
import { checkFileSize } from './check-layout.ts';
import { EntryReader } from './entry-reader.ts';
import { RelativeTable } from './header-table.ts';
import { JsonScanner } from './json-scanner.ts';
import { MAX_HEADER_BYTES } from './limits.ts';
import type { SeenNames } from './seen-names.ts';
import type { HeaderSource, HeaderTable } from './types.ts';

/** What a header says, apart from which file it came from, with offsets in the file. */
export interface Scan {
  /** Where the data section starts: 8 + length of the JSON. */
  readonly dataStart: number;
  readonly metadata: ReadonlyMap<string, string> | null;
  readonly tensors: TensorTable;
}

/**
 * What a header says, apart from which file it came from, as it says it: two steps of a run share one.
 */
export interface ScannedHeader {
  /** Where the data section starts: 8 + length of the JSON. */
  readonly dataStart: number;
  readonly metadata: ReadonlyMap<string, string> | null;
  readonly tensors: HeaderTable;
}

const headers = new WeakMap<TensorTable, ScannedHeader>();

/** The header that a table was read from, as it says it: of one table always the same object. */
export function headerOf(table: TensorTable): ScannedHeader {
  return headers.get(table)!;
}

/** Whether a table is all that a header says, so that who has the same table has the same bytes of a header. */
export function isOfHeader(table: TensorTable): boolean {
  return headers.has(table);
}

/**
 * Reads the length of the header from the first 8 bytes of a file and checks it against the limit and the
 * file.
 * @returns bytes of JSON that follow
 * @throws MergeError E_HEADER_TRUNCATED, E_HEADER_TOO_LARGE
 */
export function headerLength(prefix: Uint8Array, { path, fileSize }: HeaderSource): number {
  if (fileSize < 8 || prefix.length < 8) {
    throw new MergeError('E_HEADER_TRUNCATED', `${path}, byte 0: the file has ${fileSize} bytes, too few for the length of a header`, {
      details: { file: path, position: 0 },
    });
  }
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES) {
    throw new MergeError('E_HEADER_TOO_LARGE', `${path}, byte 0: the header claims ${length} bytes, the limit is ${MAX_HEADER_BYTES}`, {
      details: { file: path, position: 0 },
    });
  }
  if (8 + Number(length) > fileSize) {
    throw new MergeError('E_HEADER_TRUNCATED', `${path}, byte ${fileSize}: the header claims ${length} bytes, the file has ${fileSize}`, {
      details: { file: path, position: fileSize },
    });
  }
  return Number(length);
}

/**
 * Reads a safetensors header strictly and checks it against the size of its file.
 * @param bytes the file from its first byte, at least to the end of the header; what follows is not looked at
 * @throws MergeError naming file, tensor and byte position
 */
export function scanHeader(bytes: Uint8Array, source: HeaderSource): ScannedHeader {
  return headerOf(scan(bytes, source).tensors);
}

/** {@link scanHeader} with offsets in the file: what everything but the public entry works with. */
export function scan(bytes: Uint8Array, source: HeaderSource, before?: SeenNames): Scan {
  const dataStart = 8 + headerLength(bytes, source);
  if (bytes.length < dataStart) throw new RangeError(`the header has ${dataStart} bytes, ${bytes.length} were given`);
  const json = bytes.subarray(8, dataStart);
  const { path } = source;
  const scanner = new JsonScanner(json, { path, offset: 8, what: 'header', syntax: 'E_HEADER_JSON', utf8: 'E_HEADER_UTF8' });
  if (json[0] !== 0x7b) scanner.fail('E_HEADER_START', "the header does not begin with '{'");
  const entries = new EntryReader(scanner, before);
  scanner.object((key, start) => entries.read(key, start));
  scanner.finish();
  const tensors = entries.table(dataStart, source);
  checkFileSize(tensors, dataStart, source);
  const { metadata } = entries;
  headers.set(tensors, { dataStart, metadata, tensors: new RelativeTable(tensors, dataStart) });
  return { dataStart, metadata, tensors };
}
