/** Milliseconds between two times at least, and as a multiple of what one takes. */
const LEAST_MS = 1000;
const PER_COST = 30;

/**
 * Work that is done again when something happened, as a page that is written anew: one at a time, at most once a second,
 * and where it takes long more seldom, so that it costs a thirtieth of the time.
 */
export class Paced {
  readonly #work: () => Promise<void>;
  readonly #most: number | null;
  #due: NodeJS.Timeout | null = null;
  /** Null where nothing is done just now. */
  #running: Promise<void> | null = null;
  /** Whether something happened since the last began. */
  #hasNews = false;
  #isOver = false;
  #last = Number.NEGATIVE_INFINITY;
  #cost = 0;
  #failure: { readonly error: unknown } | null = null;

  /** @param most milliseconds after which it is done again though nothing happened; null for never */
  constructor(work: () => Promise<void>, { most = null }: { readonly most?: number | null } = {}) {
    this.#work = work;
    this.#most = most;
  }

  /** Something happened: returns at once. The first time the work is done soon. */
  news(): void {
    this.#hasNews = true;
    if (this.#running === null) this.#plan();
  }

  /** Resolves when nothing is done any more. More than one call does no harm. @throws what the work threw */
  async end(): Promise<void> {
    this.#isOver = true;
    if (this.#due !== null) clearTimeout(this.#due);
    await this.#running;
    if (this.#failure !== null) throw this.#failure.error;
  }

  #plan(): void {
    const every = this.#hasNews ? Math.max(LEAST_MS, PER_COST * this.#cost) : this.#most;
    if (this.#isOver || every === null) return;
    if (this.#due !== null) clearTimeout(this.#due);
    const begin = () => {
      this.#running = this.#run();
    };
    this.#due = setTimeout(begin, Math.max(0, this.#last + every - performance.now())).unref();
  }

  async #run(): Promise<void> {
    const began = performance.now();
    this.#hasNews = false;
    await this.#work().catch((error: unknown) => {
      this.#failure ??= { error };
    });
    this.#last = performance.now();
    this.#cost = this.#last - began;
    this.#running = null;
    this.#plan();
  }
}
