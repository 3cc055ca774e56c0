/** Things of which each evaluation has one to itself while it runs: devices, or a server. */
export class Slots {
  readonly #free: string[];
  readonly #waiting: ((slot: string) => void)[] = [];

  constructor(slots: readonly string[]) {
    this.#free = [...slots];
  }

  /** Waits until one is free. @throws signal.reason when aborted before */
  take(signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    const free = this.#free.shift();
    if (free !== undefined) return Promise.resolve(free);
    return new Promise((resolve, reject) => {
      const got = (slot: string) => {
        signal.removeEventListener('abort', leave);
        resolve(slot);
      };
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(got), 1);
        reject(signal.reason);
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#waiting.push(got);
    });
  }

  give(slot: string): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(slot);
    else next(slot);
  }
}
