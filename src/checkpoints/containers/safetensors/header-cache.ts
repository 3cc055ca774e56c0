import { checkFileSize } from './check-layout.ts';
import { headerLength, headerOf, type Scan, type ScannedHeader, scan } from './scan-header.ts';
import { type SafetensorsIndex, scanIndexAfter } from './scan-index.ts';
import { SeenNames } from './seen-names.ts';
import type { HeaderSource } from './types.ts';

/**
 * Headers and indexes that were read before. The steps of a run have byte-identical ones, so ten inputs cost
 * little more time and memory than one. It keeps the bytes, to compare with.
 */
export class ScanCache {
  readonly #headers = new ByteMap<Scan>();
  readonly #indexes = new ByteMap<SafetensorsIndex>();
  readonly #names = new SeenNames();
  #longest = 0;

  /**
   * Bytes of the longest header so far, with the length before it; 0 before the first. The next file's is
   * probably no longer.
   */
  get longest(): number {
    return this.#longest;
  }

  /**
   * As {@link scan}; equal bytes give the same object. The bytes are kept and must not change, unless they are
   * `borrowed`: then a copy is, where they are not known.
   */
  header(bytes: Uint8Array, source: HeaderSource, borrowed = false): Scan {
    const prefix = bytes.subarray(0, 8 + headerLength(bytes, source));
    this.#longest = Math.max(this.#longest, prefix.length);
    const known = this.#headers.get(prefix);
    if (known === undefined) {
      const own = borrowed ? Buffer.from(prefix) : prefix;
      return this.#headers.add(own, scan(own, source, this.#names));
    }
    checkFileSize(known.tensors, known.dataStart, source);
    return known;
  }

  /** As `scanIndex`; equal bytes give the same object. The bytes are kept and must not change. */
  index(bytes: Uint8Array, path: string): SafetensorsIndex {
    const index = this.#indexes.get(bytes) ?? this.#indexes.add(bytes, scanIndexAfter(bytes, path, this.#names));
    this.#names.addIndex(index);
    return index;
  }
}

/** The cache behind the public one. */
export let scansOf: (cache: HeaderCache) => ScanCache;

/**
 * Headers and indexes that were read before. The steps of a run have byte-identical ones, so ten inputs cost
 * little more time and memory than one. Use one cache for the inputs of a merge and let it go with them: it
 * keeps the bytes, to compare with.
 */
export class HeaderCache {
  readonly #scans = new ScanCache();

  static {
    scansOf = (cache) => cache.#scans;
  }

  /**
   * Bytes of the longest header so far, with the length before it; 0 before the first. The next file's is
   * probably no longer.
   */
  get longest(): number {
    return this.#scans.longest;
  }

  /** As `scanHeader`; equal bytes give the same object. The bytes are kept and must not change. */
  header(bytes: Uint8Array, source: HeaderSource): ScannedHeader {
    return headerOf(this.#scans.header(bytes, source).tensors);
  }

  /** As `scanIndex`; equal bytes give the same object. The bytes are kept and must not change. */
  index(bytes: Uint8Array, path: string): SafetensorsIndex {
    return this.#scans.index(bytes, path);
  }
}

/**
 * Values by bytes. Found by length and then compared: a digest would cost more than the comparison, which
 * ends at the first byte that differs.
 */
class ByteMap<V> {
  readonly #byLength = new Map<number, { readonly bytes: Uint8Array; readonly value: V }[]>();

  get(bytes: Uint8Array): V | undefined {
    return this.#byLength.get(bytes.length)?.find((entry) => Buffer.compare(entry.bytes, bytes) === 0)?.value;
  }

  add(bytes: Uint8Array, value: V): V {
    const entries = this.#byLength.get(bytes.length) ?? [];
    this.#byLength.set(bytes.length, entries);
    entries.push({ bytes, value });
    return value;
  }
}
