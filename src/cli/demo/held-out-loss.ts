import { setImmediate } from 'node:timers/promises';
import { softmax } from './math.ts';
import { loadModel, type Model } from './model.ts';

/** Bytes the models see at once; the first byte of a window is given, each of the others is predicted. */
export const WINDOW_BYTES = 128;

/** The texts and models of the demo are far smaller. */
export const MAX_DEMO_BYTES = 2 ** 26;

export interface HeldOutOptions {
  /** Use about this many bytes, as windows spread evenly over the text. Default: all of it. */
  readonly maxBytes?: number;
  /** Windows averaged into one entry of `blockLosses`. Default 8 (1,024 bytes). */
  readonly windowsPerBlock?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface HeldOutLoss {
  /** Mean negative log-likelihood, in nats per predicted byte. */
  readonly loss: number;
  /**
   * The same for each block of windows, to pair two checkpoints block by block. A last block that is not full
   * is left out.
   */
  readonly blockLosses: readonly number[];
  readonly windows: number;
}

/**
 * Loss of the language model in the checkpoint folder `path` on `text`, cut into windows of
 * {@link WINDOW_BYTES} bytes (a shorter rest is dropped). Plain TypeScript, one to two seconds for 16 KB with
 * the models of `demo/`. Gives way to the event loop after every window.
 *
 * @throws MergeError E_MODEL when the checkpoint is not a model the forward pass knows; RangeError when the
 *   text is shorter than a window; `signal.reason` on an abort.
 */
export async function heldOutLoss(path: string, text: Uint8Array, options: HeldOutOptions = {}): Promise<HeldOutLoss> {
  const { signal, onProgress, windowsPerBlock = 8 } = options;
  signal?.throwIfAborted();
  const starts = windowStarts(text.length, options.maxBytes ?? text.length);
  if (starts.length === 0) throw new RangeError(`the text has ${text.length} bytes, fewer than one window of ${WINDOW_BYTES}`);
  const model = await loadModel(path);
  const losses: number[] = [];
  for (const start of starts) {
    losses.push(windowLoss(model, text.subarray(start, start + WINDOW_BYTES)));
    onProgress?.(losses.length, starts.length);
    await setImmediate();
    signal?.throwIfAborted();
  }
  const blockLosses: number[] = [];
  for (let i = 0; i + windowsPerBlock <= losses.length; i += windowsPerBlock) blockLosses.push(mean(losses.slice(i, i + windowsPerBlock)));
  return { loss: mean(losses), blockLosses, windows: losses.length };
}

/**
 * Byte offsets of the windows: all of them, or floor(maxBytes / WINDOW_BYTES) spread evenly.
 * `demo/make/evaluate.py` chooses the same.
 */
function windowStarts(textBytes: number, maxBytes: number): number[] {
  const total = Math.floor(textBytes / WINDOW_BYTES);
  const count = Math.min(total, Math.floor(maxBytes / WINDOW_BYTES));
  return Array.from({ length: count }, (_, i) => Math.floor((i * total) / count) * WINDOW_BYTES);
}

function windowLoss(model: Model, window: Uint8Array): number {
  const logits = model.logits(window);
  const { vocabulary } = model.config;
  let sum = 0;
  for (let t = 0; t + 1 < window.length; t++) {
    const predicted = logits[t * vocabulary + window[t + 1]!]!;
    sum += softmax(logits, t * vocabulary, vocabulary) - predicted;
  }
  return sum / (window.length - 1);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
