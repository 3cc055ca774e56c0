import { checkFileSize } from './check-layout.ts';
import { latin1 } from './json-scanner.ts';
import { type HeaderSource, headerLength, type ScannedHeader, scanHeader } from './scan-header.ts';
import type { SafetensorsIndex } from './scan-index.ts';
import { scanIndex } from './scan-index.ts';

/**
 * Headers and indexes that were read before. The steps of a run have byte-identical ones, so ten inputs cost the time and memory of one. The key is
 * the text itself, which the names are slices of anyway: V8 hashes a long string by its length only and then compares the characters, so a look-up
 * is one comparison of memory and nothing is kept twice. Use one cache for the inputs of one merge and let it go with them.
 */
export class HeaderCache {
  readonly #headers = new Map<string, ScannedHeader>();
  readonly #indexes = new Map<string, SafetensorsIndex>();

  /** As {@link scanHeader}; an equal header gives the same object. */
  header(bytes: Uint8Array, source: HeaderSource): ScannedHeader {
    const dataStart = 8 + headerLength(bytes, source);
    const text = latin1(bytes.subarray(8, dataStart));
    const known = this.#headers.get(text);
    if (known !== undefined) {
      checkFileSize(known.tensors, known.dataStart, source);
      return known;
    }
    const header = scanHeader(bytes, source, text);
    this.#headers.set(text, header);
    return header;
  }

  /** As {@link scanIndex}; an equal index gives the same object. */
  index(bytes: Uint8Array, path: string): SafetensorsIndex {
    const text = latin1(bytes);
    const index = this.#indexes.get(text) ?? scanIndex(bytes, path, text);
    this.#indexes.set(text, index);
    return index;
  }
}
