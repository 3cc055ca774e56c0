import { setTimeout as sleep } from 'node:timers/promises';

/** How fast inputs may be read. */
export interface ThrottleChoices {
  /** Most bytes a second that are read of the inputs, by all processes that make the merge together. */
  readonly maxRead?: number | undefined;
  /** How much of that is this process's: over 0, at most 1, asked ever again. All of it when absent. */
  readonly share?: (() => number) | undefined;
}

/** What may be read at once after a pause, in seconds of the rate. */
const BUCKET_SECONDS = 0.1;
/**
 * What one native call reads at most, in seconds of the rate: two are in flight, which together are not more
 * than the bucket.
 */
const CALL_SECONDS = 0.05;
/**
 * The share may change while a call waits for its bytes; what is missing by rounding takes no time that a
 * clock could tell.
 */
const [SHORTEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS] = [1e-4, 1];

/** What a throttle knows of time; tests have their own. */
export interface Clock {
  /** Seconds. */
  now(): number;
  /** @throws when the signal is aborted */
  sleep(seconds: number, signal: AbortSignal | undefined): Promise<void>;
}

const CLOCK: Clock = {
  now: () => performance.now() / 1000,
  sleep: (seconds, signal) => sleep(1000 * seconds, undefined, signal === undefined ? {} : { signal }),
};

/**
 * A token bucket: bytes come in at the rate, and are paid before they are read. Within the first t seconds,
 * no more is begun to be read than the bucket and t times the rate.
 */
export class ReadThrottle {
  readonly #maxRead: number;
  readonly #share: () => number;
  readonly #clock: Clock;
  #bytes: number;
  #at: number;

  constructor(maxRead: number, share: () => number = () => 1, clock: Clock = CLOCK) {
    this.#maxRead = maxRead;
    this.#share = share;
    this.#clock = clock;
    this.#bytes = this.#rate * BUCKET_SECONDS;
    this.#at = clock.now();
  }

  get #rate(): number {
    return this.#maxRead * this.#share();
  }

  /** Bytes that a call is to read at most, so that they come evenly. */
  get callBytes(): number {
    return this.#rate * CALL_SECONDS;
  }

  /**
   * Resolves when `bytes` may be read; one caller at a time. Where that is more than the bucket holds, they
   * are saved up for. @throws what the signal is aborted with
   */
  async take(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    for (;;) {
      signal?.throwIfAborted();
      const rate = this.#rate;
      const now = this.#clock.now();
      this.#bytes = Math.min(Math.max(bytes, rate * BUCKET_SECONDS), this.#bytes + (now - this.#at) * rate);
      this.#at = now;
      const missing = bytes - this.#bytes;
      if (missing <= 0) break;
      const wait = Math.min(Math.max(missing / rate, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS);
      await this.#clock.sleep(wait, signal).catch(() => signal?.throwIfAborted());
    }
    this.#bytes -= bytes;
  }
}

/** What makes the batches of native calls: as {@link Calls} has it. */
type Next<B> = (budget: number) => B | undefined | Promise<B | undefined>;

/** What native calls wait for before they read; nothing where nothing was asked for. */
export class Pace {
  readonly #throttle: ReadThrottle | undefined;
  readonly #signal: AbortSignal | undefined;

  constructor({ maxRead, share, signal }: ThrottleChoices & { readonly signal?: AbortSignal | undefined }) {
    this.#throttle = maxRead === undefined ? undefined : new ReadThrottle(maxRead, share);
    this.#signal = signal;
  }

  /** The same batches, small enough to come evenly, each when it may be read. */
  of<B extends { readonly bytesRead: number }>(next: Next<B>): Next<B> {
    const throttle = this.#throttle;
    if (throttle === undefined) return next;
    return async (budget) => {
      const batch = await next(Math.min(budget, throttle.callBytes));
      if (batch !== undefined) await throttle.take(batch.bytesRead, this.#signal);
      return batch;
    };
  }
}
