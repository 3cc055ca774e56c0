import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SYSTEM } from '../../src/base/disk/system.ts';
import { discoverRun } from '../../src/checkpoints/run/discover.ts';
import type { WatchEvent, WatchOptions, WatchRecord } from '../../src/upkeep/watch/types.ts';
import { watch } from '../../src/upkeep/watch/watch.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { readOracle } from '../support/containers.ts';
import { treeOf } from '../support/hostile-case.ts';
import { type RunEntry, writeRun } from '../support/run-trees.ts';
import { mergeError } from '../support/safetensors.ts';

let folder: ReturnType<typeof temporaryFolder>;
const at = (...parts: string[]) => join(folder.path, ...parts);
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const MODEL = [{ name: 'model.embed_tokens.weight', dtype: 'BF16', shape: [128, 64] }] as const;
const OPTIMIZER = 'x'.repeat(50_000);
const entry = (i: number): RunEntry => ({
  name: `checkpoint-${100 * i}`,
  step: 100 * i,
  seed: i,
  shards: [MODEL],
  files: { 'optimizer.pt': OPTIMIZER },
});
/** The trainer saves its i-th to j-th checkpoints, 100 steps apart. */
const save = (first: number, last = first) =>
  writeRun(
    at('run'),
    Array.from({ length: last - first + 1 }, (_, i) => entry(first + i)),
  );
const steps = (home: string) =>
  readdirSync(at(home))
    .filter((name) => /^checkpoint-\d+$/.test(name))
    .map((name) => Number(name.split('-')[1]))
    .sort((a, b) => a - b);

const asked = (more: Partial<WatchOptions> = {}): WatchOptions => ({
  run: at('run'),
  output: at('merges'),
  once: true,
  settle: 0.01,
  threads: 1,
  select: { last: 2 },
  keepSaves: 9,
  keepWindows: ['800steps'],
  stripSaves: at('copies'),
  ...more,
});
async function once(more: Partial<WatchOptions> = {}) {
  const events: WatchEvent[] = [];
  const summary = await watch(asked(more), { onEvent: (event) => events.push(event) });
  const copied = events.flatMap((event) => (event.type === 'copied' ? [[event.save.step, event.save.state, event.save.verified]] : []));
  return { summary, events, copied };
}
const plan = () => JSON.parse(readFileSync(at('merges', 'strip-saves.json'), 'utf8'));
const puts = () =>
  readFileSync(at('merges', 'strip-saves.sh'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('put '));
const put = () => execFileSync('sh', [at('merges', 'strip-saves.sh')], { cwd: '/' });
const rotate = () => execFileSync('sh', [at('merges', 'keep-saves.sh')], { cwd: '/' });
const tensor = (path: string) => readOracle(join(path, 'model.safetensors')).get(MODEL[0].name)!.bytes;

describe('a watch that makes copies without the state of the trainer', () => {
  it('makes those of saves that windows alone need, each compared in full, and changes no save', async () => {
    save(1, 8);
    const before = treeOf(at('run'));
    const { summary, copied, events } = await once();
    expect(copied).toEqual([1, 2, 3, 4, 5, 6].map((i) => [100 * i, 'made', 'full']));
    expect(treeOf(at('run'))).toEqual(before);
    expect(steps('copies')).toEqual([100, 200, 300, 400, 500, 600]);
    expect(tensor(at('copies', 'checkpoint-300'))).toEqual(tensor(at('run', 'checkpoint-300')));
    expect(plan()).toMatchObject({ schema: 'ckpt-merge/strip', version: 1, budget: 9, elsewhere: false });
    expect(plan().copies.map(({ step, verified }: Record<string, unknown>) => [step, verified])).toEqual(
      [1, 2, 3, 4, 5, 6].map((i) => [100 * i, 'full']),
    );
    // What rounds to come need stays whole.
    expect(plan().left).toEqual([
      { path: at('run', 'checkpoint-700'), step: 700, reason: 'the watch has still to merge it' },
      { path: at('run', 'checkpoint-800'), step: 800, reason: 'the newest, the newest to resume from' },
    ]);
    expect(summary.saves!.copied).toEqual([1, 2, 3, 4, 5, 6].map((i) => `checkpoint-${100 * i}`));
    const said = events.filter(({ type }) => type === 'stripping');
    expect(said).toHaveLength(1);
    expect(said[0]).toMatchObject({ copies: { length: 6 }, lines: at('merges', 'strip-saves.sh') });
    expect(summary.merges.map(({ step }) => step)).toEqual([800]);
  });

  it('has a script that puts them in place from anywhere; nothing of them is new to it then', async () => {
    save(1, 8);
    await once();
    expect(puts()).toHaveLength(6);
    put();
    expect(steps('copies')).toEqual([]);
    expect((await discoverRun(at('run'))).checkpoints.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((i) => 100 * i));
    for (const i of [1, 2, 3, 4, 5, 6]) expect(existsSync(at('run', `checkpoint-${100 * i}`, 'optimizer.pt'))).toBe(false);
    for (const i of [7, 8]) expect(existsSync(at('run', `checkpoint-${100 * i}`, 'optimizer.pt'))).toBe(true);
    const { summary, copied, events } = await once();
    expect([summary.merges, summary.failed, copied]).toEqual([[], [], []]);
    expect(puts()).toEqual([]);
    expect(events.filter(({ type }) => type === 'uncopied')).toEqual([]);
  });

  it('merges first with --once, of what has to settle too; then it copies', async () => {
    save(1, 8);
    const { events } = await once({ settle: 0.2 });
    const order = events.flatMap((event) =>
      event.type === 'merged' ? 'merge' : event.type === 'strip' && event.event.type === 'copy' ? 'copy' : [],
    );
    expect(order).toEqual(['merge', ...Array(6).fill('copy')]);
  });

  it('goes on at each save: one copy more, none made or compared again; the history says of which', async () => {
    save(1, 8);
    await once();
    for (const i of [9, 10, 11]) {
      save(i);
      const { copied, summary } = await once();
      expect(copied).toEqual([[100 * (i - 2), 'made', 'full']]);
      expect(summary.merges.map(({ step }) => step)).toEqual([100 * i]);
      rotate();
      put();
      const whole = steps('run').filter((step) => existsSync(at('run', `checkpoint-${step}`, 'optimizer.pt')));
      expect(whole).toEqual([100 * (i - 1), 100 * i]);
      expect(steps('run').length).toBeLessThanOrEqual(9);
      expect(steps('copies')).toEqual([]);
    }
    const records = readFileSync(at('merges', 'history.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as WatchRecord);
    expect(records.at(-1)!.saves!.copied).toEqual([]);
  });

  it('lets go of a copy with its save', async () => {
    save(1, 8);
    const options = { keepSaves: 6, keepWindows: ['500steps'] };
    await once(options);
    save(9, 12);
    await once(options);
    const gone = readFileSync(at('merges', 'keep-saves.sh'), 'utf8');
    expect(gone).toMatch(/^drop \.\.\/run\/checkpoint-500 500 '\d+ \d+'$/m);
    expect(gone).toMatch(/^drop \.\.\/copies\/checkpoint-500 none '\d+ \d+'$/m);
    rotate();
    put();
    expect(steps('copies')).toEqual([]);
    expect(steps('run')).toHaveLength(6);
  });

  it('cut short between copies, or amid one, goes on; what was made is compared once', async () => {
    save(1, 8);
    for (const [number, type] of [
      [2, 'copied'],
      [1, 'strip'],
      [1, 'copied'],
    ] as const) {
      const stop = new AbortController();
      let seen = 0;
      const onEvent = (event: WatchEvent) => {
        if (event.type === type && ++seen === number) stop.abort('SIGTERM');
      };
      await expect(watch(asked(), { signal: stop.signal, onEvent })).rejects.toBe('SIGTERM');
    }
    const before = steps('copies');
    const { copied } = await once();
    const expected = [1, 2, 3, 4, 5, 6].map((i) => 100 * i);
    expect(steps('copies')).toEqual(expected);
    expect(before.length).toBeGreaterThanOrEqual(3);
    expect(copied.filter(([, state]) => state === 'made').map(([step]) => step)).toEqual(expected.filter((step) => !before.includes(step)));
    expect(readdirSync(at('copies')).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it.each(['before the copy was moved', 'before what was set aside was removed'])(
    'keeps the line of a script that was cut short %s',
    async (when) => {
      save(1, 8);
      await once();
      renameSync(at('run', 'checkpoint-100'), at('run', '.checkpoint-100.full'));
      if (when.includes('removed')) renameSync(at('copies', 'checkpoint-100'), at('run', 'checkpoint-100'));
      for (const _ of [1, 2]) await once();
      expect(puts().filter((line) => line.includes('checkpoint-100'))).toHaveLength(1);
      put();
      expect(readdirSync(at('run')).filter((name) => name.startsWith('.'))).toEqual([]);
      expect(tensor(at('run', 'checkpoint-100'))).toHaveLength(2 * 128 * 64);
      expect(existsSync(at('run', 'checkpoint-100', 'optimizer.pt'))).toBe(false);
      await once();
      expect(puts()).toEqual([]);
    },
  );

  it('cannot write its lists for a while: says so once, merges on, and writes them when it can', async () => {
    save(1, 8);
    const stop = new AbortController();
    const said: (string | null)[] = [];
    let merged = 0;
    await watch(asked({ once: false, poll: 0.02 }), {
      signal: stop.signal,
      onEvent: (event) => {
        if (event.type === 'keeping') said.push(event.error);
        if (event.type !== 'merged' && event.type !== 'stripping') return;
        if (event.type === 'merged' && ++merged === 1) {
          rmSync(at('merges', 'keep-saves.sh'));
          mkdirSync(at('merges', 'keep-saves.sh', 'x'), { recursive: true });
          save(9);
        }
        if (event.type === 'merged' && merged === 2) rmSync(at('merges', 'keep-saves.sh'), { recursive: true });
        if (event.type === 'stripping' && event.copies.length === 7) stop.abort('done');
      },
    }).catch((reason) => expect(reason).toBe('done'));
    expect(merged).toBe(2);
    expect(said.filter((error) => error !== null)).toEqual([expect.stringContaining('keep-saves.sh')]);
    expect(readFileSync(at('merges', 'keep-saves.sh'), 'utf8')).toContain('Written by ckpt-merge');
    expect(puts()).toHaveLength(7);
  });

  it('tells of what goes with a save beside the state of its trainer', async () => {
    save(1, 8);
    writeFileSync(at('run', 'checkpoint-100', 'value_head.bin'), 'v');
    await once();
    const script = readFileSync(at('merges', 'strip-saves.sh'), 'utf8');
    expect(script).toContain('# of ../run/checkpoint-100 also removed: value_head.bin\n');
    expect(plan().copies[0].loses).toEqual(['value_head.bin']);
  });

  it('says once what it cannot copy, copies the rest and merges on; tries again when something of it changes', async () => {
    save(1, 8);
    mkdirSync(at('copies', 'checkpoint-200'), { recursive: true });
    writeFileSync(at('copies', 'checkpoint-200', 'mine'), 'precious');
    const { summary, copied, events } = await once();
    expect(copied.map(([step]) => step)).toEqual([100, 300, 400, 500, 600]);
    expect(events.filter(({ type }) => type === 'uncopied')).toEqual([
      expect.objectContaining({
        path: at('run', 'checkpoint-200'),
        again: false,
        error: expect.objectContaining({ code: 'E_OUTPUT_EXISTS' }),
      }),
    ]);
    expect(summary.failed.map(({ checkpoint, error }) => [checkpoint, error.code])).toEqual([['checkpoint-200', 'E_OUTPUT_EXISTS']]);
    expect(summary.merges).toHaveLength(1);
    expect(readFileSync(at('copies', 'checkpoint-200', 'mine'), 'utf8')).toBe('precious');
    expect(plan().left).toContainEqual(expect.objectContaining({ step: 200, reason: expect.stringContaining('checkpoint-200') }));
    rmSync(at('copies', 'checkpoint-200'), { recursive: true });
    expect((await once()).copied).toEqual([[200, 'made', 'full']]);
  });

  it('says of a full disk once, not for each save, and copies all when there is room', async () => {
    save(1, 8);
    await once({ stripSaves: undefined });
    vi.spyOn(SYSTEM.fs, 'statfs').mockImplementation((async (path: string) => ({ ...(await statfs(path)), bavail: 0 })) as never);
    const { summary, events, copied } = await once();
    vi.restoreAllMocks();
    expect(copied).toEqual([]);
    expect(events.flatMap((event) => (event.type === 'uncopied' ? [[event.error.code, event.again]] : []))).toEqual([['E_NO_SPACE', true]]);
    expect(summary.failed.map(({ error }) => error.exitCode)).toEqual([6]);
    expect(puts()).toEqual([]);
    expect((await once()).copied).toHaveLength(6);
  });

  it('leaves no line for a copy that was damaged, or whose save was made anew', async () => {
    save(1, 8);
    await once();
    appendFileSync(at('copies', 'checkpoint-100', 'model.safetensors'), 'x');
    rmSync(at('run', 'checkpoint-200'), { recursive: true });
    writeRun(at('run'), [{ ...entry(2), seed: 99 }]);
    const { summary } = await once();
    expect(puts().filter((line) => /checkpoint-(100|200)\b/.test(line))).toEqual([]);
    expect(puts()).toHaveLength(4);
    expect(summary.failed.map(({ checkpoint }) => checkpoint)).toEqual(['checkpoint-100', 'checkpoint-200']);
  });

  it('makes copies between rounds while it goes on, merges first', async () => {
    save(1, 8);
    const stop = new AbortController();
    const order: string[] = [];
    await watch(asked({ once: false, poll: 0.02 }), {
      signal: stop.signal,
      onEvent: (event) => {
        if (event.type === 'copied') order.push(`copy ${event.save.step}`);
        if (event.type === 'copied' && event.save.step === 100) save(9);
        if (event.type === 'merged') order.push(`merge ${event.record.step}`);
        if (event.type === 'stripping' && event.copies.length === 7) stop.abort('done');
      },
    }).catch((reason) => expect(reason).toBe('done'));
    // What is there at the start is merged before anything is copied; later a merge waits for the copy that is being made.
    expect(order[0]).toBe('merge 800');
    expect(order.indexOf('merge 900')).toBeLessThan(order.length - 2);
    expect(order.filter((one) => one.startsWith('copy')).sort()).toEqual([1, 2, 3, 4, 5, 6, 7].map((i) => `copy ${100 * i}`));
  });

  it.each<[string, Partial<WatchOptions>, string]>([
    [
      'copies of saves that nobody chooses',
      { keepSaves: undefined, keepWindows: undefined },
      'stripSaves has a meaning only with keepSaves',
    ],
    ['the run as their folder', { stripSaves: 'run' }, 'stripSaves must be a folder of its own'],
    ['the folder of merges', { stripSaves: 'merges' }, 'stripSaves must be a folder of its own'],
  ])('refuses %s before the first round', async (_, { stripSaves, ...more }, message) => {
    save(1, 8);
    const error = await mergeError(() => once({ ...more, ...(stripSaves !== undefined && { stripSaves: at(stripSaves) }) }));
    expect(error).toMatchObject({ code: 'E_OPTION', message: expect.stringContaining(message) });
    expect(existsSync(at('merges'))).toBe(false);
  });
});
