import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { average, watch } from '../../src/index.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { BIN, runCli } from '../support/run-cli.ts';
import { steadyEntries, writeRun } from '../support/run-trees.ts';
import { scoreOfBytes } from '../support/scored-watch.ts';
import { mergesIn, Watching } from '../support/watching.ts';

let folder: ReturnType<typeof temporaryFolder>;
const at = (...parts: string[]) => join(folder.path, ...parts);
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

/** Appears whole, as a trainer that renames has it. */
function save(number: number): void {
  const [entry] = steadyEntries(number).slice(-1);
  writeRun(at('draft'), [{ ...entry!, seed: number }]);
  const name = `checkpoint-${number * 100}`;
  renameSync(at('draft', name), at('run', name));
}

interface Line {
  readonly id: number;
  readonly recipe: string;
  readonly kind: string;
  readonly status: string;
  readonly score: number;
  readonly time: string;
  readonly params: { readonly step?: number; readonly output?: string };
}
const lines = (): Line[] =>
  readFileSync(at('merges', 'scores', 'trials.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

/** What the evaluator below says of a model. */
function scoreOf(model: string): number {
  const digest = createHash('sha256')
    .update(readFileSync(join(model, 'model.safetensors')))
    .digest('hex');
  return Number.parseInt(digest.slice(0, 7), 16);
}
const EVALUATOR = `h=$(sha256sum "$MERGE_MODEL/model.safetensors" | cut -c1-7); sleep 0.05; printf '%d\\n' "0x$h"`;

describe('a watch that scores, killed', () => {
  it('at thirty moments loses no score and doubles none', async () => {
    const SAVES = 10;
    writeRun(
      at('run'),
      steadyEntries(3).map((entry, i) => ({ ...entry, seed: i + 1 })),
    );
    const words = ['watch', 'run', '-o', 'merges', '--window', '2', '--window', '3', '--poll', '0.02', '--settle', '0.02', '--keep', '2'];
    const all = [...words, '--eval', EVALUATOR, '--goal', 'minimize', '--parallel', '2', '--log', 'csv', '--log', 'tensorboard'];
    let random = 20_261_201;
    const next = (): number => {
      random = (random * 48_271) % 2_147_483_647;
      return random / 2_147_483_647;
    };
    // What was there before the first start is history, but for the newest.
    expect((await runCli([...all, '--once'], { cwd: folder.path })).code).toBe(0);
    let saves = 3;
    let kills = 0;
    for (; kills < 30; kills++) {
      const child = spawn(process.execPath, [BIN, ...all], { cwd: folder.path, stdio: 'ignore' });
      // From before it has read its state to the middle of rounds and evaluations.
      await wait(200 + 700 * next());
      if (kills % 3 === 0 && saves < SAVES) save(++saves);
      await wait(200 * next());
      await killed(child);
    }
    while (saves < SAVES) save(++saves);
    const last = await runCli([...all, '--once'], { cwd: folder.path });
    expect(last.code).toBe(0);
    const trials = lines();
    const scored = trials.filter(({ status }) => status === 'complete');
    expect(new Set(scored.map(({ recipe }) => recipe)).size).toBe(scored.length);
    expect(new Set(trials.map(({ id }) => id)).size).toBe(trials.length);
    // All that there was from the first start on: the newest of then, and what came.
    const steps = Array.from({ length: SAVES - 2 }, (_, i) => (i + 3) * 100);
    expect(
      scored
        .filter(({ kind }) => kind === 'single')
        .map(({ params }) => params.step)
        .sort((a, b) => a! - b!),
    ).toEqual(steps);
    for (const step of steps) {
      const single = scored.find(({ kind, params }) => kind === 'single' && params.step === step);
      expect(single!.score).toBe(scoreOf(at('run', `checkpoint-${step}`)));
      for (const window of [2, 3]) {
        const output = at(`own-${step}-${window}`);
        await average({ inputs: [at('run')], select: { last: window, to: step }, output, threads: 1 });
        expect(scored.find(({ params }) => params.output === `merged-checkpoint-${step}-w${window}`)!.score).toBe(scoreOf(output));
      }
    }
    expect(scored).toHaveLength(3 * steps.length);
    const rows = readFileSync(at('merges', 'scores', 'scores.csv'), 'utf8')
      .trimEnd()
      .split('\r\n');
    expect(rows).toHaveLength(trials.length + 1);
    expect(mergesIn(at('merges'))).toHaveLength(4);
    const strange = [...readdirSync(at('merges', 'scores')), ...readdirSync(at('merges'))].filter((name) => /draft|work-/.test(name));
    expect(strange).toEqual([]);
  }, 180_000);
});

async function killed(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

describe('a long watch that scores', () => {
  // A save each second for two hours is 7,200 saves; here as many as half a minute has room for.
  it('keeps neither memory, nor descriptors, nor files for what is done', async () => {
    const SAVES = 70;
    writeRun(
      at('run'),
      steadyEntries(2).map((entry, i) => ({ ...entry, seed: i + 1 })),
    );
    const watching = new Watching({
      ...{ run: at('run'), output: at('merges'), threads: 1, windows: [2, 4], settle: 0.02, poll: 0.02, keep: 2, log: ['csv'] },
      eval: async (model) => ({ ...scoreOfBytes(model), higherIsBetter: false }),
    });
    const open = () => readdirSync('/proc/self/fd').length;
    const at30: { descriptors: number; resident: number; watchFiles: number }[] = [];
    const look = () => ({
      descriptors: open(),
      resident: process.memoryUsage().rss,
      watchFiles: readdirSync(at('merges')).length + readdirSync(at('merges', '.merge-watch')).length,
    });
    for (let number = 3; number <= SAVES; number++) {
      save(number);
      await watching.until('merged', 2 * (number - 2));
      // The trainer keeps six.
      const old = at('run', `checkpoint-${(number - 6) * 100}`);
      if (existsSync(old)) rmSync(old, { recursive: true });
      if (number === 25 || number === SAVES) at30.push(look());
    }
    await watching.stop();
    const [early, late] = at30;
    expect(late!.descriptors).toBeLessThanOrEqual(early!.descriptors + 10);
    expect(late!.watchFiles).toBeLessThanOrEqual(early!.watchFiles + 4);
    expect(late!.resident - early!.resident).toBeLessThan(150e6);
    const scored = watching.of('scored').length + watching.of('unscored').length;
    expect(scored).toBeGreaterThan(SAVES);
    const trials = lines();
    expect(new Set(trials.map(({ recipe }) => recipe)).size).toBe(trials.length);
    // A line tells what came with it, and not of the study again.
    const bytes = readFileSync(at('merges', 'scores', 'trials.jsonl')).length;
    expect(bytes / trials.length).toBeLessThan(4000);
  }, 120_000);
});

it('a clock that goes back loses nothing', async () => {
  writeRun(
    at('run'),
    steadyEntries(3).map((entry, i) => ({ ...entry, seed: i + 1 })),
  );
  const options = { run: at('run'), output: at('merges'), once: true, settle: 0.01, threads: 1, select: { last: 2 } };
  const evaluate = async (model: string) => ({ ...scoreOfBytes(model), higherIsBetter: false });
  try {
    await watch({ ...options, eval: evaluate, log: ['csv', 'tensorboard'] });
    save(4);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 86_400_000 });
    await watch({ ...options, eval: evaluate, log: ['csv', 'tensorboard'] });
  } finally {
    vi.useRealTimers();
  }
  const times = lines().map(({ time }) => time);
  expect(times[2]! < times[0]!).toBe(true);
  expect(lines().map(({ params }) => params.step ?? params.output)).toEqual([300, 'merged-checkpoint-300', 400, 'merged-checkpoint-400']);
});
