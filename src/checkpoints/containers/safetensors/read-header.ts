import { readExactly, storeOf } from '../../../base/store/store.ts';
import type { Stat } from '../../../base/store/types.ts';
import { ScanCache } from './header-cache.ts';
import { headerLength, headerOf, type Scan } from './scan-header.ts';
import type { SafetensorsHeader } from './types.ts';

/** Bytes of the first read: the headers of most shards fit, so that they cost one request. */
const FIRST_READ_BYTES = 128 * 1024;

/**
 * Reads the header of a safetensors file, and nothing else of it.
 * @throws MergeError E_NOT_FOUND, E_NOT_READABLE, E_IO, and the E_HEADER_… family naming tensor and byte
 *   position
 */
export async function readHeader(path: string): Promise<SafetensorsHeader> {
  const { scan, stat } = await readScan(path, new ScanCache());
  return { path, fileSize: stat.size, ...headerOf(scan.tensors) };
}

/** {@link readHeader} through a cache, with what identifies the file; `known` as in `Store.open`. */
export async function readScan(path: string, cache: ScanCache, known = false): Promise<{ scan: Scan; stat: Stat }> {
  const file = await storeOf(path).open(path, known);
  const { stat } = file;
  try {
    const source = { path, fileSize: stat.size };
    let bytes = Buffer.allocUnsafe(Math.min(cache.longest || FIRST_READ_BYTES, FIRST_READ_BYTES, stat.size));
    await readExactly(file, bytes, 0);
    const total = 8 + headerLength(bytes, source);
    if (total > bytes.length) {
      const first = bytes;
      bytes = Buffer.allocUnsafe(total);
      first.copy(bytes);
      await readExactly(file, bytes.subarray(first.length), first.length);
    }
    return { scan: cache.header(bytes, source), stat };
  } finally {
    await file.close();
  }
}
