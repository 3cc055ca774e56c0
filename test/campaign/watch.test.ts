import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { average, type WatchOptions } from '../../src/index.ts';
import { temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';
import { historyOf, mergesIn, Trainer, valuesOf, Watching } from '../support/watching.ts';

const temporary = temporaryFolder();
const trainer = new Trainer();
afterAll(() => {
  trainer.end();
  temporary.remove();
});
let run: string;
let output: string;
let watches: Watching[];
let count = 0;

beforeEach(() => {
  const base = join(temporary.path, String(++count));
  run = join(base, 'run');
  output = join(base, 'merges');
  mkdirSync(run, { recursive: true });
  trainer.run = run;
  watches = [];
});
afterEach(async () => {
  await Promise.all(watches.map((watching) => watching.stop().catch(() => {})));
});

function start(options: Partial<WatchOptions> = {}, onEvent?: ConstructorParameters<typeof Watching>[1]): Watching {
  const watching = new Watching({ run, output, ...options }, onEvent);
  watches.push(watching);
  return watching;
}
/** After the trainer has done its orders two looks are enough. */
const once = (options: Partial<WatchOptions> = {}) => start({ once: true, settle: 0, ...options }).ended;
const merged = (step: number) => join(output, `merged-checkpoint-${step}`);

describe('a watch', () => {
  it('makes the merge of each window when a checkpoint is whole, however it comes to be', async () => {
    // Long enough for a trainer that the machine lets wait between two writes.
    const watching = start({ select: { last: 2 }, keep: Number.POSITIVE_INFINITY, settle: 1 });
    // Each window is waited for: a watch that looks for the first time, or late, begins with the newest.
    await trainer.does(['shards', 1000], ['rename', 2000]);
    await watching.until('merged', 1);
    await trainer.does(['filled', 3000]);
    await watching.until('merged', 2);
    await trainer.does(['broken', 4000], ['shards', 5000]);
    await watching.until('merged', 3);
    await watching.stop();
    expect(mergesIn(output)).toEqual(['merged-checkpoint-2000', 'merged-checkpoint-3000', 'merged-checkpoint-5000']);
    expect(valuesOf(merged(2000))).toEqual([1500]);
    expect(valuesOf(merged(3000))).toEqual([2500]);
    expect(valuesOf(merged(5000))).toEqual([4000]);
    const waited = watching.of('waiting').map(({ path }) => path);
    expect(waited).toContain(join(run, 'checkpoint-4000'));
    expect(new Set(waited).size).toBe(waited.length);
    const history = historyOf(output);
    expect(history.map(({ step }) => step)).toEqual([2000, 3000, 5000]);
    expect(history[2]).toMatchObject({
      checkpoint: 'checkpoint-5000',
      tokens: 5_000_000,
      output: 'merged-checkpoint-5000',
      hook: null,
      error: null,
      members: [
        { name: 'checkpoint-3000', step: 3000, tokens: 3_000_000, weight: 0.5 },
        { name: 'checkpoint-5000', step: 5000, tokens: 5_000_000, weight: 0.5 },
      ],
    });
  });

  it('begins with the newest window of a run, and makes every later one once, oldest first', async () => {
    await trainer.does(['shards', 1], ['shards', 2], ['shards', 3]);
    expect((await once()).merges.map(({ checkpoint }) => checkpoint)).toEqual(['checkpoint-3']);
    expect((await once()).merges).toEqual([]);
    await trainer.does(['shards', 5], ['shards', 4]);
    expect((await once()).merges.map(({ checkpoint }) => checkpoint)).toEqual(['checkpoint-4', 'checkpoint-5']);
    expect(valuesOf(merged(4))).toEqual([2.5]);
    expect(valuesOf(merged(5))).toEqual([3]);
  });

  it('passes spacing and schedule on', async () => {
    await trainer.does(['shards', 10], ['shards', 15], ['shards', 20], ['shards', 30]);
    const spaced = await once({ select: { last: 3, every: '10steps' }, method: 'wma' });
    expect(spaced.merges[0]!.members.map(({ step, weight }) => [step, weight])).toEqual([
      [10, 1 / 6],
      [20, 2 / 6],
      [30, 3 / 6],
    ]);
  });

  it('makes what average makes', async () => {
    await trainer.does(['shards', 1], ['shards', 2], ['shards', 3]);
    await once({ method: 'ema', alpha: 0.3, dtype: 'BF16' });
    const alone = join(output, 'alone');
    await average({ inputs: [run], output: alone, method: 'ema', alpha: 0.3, dtype: 'BF16' });
    for (const name of readdirSync(alone).filter((n) => n.endsWith('.safetensors'))) {
      const [a, b] = [readFileSync(join(alone, name)), readFileSync(join(merged(3), name))];
      expect(b.equals(a)).toBe(true);
    }
  });

  it('keeps the newest merges, and touches nothing that it did not make', async () => {
    mkdirSync(merged(9), { recursive: true });
    writeFileSync(join(merged(9), 'mine'), '');
    const watching = start({ keep: 2, select: { last: 2 } });
    await trainer.does(['shards', 1], ['shards', 2]);
    await watching.until('merged', 1);
    await trainer.does(['shards', 3]);
    await watching.until('merged', 2);
    rmSync(merged(2), { recursive: true });
    mkdirSync(merged(2));
    for (const [i, step] of [4, 5, 6].entries()) {
      await trainer.does(['shards', step]);
      await watching.until('merged', 3 + i);
    }
    await watching.until('removed', 2);
    await watching.stop();
    expect(watching.of('removed').map(({ path }) => path)).toEqual([merged(3), merged(4)]);
    expect(mergesIn(output)).toEqual([2, 5, 6, 9].map((step) => `merged-checkpoint-${step}`));
    expect(readdirSync(merged(9))).toEqual(['mine']);
  });

  it('does not replace what is in the way, says so, and goes on', async () => {
    mkdirSync(merged(2), { recursive: true });
    writeFileSync(join(merged(2), 'mine'), '');
    await trainer.does(['shards', 1], ['shards', 2]);
    const { failed } = await once();
    expect(failed.map(({ error }) => error.code)).toEqual(['E_OUTPUT_EXISTS']);
    expect(readdirSync(merged(2))).toEqual(['mine']);
    expect(historyOf(output)).toMatchObject([{ checkpoint: 'checkpoint-2', output: null, error: { code: 'E_OUTPUT_EXISTS' } }]);
    await trainer.does(['shards', 3]);
    expect(await once()).toMatchObject({ failed: [], merges: [{ checkpoint: 'checkpoint-3' }] });
  });

  it('makes the window of a step anew when the trainer went back and wrote it again', async () => {
    await trainer.does(['shards', 1], ['shards', 2], ['shards', 3]);
    await once({ select: { last: 2 } });
    await trainer.does(['delete', 3], ['delete', 2], ['shards', 3]);
    await once({ select: { last: 2 } });
    expect(valuesOf(merged(3))).toEqual([2]);
  });

  it('goes on when a member is deleted between plan and read', async () => {
    await trainer.does(['shards', 1], ['shards', 2], ['shards', 3]);
    let deleted = false;
    const watching = start({}, (event) => {
      if (event.type !== 'merge' || event.event.type !== 'plan' || deleted) return;
      deleted = true;
      rmSync(join(run, 'checkpoint-1'), { recursive: true });
    });
    const [first] = await watching.until('merged');
    const [failed] = watching.of('failed');
    expect(failed).toMatchObject({ checkpoint: 'checkpoint-3', again: true });
    expect(failed!.error.message).toContain('checkpoint-1');
    expect(first!.record.members.map(({ step }) => step)).toEqual([2, 3]);
    expect(historyOf(output).map(({ error }) => error === null)).toEqual([false, true]);
  });

  it('leaves out a checkpoint that holds an infinity where that is asked, by name, and only that one', async () => {
    await trainer.does(['shards', 1], ['shards', 2], ['infinite', 3]);
    const first = await once({ failNonfinite: true });
    expect(first.failed).toMatchObject([{ checkpoint: 'checkpoint-3', error: { code: 'E_NONFINITE' } }]);
    expect(first.failed[0]!.error.message).toContain('checkpoint-3');
    await trainer.does(['shards', 4]);
    const second = await once({ failNonfinite: true });
    expect(second).toMatchObject({ failed: [], merges: [{ members: [{ step: 1 }, { step: 2 }, { step: 4 }] }] });
  });

  it('runs the hook with each merge; its failure is told and harms nothing', async () => {
    const log = join(output, 'log');
    await trainer.does(['shards', 1], ['shards', 2]);
    const watching = start({ hook: `echo "$MERGE_OUTPUT $MERGE_STEP $MERGE_TOKENS" >> '${log}'; test -f "$MERGE_PROVENANCE" && exit 3` });
    await watching.until('merged');
    await trainer.does(['shards', 3]);
    await watching.until('merged', 2);
    await watching.stop();
    expect(readFileSync(log, 'utf8')).toBe(`${merged(2)} 2 2000\n${merged(3)} 3 3000\n`);
    // What it prints begins on a line of its own: one that says so stands before it.
    expect(watching.of('hooking').map(({ output }) => output)).toEqual(watching.of('hook').map(({ output }) => output));
    expect(watching.of('hook').map(({ exitCode }) => exitCode)).toEqual([3, 3]);
    expect(historyOf(output).map(({ hook }) => hook)).toEqual([3, 3]);
  });

  it('that is ended during its hook runs it again the next time, and the merge is the same', async () => {
    await trainer.does(['shards', 1], ['shards', 2]);
    const begun = join(output, 'begun');
    const watching = start({ hook: `touch '${begun}'; sleep 1000` });
    while (!existsSync(begun)) await new Promise((resolve) => setTimeout(resolve, 5));
    await watching.stop();
    expect(existsSync(join(output, 'history.jsonl'))).toBe(false);
    const { merges } = await once({ hook: 'exit 4' });
    expect(merges).toMatchObject([{ checkpoint: 'checkpoint-2', hook: 4 }]);
    expect(historyOf(output)).toHaveLength(1);
    expect(readdirSync(output).filter((name) => name.startsWith('.merged'))).toEqual([]);
  });

  it('that is ended during a merge goes on with its finished parts the next time', async () => {
    const shards = Array.from({ length: 60 }, (_, i) => [{ name: `t${i}`, dtype: 'F32' as const, shape: [2000] }]);
    for (const step of [1, 2]) writeCheckpoint(join(run, `checkpoint-${step}`), shards, step);
    let stopped: Promise<void> | undefined;
    const watching = start({ settle: 0 }, (event) => {
      if (event.type === 'merge' && event.event.type === 'progress' && event.event.bytesWritten > 100_000) stopped ??= watching.stop();
    });
    await expect(watching.ended).rejects.toBe('SIGTERM');
    await stopped;
    expect(watching.of('merge').some(({ event }) => event.type === 'kept')).toBe(true);
    expect(mergesIn(output)).toEqual([]);
    const next = start({ once: true, settle: 0 });
    await next.ended;
    const done = next.of('merge').flatMap(({ event }) => (event.type === 'done' ? [event.result] : []));
    expect(done).toHaveLength(1);
    expect(done[0]!.resumedBytes).toBeGreaterThan(0);
    const alone = join(output, 'alone');
    await average({ inputs: [run], output: alone });
    const names = readdirSync(alone).filter((name) => name.endsWith('.safetensors'));
    expect(names).toHaveLength(60);
    for (const name of names) expect(readFileSync(join(merged(2), name)).equals(readFileSync(join(alone, name)))).toBe(true);
    expect(readdirSync(output).filter((name) => name.startsWith('.merged'))).toEqual([]);
  });

  it('refuses a folder that is watched, and another run', async () => {
    await trainer.does(['shards', 1], ['shards', 2]);
    const watching = start();
    await watching.until('merged');
    await expect(once()).rejects.toMatchObject({ code: 'E_BUSY', exitCode: 75 });
    await watching.stop();
    const other = join(run, '..', 'other');
    mkdirSync(other);
    await expect(once({ run: other })).rejects.toMatchObject({ code: 'E_WATCH_STATE', exitCode: 2 });
  });

  it('waits for a run that is not there yet; once it does not', async () => {
    const later = join(run, '..', 'later');
    await expect(once({ run: later })).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
    await expect(once({ run: join(later, 'deeper') })).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
    const watching = start({ run: later });
    await watching.until('waiting');
    trainer.run = later;
    await trainer.does(['shards', 1], ['shards', 2]);
    await watching.until('merged');
  });

  it.each<[string, Partial<WatchOptions>, string]>([
    ['a window of none', { select: { last: 0 } }, 'E_OPTION'],
    ['a spacing that is no amount', { select: { every: '8 bananas' } }, 'E_OPTION'],
    ['keep 0', { keep: 0 }, 'E_OPTION'],
    ['poll 0', { poll: 0 }, 'E_OPTION'],
    ['a window with an accumulator', { accumulate: 'ema', select: { last: 3 } }, 'E_OPTION'],
    ['an alpha of 2 for an accumulator', { accumulate: 'ema', alpha: 2 }, 'E_OPTION'],
    ['alpha and half-life', { accumulate: 'ema', alpha: 0.5, halfLife: '2steps' }, 'E_OPTION'],
    ['a half-life as a share beside one', { accumulate: 'ema', halfLifeFraction: 0.5, halfLife: '2steps' }, 'E_OPTION'],
    ['an origin without a share', { accumulate: 'ema', origin: '2steps' }, 'E_OPTION'],
    ['a decay with an accumulator', { accumulate: 'ema', decay: 'linear' }, 'E_OPTION'],
    ['an alpha of 2', { method: 'ema', alpha: 2 }, 'E_OPTION'],
  ])('ends at once with %s', async (_, options, code) => {
    await trainer.does(['shards', 1], ['shards', 2]);
    await expect(start(options).ended).rejects.toMatchObject({ code, exitCode: 2 });
  });

  it('ends at once with a spacing in tokens where nothing says what a step has', async () => {
    for (const step of [1, 2]) writeCheckpoint(join(run, `checkpoint-${step}`), [[{ name: 'a', dtype: 'F32', shape: [4] }]], step);
    await expect(once({ select: { every: '8B' } })).rejects.toMatchObject({ code: 'E_NO_TOKENS', exitCode: 2 });
    const { merges } = await once({ select: { every: '4M' }, tokensPerStep: '4M' });
    expect(merges[0]!.members.map(({ tokens }) => tokens)).toEqual([4e6, 8e6]);
  });

  it('refuses to merge into the run', async () => {
    await expect(once({ output: run })).rejects.toMatchObject({ code: 'E_OUTPUT_OVERLAPS_INPUT' });
  });
});
