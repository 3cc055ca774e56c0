/**
 * What one native call aims at: short enough for progress, abort and worker termination to stay prompt, long
 * enough to cost nothing.
 */
const CALL_SECONDS = 0.1;
const FIRST_CALL_BYTES = 64 * 2 ** 20;
const LEAST_CALL_BYTES = 16 * 2 ** 20;

/** Sizes native calls by the rate of the last ones. */
export class CallSizer {
  #bytesPerSecond = FIRST_CALL_BYTES / CALL_SECONDS;

  get bytes(): number {
    return Math.max(LEAST_CALL_BYTES, this.#bytesPerSecond * CALL_SECONDS);
  }

  /** A call of `bytes` of input ended `seconds` after the one before it. */
  completed(bytes: number, seconds: number): void {
    // Halving or doubling at most: one stalled or lucky call must not make the next one ten times as long.
    const measured = bytes / Math.max(seconds, 1e-6);
    this.#bytesPerSecond = Math.min(Math.max(measured, this.#bytesPerSecond / 2), this.#bytesPerSecond * 2);
  }
}

/** Seconds over which a shown rate is averaged. */
const WINDOW_SECONDS = 3;

/** Rates over the last few seconds, for people. */
export class RateMeter {
  readonly #samples: { at: number; read: number; written: number }[];

  constructor(now: number) {
    this.#samples = [{ at: now, read: 0, written: 0 }];
  }

  /** Bytes per second after totals of `read` and `written` at time `now` (seconds). */
  rates(now: number, read: number, written: number): { read: number; written: number } {
    this.#samples.push({ at: now, read, written });
    while (this.#samples.length > 2 && this.#samples[1]!.at < now - WINDOW_SECONDS) this.#samples.shift();
    const first = this.#samples[0]!;
    const seconds = Math.max(now - first.at, 1e-3);
    return { read: (read - first.read) / seconds, written: (written - first.written) / seconds };
  }
}
