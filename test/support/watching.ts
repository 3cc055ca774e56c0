import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type WatchEvent, type WatchOptions, type WatchRecord, type WatchSummary, watch } from '../../src/index.ts';

/** A trainer in a process of its own (`slow-writer.js`). */
export class Trainer {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  /** The run folder that its orders are about. */
  run = '';

  /** @param pause milliseconds between two writes */
  constructor(pause = 2) {
    this.#child = spawn(process.execPath, [fileURLToPath(new URL('slow-writer.js', import.meta.url)), String(pause)]);
    this.#child.stderr.pipe(process.stderr);
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** Carries orders out, one after another. */
  async does(...orders: readonly (readonly [order: string, step: number])[]): Promise<void> {
    for (const order of orders) this.#child.stdin.write(`${JSON.stringify([...order, this.run])}\n`);
    for (const _ of orders) if ((await this.#lines.next()).done) throw new Error('the trainer ended early');
  }

  end(): void {
    this.#child.kill();
  }
}

/** A watch in this process, and what it said. */
export class Watching {
  readonly events: WatchEvent[] = [];
  readonly ended: Promise<WatchSummary>;
  readonly #stop = new AbortController();
  readonly #waiting = new Set<() => void>();

  constructor(options: WatchOptions, onEvent: (event: WatchEvent) => void = () => {}) {
    this.ended = watch(
      { poll: 0.02, settle: 0.1, ...options },
      {
        signal: this.#stop.signal,
        onEvent: (event) => {
          this.events.push(event);
          onEvent(event);
          for (const check of this.#waiting) check();
        },
      },
    );
    this.ended.catch(() => {});
  }

  of<T extends WatchEvent['type']>(type: T): (WatchEvent & { readonly type: T })[] {
    return this.events.filter((event): event is WatchEvent & { readonly type: T } => event.type === type);
  }

  /** Waits until so many events of a type are there; fails when the watch ends before. */
  until<T extends WatchEvent['type']>(type: T, count = 1): Promise<(WatchEvent & { readonly type: T })[]> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        if (this.of(type).length < count) return;
        this.#waiting.delete(check);
        resolve(this.of(type));
      };
      this.#waiting.add(check);
      this.ended.then(
        () => reject(new Error(`the watch ended before ${count} of ${type}`)),
        (error: unknown) => reject(error),
      );
      check();
    });
  }

  /** Ends it as a signal does. */
  async stop(): Promise<void> {
    this.#stop.abort('SIGTERM');
    await this.ended.catch((error: unknown) => {
      if (error !== 'SIGTERM') throw error;
    });
  }
}

/** Every element of a merge of the trainer's checkpoints, one value where they are all the same. */
export function valuesOf(checkpoint: string): number[] {
  const values = readdirSync(checkpoint)
    .filter((name) => name.endsWith('.safetensors'))
    .flatMap((name) => {
      const bytes = readFileSync(join(checkpoint, name));
      const start = 8 + Number(bytes.readBigUInt64LE());
      return Array.from({ length: (bytes.length - start) / 4 }, (_, i) => bytes.readFloatLE(start + i * 4));
    });
  return [...new Set(values)];
}

export function historyOf(output: string): WatchRecord[] {
  const text = readFileSync(join(output, 'history.jsonl'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as WatchRecord);
}

/** The merges and accumulators of a watch's folder. */
export function mergesIn(output: string): string[] {
  return readdirSync(output)
    .filter((name) => /^(merged|accumulator)-/.test(name))
    .sort();
}
