import { Paced } from '../../base/paced.ts';
import type { Live } from '../../render/html/live.ts';
import { StudyNow } from './now.ts';
import type { StudyEvent } from './types.ts';

/** Milliseconds between two writings at most, by which readers see that it lives. */
const MOST_MS = 60_000;
/** Seconds between two loads of it. */
const REFRESH = 10;

/** Writes the page of a study as it is now. */
export type WriteLive = (live: Live) => Promise<void>;

/**
 * The page of a study, written anew while the study goes on: when something happened and once a minute ({@link Paced}).
 * It is a convenience: where it cannot be written the study goes on, and says so of the last page.
 */
export class LiveReport {
  readonly #now = new StudyNow();
  #paced: Paced | null = null;

  /** Has it written from now on, and soon for the first time. */
  begin(write: WriteLive): void {
    this.#paced = new Paced(() => this.#draw(write), { most: MOST_MS });
    this.#paced.news();
  }

  hear(event: StudyEvent): void {
    this.#now.hear(event);
    this.#paced?.news();
  }

  /** Resolves when nothing is written any more: the last page is somebody else's. More than one call does no harm. */
  async end(): Promise<void> {
    await this.#paced?.end();
  }

  async #draw(write: WriteLive): Promise<void> {
    const { doing, left } = this.#now;
    const now = [doing, ...(left === null ? [] : [left])].join('; ');
    await write({ now: `${now}.`, written: new Date().toISOString(), refresh: REFRESH, atLeastEvery: MOST_MS / 1000 }).catch(() => {});
  }
}
