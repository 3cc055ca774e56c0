import { closeSync, constants, openSync, unlinkSync, writeFileSync } from 'node:fs';
import { errnoOf } from './errno.ts';

const { O_WRONLY, O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;

/** A file that is written as things happen, so that people can follow it: every write is one call. */
export class LogFile {
  readonly #descriptor: number;

  /** Begins the file anew, whatever has its name. Throws the errno of unlink(2), open(2). */
  constructor(path: string) {
    try {
      unlinkSync(path);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
    this.#descriptor = openSync(path, O_WRONLY | O_CREAT | O_EXCL);
  }

  /** Adds to the end of a log that was closed. Throws the errno of open(2), write(2). */
  static append(path: string, text: string): void {
    const descriptor = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW);
    try {
      writeFileSync(descriptor, text);
    } finally {
      closeSync(descriptor);
    }
  }

  /** Throws the errno of write(2). */
  write(bytes: Buffer | string): void {
    writeFileSync(this.#descriptor, bytes);
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}
