import type { ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { endGroup, spawnGroup } from './process-group.ts';
import { type Line, readLines } from './stream-lines.ts';

/**
 * A command that is written to and answers line by line, as a process group of its own; its stderr is the
 * user's to see.
 */
export class Dialogue {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #reading = new AbortController();
  readonly #lines: AsyncGenerator<Line, void>;

  /** @param command text for `sh -c` */
  constructor(command: string) {
    this.#child = spawnGroup(command, ['pipe', 'pipe', 2]) as ChildProcessByStdio<Writable, Readable, null>;
    // What cannot be sent shows as the end of the answers.
    this.#child.stdin.on('error', () => {});
    this.#child.on('error', () => {});
    this.#lines = readLines(this.#child.stdout, this.#reading.signal);
  }

  send(message: object): void {
    this.#child.stdin.write(`${JSON.stringify(message)}\n`);
  }

  /** The next line of its stdout; done when there are no more. */
  next(): Promise<IteratorResult<Line, void>> {
    return this.#lines.next();
  }

  /** How it ended: exit code or signal; null where it has not within so many milliseconds. */
  async ending(ms: number): Promise<number | NodeJS.Signals | null> {
    const child = this.#child;
    if (child.exitCode === null && child.signalCode === null)
      await once(child, 'exit', { signal: AbortSignal.timeout(ms) }).catch(() => {});
    return child.signalCode ?? child.exitCode;
  }

  /** Ends its process group; it first gets a grace to end by itself, now that its input does. */
  async end(graceMs: number): Promise<void> {
    this.#child.stdin.end();
    if (this.#child.pid !== undefined) {
      await this.ending(graceMs);
      await endGroup(this.#child.pid);
    }
    this.#reading.abort();
  }
}
