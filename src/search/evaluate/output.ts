import { stripVTControlCharacters } from 'node:util';
import { LogFile } from '../../base/disk/log-file.ts';

/**
 * What is kept of an evaluation that prints without end: so much of its beginning, and so much of its end.
 */
const LOG_HEAD_BYTES = 32 * 2 ** 20;
const LOG_TAIL_BYTES = 2 ** 20;
/** Of the output that goes into an outcome and an error. */
const SHOWN_LINES = 20;
const SHOWN_COLUMNS = 400;

const COST = /^MERGE_COST=[ \t]*(\S+)[ \t\r]*$/gm;

/** The last bytes of a stream. */
export class Tail {
  readonly #most: number;
  #bytes: Buffer = Buffer.alloc(0);
  #used = 0;
  #dropped = 0;

  constructor(most: number) {
    this.#most = most;
  }

  add(chunk: Buffer): void {
    const last = chunk.subarray(Math.max(0, chunk.length - this.#most));
    this.#dropped += chunk.length - last.length;
    if (this.#used + last.length > this.#bytes.length) this.#makeRoom(last.length);
    last.copy(this.#bytes, this.#used);
    this.#used += last.length;
  }

  /** Room for twice what is kept, so that each byte is moved once. */
  #makeRoom(more: number): void {
    const kept = Math.min(this.#used, this.#most - Math.min(more, this.#most));
    const from = this.#used - kept;
    const room = Math.min(2 * this.#most, Math.max(2 * (kept + more), this.#bytes.length));
    const target = room > this.#bytes.length ? Buffer.allocUnsafe(room) : this.#bytes;
    this.#bytes.copy(target, 0, from, this.#used);
    this.#bytes = target;
    this.#used = kept;
    this.#dropped += from;
  }

  /** How many bytes came before those in {@link bytes}. */
  get dropped(): number {
    return this.#dropped + Math.max(0, this.#used - this.#most);
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(Math.max(0, this.#used - this.#most), this.#used);
  }

  /** From the first whole line on: half a number is another number. */
  text(): string {
    const bytes = this.bytes;
    const whole = bytes.indexOf('\n') + 1;
    if (this.dropped === 0) return bytes.toString();
    return whole === 0 ? '' : bytes.toString('utf8', whole);
  }
}

/**
 * The log of an evaluation: all that it printed, where that is too much its beginning and its end. Written at
 * once, so that people can follow it.
 */
export class Log {
  readonly #file: LogFile;
  readonly #tail = new Tail(LOG_TAIL_BYTES);
  #written = 0;

  /** Begins the file anew. Throws what opening it throws. */
  constructor(path: string) {
    this.#file = new LogFile(path);
  }

  /** Throws what writing throws. */
  write(chunk: Buffer | string): void {
    const bytes = Buffer.from(chunk);
    const head = bytes.subarray(0, Math.max(0, LOG_HEAD_BYTES - this.#written));
    this.#written += bytes.length;
    if (head.length > 0) this.#file.write(head);
    this.#tail.add(bytes);
  }

  /** See {@link lastLines}. */
  lastLines(): string[] {
    return lastLines(this.#tail.bytes, SHOWN_LINES);
  }

  close(): void {
    try {
      const kept = this.#tail.bytes.subarray(-Math.max(1, this.#written - LOG_HEAD_BYTES));
      const missing = this.#written - LOG_HEAD_BYTES - kept.length;
      if (missing > 0) this.#file.write(`\n[ckpt-merge: ${missing} bytes of output are left out here]\n`);
      if (this.#written > LOG_HEAD_BYTES) this.#file.write(kept);
    } finally {
      this.#file.close();
    }
  }
}

/**
 * The last lines, for people: without control characters, and of lines that were written over, as progress bars
 * are, the last state.
 */
export function lastLines(bytes: Buffer, most: number): string[] {
  const lines = bytes.toString().split(/\r?\n/);
  const shown = lines.slice(-2 * SHOWN_LINES).map(shownLine);
  return shown.filter((line) => line !== '').slice(-most);
}

function shownLine(line: string): string {
  const last = line.split('\r').findLast((part) => part.trim() !== '') ?? '';
  return stripVTControlCharacters(last)
    .replace(/[^\P{Cc}\t]/gu, '')
    .trimEnd()
    .slice(0, SHOWN_COLUMNS);
}

/**
 * The last cost that an evaluation reported in a line `MERGE_COST=1.25` of its output; null where there is
 * none that is a number of at least 0.
 */
export function reportedCost(...outputs: readonly string[]): number | null {
  const costs = outputs.flatMap((output) => [...output.matchAll(COST)].map((match) => Number(match[1])));
  return costs.findLast((cost) => Number.isFinite(cost) && cost >= 0) ?? null;
}
