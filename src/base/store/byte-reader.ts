import { MergeError } from '../errors.ts';
import { storeOf } from './store.ts';
import type { OpenFile } from './types.ts';

/** Files kept open at a time, well under the usual `ulimit -n`. */
const MOST_OPEN = 64;

/**
 * Small reads at many places of many files, for looking at data from TypeScript. Keeps the files used last
 * open; not for concurrent use.
 */
export class ByteReader {
  readonly #files = new Map<string, OpenFile>();

  /**
   * Exactly `length` bytes from `offset`, in a buffer of their own.
   * @throws MergeError E_INPUT_CHANGED when the file ends before that; E_NOT_FOUND, E_NOT_READABLE, E_IO
   */
  async read(path: string, offset: number, length: number): Promise<Buffer> {
    const file = await this.#file(path);
    const bytes = Buffer.allocUnsafe(length);
    const done = await file.read(bytes, offset);
    if (done === length) return bytes;
    throw new MergeError('E_INPUT_CHANGED', `${path} ends at byte ${offset + done}, before the tensors that its header names`, {
      details: { file: path },
    });
  }

  async close(): Promise<void> {
    const files = [...this.#files.values()];
    this.#files.clear();
    await Promise.all(files.map((file) => file.close()));
  }

  async #file(path: string): Promise<OpenFile> {
    const known = this.#files.get(path);
    if (known !== undefined) {
      this.#files.delete(path);
      this.#files.set(path, known);
      return known;
    }
    if (this.#files.size >= MOST_OPEN) {
      const [oldest, idle] = this.#files.entries().next().value!;
      this.#files.delete(oldest);
      await idle.close();
    }
    // A header was read from it: it was a regular file then, and is refused after opening where it no longer
    // is.
    const file = await storeOf(path).open(path, true);
    this.#files.set(path, file);
    return file;
  }
}
