import { MergeError } from '../../../base/errors.ts';
import { readPieces } from '../../../base/store/pieces.ts';
import { readExactly, storeOf } from '../../../base/store/store.ts';
import type { Stat } from '../../../base/store/types.ts';
import { otherContent, otherContentError, START_BYTES } from '../other-content.ts';
import { ScanCache } from './header-cache.ts';
import { headerLength, headerOf, type Scan } from './scan-header.ts';
import type { SafetensorsHeader } from './types.ts';

/** Bytes of the first read: the headers of most shards fit, so that they cost one request. */
const FIRST_READ_BYTES = 128 * 1024;

/** Files from which on their headers are read together. */
const MANY_FILES = 8;
/** How much longer than the first a header may be and still be read with the others, as a share and in bytes. */
const LONGER = 1.25;
const LONGER_BYTES = 4096;
/** Headers of more bytes are read one by one: together they would fill the memory. */
const MOST_TOGETHER = 4 * 2 ** 20;

/** What reading a header ends with where the file holds none. */
const NOT_A_HEADER: ReadonlySet<string> = new Set(['E_HEADER_TOO_LARGE', 'E_HEADER_TRUNCATED', 'E_HEADER_START', 'E_HEADER_JSON']);

/**
 * Reads the header of a safetensors file, and nothing else of it.
 * @throws MergeError E_NOT_FOUND, E_NOT_READABLE, E_IO; E_OTHER_CONTENT for a Git LFS pointer, a web page and the
 *   like; and the E_HEADER_… family naming tensor and byte position
 */
export async function readHeader(path: string): Promise<SafetensorsHeader> {
  const { scan, stat } = await readScan(path, new ScanCache());
  return { path, fileSize: stat.size, ...headerOf(scan.tensors) };
}

/** A header, and what identifies its file. */
export interface FileScan {
  readonly scan: Scan;
  readonly stat: Stat;
}

/**
 * {@link readScan} for the files of a checkpoint, with many requests in flight. Null for a file where that does
 * not do, because its header is much longer than that of the first, or it or one before it has a fault: read by
 * itself it says which.
 */
export async function readScans(paths: readonly string[], cache: ScanCache): Promise<(FileScan | null)[]> {
  const scans = new Array<FileScan | null>(paths.length).fill(null);
  if (paths.length < MANY_FILES) return scans;
  try {
    scans[0] = await readScan(paths[0]!, cache);
    const length = Math.max(Math.ceil(cache.longest * LONGER) + LONGER_BYTES, START_BYTES);
    if (length > MOST_TOGETHER) return scans;
    const wanted = paths.slice(1).map((path) => ({ path, pieces: [[0, length] as const] }));
    for await (const { file, stat, pieces } of readPieces(wanted)) {
      const { bytes } = pieces[0]!;
      const source = { path: wanted[file]!.path, fileSize: stat.size };
      if (8 + headerLength(bytes, source) <= bytes.length) scans[file + 1] = { scan: cache.header(bytes, source, true), stat };
    }
  } catch (error) {
    if (!(error instanceof MergeError)) throw error;
  }
  return scans;
}

/** {@link readHeader} through a cache, with what identifies the file; `known` as in `Store.open`. */
export async function readScan(path: string, cache: ScanCache, known = false): Promise<FileScan> {
  const file = await storeOf(path).open(path, known);
  const { stat } = file;
  let start = Buffer.alloc(0);
  try {
    const source = { path, fileSize: stat.size };
    // As much as tells what else it may be, however short the headers before it were.
    const first = Math.max(cache.longest || FIRST_READ_BYTES, START_BYTES);
    start = Buffer.allocUnsafe(Math.min(first, FIRST_READ_BYTES, stat.size));
    await readExactly(file, start, 0);
    const total = 8 + headerLength(start, source);
    let bytes = start;
    if (total > bytes.length) {
      bytes = Buffer.allocUnsafe(total);
      start.copy(bytes);
      await readExactly(file, bytes.subarray(start.length), start.length);
    }
    return { scan: cache.header(bytes, source), stat };
  } catch (error) {
    const other = error instanceof MergeError && NOT_A_HEADER.has(error.code) ? otherContent(start) : null;
    throw other === null ? error : otherContentError(path, other, error);
  } finally {
    await file.close();
  }
}
