import { MergeError } from '../../../base/errors.ts';
import type { OpenFile } from '../../../base/store/types.ts';

/** Bytes read at once at either end: the archive of one tensor says all that there is to know in them. */
const HEAD = 4096;
const TAIL = 2048;

/**
 * A part of a file that is an archive of its own, or all of it. Reads its two ends once, and what else is
 * asked for when it is.
 */
export class Region {
  readonly path: string;
  /** What it is, as messages call it. */
  readonly what: string;
  /** Where it begins in its file, in bytes. */
  readonly from: number;
  readonly length: number;
  readonly #file: OpenFile;
  #head: Buffer | undefined;
  #tail: Buffer | undefined;

  constructor(file: OpenFile, what: string, from = 0, length = file.stat.size - from) {
    this.path = file.path;
    this.what = what;
    this.from = from;
    this.length = length;
    this.#file = file;
  }

  /**
   * Exactly `length` bytes from byte `at` of the region on. They may be part of a larger buffer.
   * @throws MergeError E_FILE_TRUNCATED where the file ends before; E_IO
   */
  async bytes(at: number, length: number): Promise<Buffer> {
    if (at + length <= HEAD) {
      this.#head ??= await this.#read(0, Math.min(HEAD, this.length));
      if (at + length <= this.#head.length) return this.#head.subarray(at, at + length);
    }
    const tailAt = Math.max(0, this.length - TAIL);
    if (at >= tailAt) {
      this.#tail ??= await this.#read(tailAt, this.length - tailAt);
      if (at + length <= this.length) return this.#tail.subarray(at - tailAt, at - tailAt + length);
    }
    return this.#read(at, length);
  }

  async #read(at: number, length: number): Promise<Buffer> {
    const into = Buffer.allocUnsafe(length);
    const done = at + length > this.length ? 0 : await this.#file.read(into, this.from + at);
    if (done === length) return into;
    throw new MergeError(
      'E_FILE_TRUNCATED',
      `${this.path}: ${this.what} ends at byte ${this.from + at + done}, inside what it says it holds`,
      {
        details: { file: this.path },
      },
    );
  }
}
