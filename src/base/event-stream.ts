/**
 * Work that tells of what it does, as a stream of events that ends with its result. Ending the iteration
 * early ends the work.
 * @throws what the work throws
 */
export async function* eventStream<E, R>(
  work: (emit: (event: E) => void, signal: AbortSignal) => Promise<R>,
  signal: AbortSignal | undefined,
): AsyncGenerator<E, R> {
  const stop = new AbortController();
  const both = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const channel = new Channel<E>();
  const done = work((event) => channel.push(event), both).finally(() => channel.close());
  // What it throws is awaited below, also where the reader leaves early.
  done.catch(() => {});
  let read = false;
  try {
    yield* channel;
    read = true;
  } finally {
    if (!read) {
      stop.abort();
      await done.catch(() => {});
    }
  }
  return await done;
}

/** A stream of events to its end, each told of. */
export async function drain<E, R>(events: AsyncGenerator<E, R>, onEvent: ((event: E) => void) | undefined): Promise<R> {
  for (;;) {
    const { value, done } = await events.next();
    if (done) return value;
    onEvent?.(value);
  }
}

/** Events of work that goes on by itself, read one after another. */
class Channel<T> implements AsyncIterable<T> {
  readonly #queue: T[] = [];
  #wake: (() => void) | undefined;
  #closed = false;

  push(event: T): void {
    this.#queue.push(event);
    this.#wake?.();
  }

  /** What was pushed before is still read. */
  close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      while (this.#queue.length > 0) yield this.#queue.shift()!;
      if (this.#closed) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
