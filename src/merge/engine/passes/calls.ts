import { isCancelled } from '../failure.ts';
import { CallSizer } from '../rate.ts';

/** Calls in flight: while one drains its last tiles, the next one's are already taken. */
const CALLS_IN_FLIGHT = 2;

/** Native calls of one kind: how they are cut, made, and what becomes of what they say. */
export interface Calls<B extends { readonly bytesRead: number }, R> {
  /** The next batch, which reads about `budget` bytes; undefined at the end. */
  next(budget: number): B | undefined | Promise<B | undefined>;
  start(batch: B): Promise<R>;
  /** Called in the order of the batches. */
  add(batch: B, result: R): void | Promise<void>;
  /** What is thrown where a call failed with `cause`. */
  failure(cause: unknown, batch: B): unknown;
}

/** Makes native calls, two in flight, sized by the rate of the last ones. */
export class CallRunner {
  readonly #sizer = new CallSizer();
  readonly #signal: AbortSignal | undefined;
  readonly #check: () => void;
  readonly #inFlight = new Set<Promise<unknown>>();
  readonly #stop = (): void => {
    Atomics.store(this.cancel, 0, 1);
  };
  /** The flag that every call is given: set by an abort, and at the end. */
  readonly cancel = new Int32Array(1);

  /** @param check throws where no further call is to be made */
  constructor(signal: AbortSignal | undefined, check: () => void = () => {}) {
    this.#signal = signal;
    this.#check = check;
    signal?.addEventListener('abort', this.#stop, { once: true });
  }

  /**
   * Takes results in the order of the calls.
   * @returns each result after `add` took it
   * @throws what `failure` gives; what the signal was aborted with
   */
  async *run<B extends { readonly bytesRead: number }, R>(calls: Calls<B, R>): AsyncGenerator<R> {
    const queue: { batch: B; result: Promise<R> }[] = [];
    const launch = async (): Promise<void> => {
      const batch = await calls.next(this.#sizer.bytes);
      if (batch === undefined) return;
      this.#check();
      const result = calls.start(batch);
      // It is awaited later, maybe never: when an earlier call fails, this one's cancellation must not count
      // as unhandled.
      result.catch(() => {});
      this.#inFlight.add(result);
      queue.push({ batch, result });
    };
    for (let i = 0; i < CALLS_IN_FLIGHT; i++) await launch();
    let last = performance.now();
    for (let call = queue.shift(); call !== undefined; call = queue.shift()) {
      const { batch } = call;
      const result = await call.result.catch((cause: unknown) => {
        if (isCancelled(cause)) this.#signal?.throwIfAborted();
        throw calls.failure(cause, batch);
      });
      this.#inFlight.delete(call.result);
      const now = performance.now();
      this.#sizer.completed(batch.bytesRead, (now - last) / 1000);
      last = now;
      await launch();
      await calls.add(batch, result);
      yield result;
    }
  }

  /** Cancels the calls in flight and waits for them. */
  async end(): Promise<void> {
    this.#stop();
    this.#signal?.removeEventListener('abort', this.#stop);
    await Promise.allSettled(this.#inFlight);
  }
}
