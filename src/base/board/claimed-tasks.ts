import { Backoff, Dropped, type Presence } from './presence.ts';

/** How much longer than its own tasks an idle process lets another one's be, before it does them as well. */
const PATIENCE = 1.5;
/** The least of that, milliseconds: less is not worth doing a thing twice. */
const LEAST_PATIENCE_MS = 1000;
/** How many processes do one task at a time. */
const MOST_AT_ONE = 2;
/** How often claims are listed, milliseconds: a list saves tries, and decides nothing. */
const LIST_MS = 1000;

/** What is known of tasks that are numbered from 0. */
export interface TaskList {
  readonly count: number;
  /** Nothing is written but what was found, the same whoever finds it: a process that stalled goes on. */
  readonly onlyReads?: boolean;
  /** A short word for it. */
  nameOf(task: number): string;
  isFinished(task: number): boolean;
  /**
   * Finds out anew what is finished.
   * @returns `open`; `held` where nothing is to be begun now; `over` where all is done, or gone
   */
  read(): Promise<'open' | 'held' | 'over'>;
}

/** A task for this process to do. */
export interface ClaimedTask {
  readonly task: number;
  /** Another process is at it as well. */
  readonly isShared: boolean;
}

/** Where a process begins: rank and size decide nothing else. */
export interface TaskStart {
  readonly rank: number;
  readonly size: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Tasks that processes claim on a board: any that are done twice come out the same. Each begins at a place of
 * its own, so that they meet late; what is left at the end, and what one that fell silent had claimed, is done
 * by whoever is free.
 */
export class ClaimedTasks {
  readonly #presence: Presence;
  readonly #list: TaskList;
  readonly #start: TaskStart;
  /** When it was first seen that a task was claimed and not finished. */
  readonly #seenClaimed = new Map<number, number>();
  readonly #took: number[] = [];

  constructor(presence: Presence, list: TaskList, start: TaskStart) {
    this.#presence = presence;
    this.#list = list;
    this.#start = start;
  }

  /**
   * Tasks for this process, each done when the next is asked for; null where others do all that is left. Ends
   * when the list is over.
   * @param settle awaited before finished tasks are counted again: what this process did counts then
   */
  async *tasks(settle: () => Promise<void>): AsyncGenerator<ClaimedTask | null> {
    yield* this.#unclaimed();
    const backoff = new Backoff();
    for (;;) {
      await settle();
      this.#start.signal?.throwIfAborted();
      await this.#check();
      await this.#presence.wait();
      const state = await this.#list.read();
      if (state === 'over') return;
      const next = state === 'held' ? null : await this.#next();
      if (next === null) {
        yield null;
        await backoff.pause(this.#start.signal);
      } else {
        yield* this.#timed(next);
        backoff.reset();
      }
    }
  }

  /** Tasks that nobody has claimed, from this process's own place on. */
  async *#unclaimed(): AsyncGenerator<ClaimedTask> {
    const { count } = this.#list;
    const { rank, size } = this.#start;
    const first = Math.floor((rank * count) / Math.max(size, rank + 1));
    let claimed: ReadonlySet<string> = new Set();
    let listed = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < count; i++) {
      const task = (first + i) % count;
      if (performance.now() - listed > LIST_MS) {
        claimed = await this.#presence.board.claimed();
        listed = performance.now();
      }
      const turn = `${this.#list.nameOf(task)}.0`;
      if (claimed.has(turn)) continue;
      await this.#check();
      if (await this.#presence.board.claim(turn)) yield* this.#timed({ task, isShared: false });
    }
  }

  /** @throws what another process failed with; Dropped where others may do what this one had taken, and it writes */
  async #check(): Promise<void> {
    try {
      this.#presence.check();
    } catch (error) {
      if (!(error instanceof Dropped && this.#list.onlyReads === true)) throw error;
      await this.#presence.again();
    }
  }

  async *#timed(claimed: ClaimedTask): AsyncGenerator<ClaimedTask> {
    const began = performance.now();
    this.#presence.isAt(this.#list.nameOf(claimed.task));
    try {
      yield claimed;
    } finally {
      this.#presence.isAt(null);
    }
    this.#took.push(performance.now() - began);
  }

  /** One of the tasks that others have claimed, the longest under way first; null where they do them all. */
  async #next(): Promise<ClaimedTask | null> {
    const now = performance.now();
    const left = Array.from({ length: this.#list.count }, (_, task) => task).filter((task) => !this.#list.isFinished(task));
    for (const task of left) if (!this.#seenClaimed.has(task)) this.#seenClaimed.set(task, now);
    const begun = this.#presence.begun();
    // Whoever is at it says since when, which may be long before this process had nothing else to do.
    const since = new Map(left.map((task) => [task, begun.get(this.#list.nameOf(task)) ?? this.#seenClaimed.get(task)!]));
    const own = [...this.#took].sort((a, b) => a - b)[this.#took.length >> 1] ?? 0;
    const patience = Math.max(PATIENCE * own, Math.min(LEAST_PATIENCE_MS, this.#presence.timeout / 2));
    for (const task of left.sort((a, b) => since.get(a)! - since.get(b)!)) {
      const isLate = now - since.get(task)! > patience;
      let isShared = false;
      const also = (before: number, isSilent: boolean): boolean => {
        isShared = (isLate || isSilent) && before + 1 < MOST_AT_ONE;
        return isShared;
      };
      if (!(await this.#presence.take(this.#list.nameOf(task), also))) continue;
      this.#seenClaimed.set(task, now);
      return { task, isShared };
    }
    return null;
  }
}
