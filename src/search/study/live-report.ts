import type { Live } from '../../render/html/live.ts';
import { StudyNow } from './now.ts';
import type { StudyEvent } from './types.ts';

/**
 * Milliseconds between two writings at least, and as a multiple of what one takes; and at most, by which
 * readers see that it lives.
 */
const LEAST_MS = 1000;
const PER_COST = 30;
const MOST_MS = 60_000;
/** Seconds between two loads of it. */
const REFRESH = 10;

/** Writes the page of a study as it is now. */
export type WriteLive = (live: Live) => Promise<void>;

/**
 * The page of a study, written anew while the study goes on: when something happened and once a minute, one writing at
 * a time, at most once a second, and where one takes long more seldom. It is a convenience: where it cannot be written
 * the study goes on, and says so of the last page.
 */
export class LiveReport {
  readonly #now = new StudyNow();
  #write: WriteLive | null = null;
  #due: NodeJS.Timeout | null = null;
  /** Null where nothing is written just now. */
  #writing: Promise<void> | null = null;
  /** Whether something happened since that began. */
  #news = false;
  #last = Number.NEGATIVE_INFINITY;
  #cost = 0;

  /** Has it written from now on, and soon for the first time. */
  begin(write: WriteLive): void {
    this.#write = write;
    this.#plan(0);
  }

  hear(event: StudyEvent): void {
    this.#now.hear(event);
    this.#news = true;
    if (this.#writing === null) this.#planNext();
  }

  /** Resolves when nothing is written any more: the last page is somebody else's. More than one call does no harm. */
  async end(): Promise<void> {
    this.#write = null;
    if (this.#due !== null) clearTimeout(this.#due);
    await this.#writing;
  }

  #planNext(): void {
    this.#plan(this.#news ? Math.max(LEAST_MS, PER_COST * this.#cost) : MOST_MS);
  }

  /** @param every milliseconds since the last writing */
  #plan(every: number): void {
    if (this.#write === null) return;
    if (this.#due !== null) clearTimeout(this.#due);
    const begin = () => {
      this.#writing = this.#draw(this.#write!);
    };
    this.#due = setTimeout(begin, Math.max(0, this.#last + every - performance.now())).unref();
  }

  async #draw(write: WriteLive): Promise<void> {
    const began = performance.now();
    this.#news = false;
    const { doing, left } = this.#now;
    const now = [doing, ...(left === null ? [] : [left])].join('; ');
    await write({ now: `${now}.`, written: new Date().toISOString(), refresh: REFRESH, atLeastEvery: MOST_MS / 1000 }).catch(() => {});
    this.#last = performance.now();
    this.#cost = this.#last - began;
    this.#writing = null;
    this.#planNext();
  }
}
