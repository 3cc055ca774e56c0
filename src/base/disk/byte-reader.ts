import { type FileHandle, open } from 'node:fs/promises';
import { MergeError } from '../errors.ts';

/** Files kept open at a time, well under the usual `ulimit -n`. */
const MOST_OPEN = 64;

/**
 * Small reads at many places of many files, for looking at data from TypeScript. Keeps the files used last
 * open; not for concurrent use.
 */
export class ByteReader {
  readonly #handles = new Map<string, FileHandle>();

  /**
   * Exactly `length` bytes from `offset`, in a buffer of their own.
   * @throws MergeError E_INPUT_CHANGED when the file ends before that.
   */
  async read(path: string, offset: number, length: number): Promise<Buffer> {
    const handle = await this.#handle(path);
    const bytes = Buffer.allocUnsafe(length);
    for (let done = 0; done < length; ) {
      const { bytesRead } = await handle.read(bytes, done, length - done, offset + done);
      if (bytesRead === 0) {
        throw new MergeError('E_INPUT_CHANGED', `${path} ends at byte ${offset + done}, before the tensors that its header names`, {
          details: { file: path },
        });
      }
      done += bytesRead;
    }
    return bytes;
  }

  async close(): Promise<void> {
    const handles = [...this.#handles.values()];
    this.#handles.clear();
    await Promise.all(handles.map((h) => h.close()));
  }

  async #handle(path: string): Promise<FileHandle> {
    const known = this.#handles.get(path);
    if (known !== undefined) {
      this.#handles.delete(path);
      this.#handles.set(path, known);
      return known;
    }
    if (this.#handles.size >= MOST_OPEN) {
      const [oldest, idle] = this.#handles.entries().next().value!;
      this.#handles.delete(oldest);
      await idle.close();
    }
    const handle = await open(path);
    this.#handles.set(path, handle);
    return handle;
  }
}
