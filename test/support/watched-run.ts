import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { type WatchEvent, type WatchOptions, watch } from '../../src/index.ts';
import { temporaryFolder } from './checkpoints.ts';
import { steadyEntries, writeRun } from './run-trees.ts';
import { scoreOfBytes } from './scored-watch.ts';

const ENTRIES = steadyEntries(30);

/** A folder with a run in it, and the merges of a watch beside that. */
export class WatchedRun {
  readonly folder = temporaryFolder();

  at(...parts: string[]): string {
    return join(this.folder.path, ...parts);
  }

  /** The trainer saves its i-th to j-th checkpoints, 100 steps apart. */
  save(first: number, last = first): void {
    writeRun(
      this.at('run'),
      ENTRIES.slice(first - 1, last).map((entry, i) => ({ ...entry, seed: first + i })),
    );
  }

  /** What is due now; of two members unless told otherwise. */
  async once(more: Partial<WatchOptions> = {}) {
    const events: WatchEvent[] = [];
    const own = { run: this.at('run'), output: this.at('merges'), once: true, settle: 0.01, threads: 1 };
    const options = { ...own, ...(more.windows === undefined && { select: { last: 2 } }), ...more };
    const summary = await watch(options, { onEvent: (event) => events.push(event) });
    const of = <T extends WatchEvent['type']>(type: T) =>
      events.filter((event): event is WatchEvent & { readonly type: T } => event.type === type);
    return { summary, events, of };
  }

  /** Three endpoints of two windows, scored. */
  async score(more: Partial<WatchOptions> = {}): Promise<void> {
    for (const last of [3, 4, 5]) {
      this.save(last === 3 ? 1 : last, last);
      await this.once({
        windows: [2, 3],
        eval: async (model) => ({ ...scoreOfBytes(model), stderr: 0.25, higherIsBetter: false }),
        ...more,
      });
    }
  }

  scores(...names: string[]): string {
    return this.at('merges', 'scores', ...names);
  }

  document() {
    return JSON.parse(readFileSync(this.scores('result.json'), 'utf8'));
  }

  lines() {
    return readFileSync(this.scores('trials.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
  }
}

/** A fresh one for each test of a file, by a function that gives that of the test. */
export function freshRuns(): () => WatchedRun {
  let run: WatchedRun;
  beforeEach(() => {
    run = new WatchedRun();
  });
  afterEach(() => run.folder.remove());
  return () => run;
}

/** The event file in a folder. */
export function eventFileIn(folder: string): string {
  return join(folder, readdirSync(folder).find((name) => name.includes('tfevents'))!);
}
