import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pc from 'picocolors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { watchLine } from '../../src/upkeep/watch/text.ts';
import type { WatchEvent, WatchOptions, WatchRecord } from '../../src/upkeep/watch/types.ts';
import { watch } from '../../src/upkeep/watch/watch.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { steadyEntries, writeRun } from '../support/run-trees.ts';
import { mergeError } from '../support/safetensors.ts';

const COLORS = pc.createColors(false);
let folder: ReturnType<typeof temporaryFolder>;
const at = (...parts: string[]) => join(folder.path, ...parts);
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const ENTRIES = steadyEntries(40);
/** The trainer saves its i-th to j-th checkpoints, 100 steps apart. */
const save = (first: number, last = first) =>
  writeRun(
    at('run'),
    ENTRIES.slice(first - 1, last).map((entry, i) => ({ ...entry, seed: first + i })),
  );
const there = () =>
  readdirSync(at('run'))
    .map((name) => Number(name.split('-')[1]))
    .sort((a, b) => a - b);

async function once(more: Partial<WatchOptions> = {}) {
  const events: WatchEvent[] = [];
  const options = { run: at('run'), output: at('merges'), once: true, settle: 0.01, threads: 1, keepSaves: 9, ...more };
  const summary = await watch(options, { onEvent: (event) => events.push(event) });
  return { summary, events, keeping: events.filter((event) => event.type === 'keeping') };
}
const plan = () => JSON.parse(readFileSync(at('merges', 'keep-saves.json'), 'utf8'));
const lines = () =>
  readFileSync(at('merges', 'keep-saves.sh'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('drop '));
/** What the trainer's own rotation does: from wherever it is. */
const rotate = () => execFileSync('sh', [at('merges', 'keep-saves.sh')], { cwd: '/' });

describe('a watch that says which saves to keep', () => {
  it('writes which, and what would delete the rest, and deletes nothing itself', async () => {
    save(1, 20);
    const { summary, keeping } = await once({ keepWindows: ['500steps', '2000steps'], keepAtLeast: 5, select: { last: 2 } });
    expect(there()).toHaveLength(20);
    const kept = [100, 500, 900, 1300, 1600, 1700, 1800, 1900, 2000];
    expect(plan()).toMatchObject({ schema: 'ckpt-merge/keep', budget: 9, windows: [{ window: '500steps' }, { window: '2000steps' }] });
    expect(plan().keep.map(({ step }: { step: number }) => step)).toEqual(kept);
    expect(lines()).toHaveLength(11);
    expect(summary.saves!.keep).toEqual(kept.map((step) => `checkpoint-${step}`));
    expect(summary.saves!.delete).toHaveLength(11);
    expect(keeping.at(-1)).toMatchObject({ saves: summary.saves, error: null });
    const [record] = readFileSync(at('merges', 'history.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as WatchRecord);
    expect(record!.saves).toEqual(summary.saves);
    rotate();
    expect(there()).toEqual(kept);
  });

  it('writes no line while all saves are within the number', async () => {
    save(1, 12);
    const { summary } = await once({ keepSaves: 15, keepWindows: ['500steps'], select: { last: 2 } });
    expect(lines()).toEqual([]);
    expect([summary.saves!.keep.length, summary.saves!.delete]).toEqual([12, []]);
    expect(plan().notes.join()).toContain('7 of them are not needed for these windows');
  });

  it('says it again for each save: windows are there at every one of them, whoever deletes by its lines', async () => {
    save(1, 20);
    const options = { keepWindows: ['500steps', '2000steps'], keepAtLeast: 5, keepSaves: 10, select: { last: 2 } };
    for (let i = 21; i <= 32; i++) {
      save(i);
      const { summary } = await once(options);
      expect(summary.merges.map(({ step }) => step)).toEqual([i * 100]);
      rotate();
      const steps = there();
      expect(steps.length).toBeLessThanOrEqual(10);
      expect(steps.at(-1)).toBe(i * 100);
      for (const width of [500, 2000]) expect(steps.filter((step) => step > i * 100 - width).length).toBeGreaterThanOrEqual(5);
    }
  });

  it('leaves what its own windows need, at the distances that their members have', async () => {
    save(1, 20);
    const options = { keepWindows: ['2000steps'], select: { last: 4, every: '300steps' } };
    for (let i = 21; i <= 30; i++) {
      save(i);
      const { summary } = await once(options);
      expect(summary.merges[0]?.members.map(({ step }) => step)).toEqual([i - 9, i - 6, i - 3, i].map((k) => 100 * k));
      rotate();
    }
    expect(plan().notes.join()).toMatch(/saves beside these stay until no round to come needs them/);
    // Ten of its window, and of the rest what 2,000 steps need.
    expect(there().length).toBeLessThanOrEqual(10 + 5);
  });

  it('names no save that it has still to merge', async () => {
    save(1, 10);
    await once({ keepWindows: ['1000steps'], keepAtLeast: 1, keepSaves: 5, select: { last: 2 } });
    save(11, 18);
    const kept: (readonly string[])[] = [];
    const events = await watch(
      {
        run: at('run'),
        output: at('merges'),
        once: true,
        settle: 0.01,
        threads: 1,
        keepSaves: 5,
        keepWindows: ['1000steps'],
        keepAtLeast: 1,
        select: { last: 2 },
      },
      {
        onEvent: (event) => {
          if (event.type === 'keeping' && event.saves !== null) {
            kept.push(event.saves.keep);
            rotate();
          }
        },
      },
    );
    expect(events.merges.map(({ step, members }) => [step, members.length])).toEqual(
      [11, 12, 13, 14, 15, 16, 17, 18].map((i) => [i * 100, 2]),
    );
    expect(kept.some((saves) => [10, 11, 12, 13, 14, 15, 16, 17, 18].every((i) => saves.includes(`checkpoint-${i * 100}`)))).toBe(true);
    expect(there().length).toBeLessThan(10);
  });

  it('leaves no line where it cannot tell, says why, and merges on', async () => {
    save(1, 20);
    const options = { keepWindows: ['2000steps'], select: { last: 2 } };
    await once(options);
    expect(lines().length).toBeGreaterThan(0);
    // A step that is not saved yet, or not any more.
    save(21);
    const { summary, keeping } = await once({ ...options, keepSteps: [2500] });
    expect(keeping.at(-1)).toMatchObject({ saves: null, error: expect.stringContaining('keepSteps names step 2500') });
    expect(summary).toMatchObject({ saves: null, merges: [{ step: 2100 }] });
    expect(lines()).toEqual([]);
    expect(plan().error).toContain('keepSteps names step 2500');
    // A run of one save says nothing of how often there are others.
    expect((await once({ run: at('young'), output: at('others'), keepWindows: ['500steps'] }).catch((error) => error)).code).toBe(
      'E_NOT_FOUND',
    );
    writeRun(at('young'), ENTRIES.slice(0, 1));
    const young = await once({ run: at('young'), output: at('others'), keepWindows: ['500steps'] });
    expect(young.summary).toMatchObject({ saves: null, failed: [] });
  });

  it('is refused at the first look where the options do not fit the run: no merge is made, and no line stays', async () => {
    save(1, 20);
    const options = { keepWindows: ['2000steps'], select: { last: 2 } };
    await once(options);
    expect(lines().length).toBeGreaterThan(0);
    save(21);
    const error = await mergeError(() => once({ ...options, keepSaves: 2 }));
    expect(error).toMatchObject({ code: 'E_OPTION', message: expect.stringContaining('keepSaves 2 is too small') });
    expect(lines()).toEqual([]);
    expect(existsSync(at('merges', 'merged-checkpoint-2100'))).toBe(false);
    expect((await mergeError(() => once({ ...options, keepWindows: ['200steps'] }))).message).toContain('holds 2 of the saves');
  });

  it('says at each new save what it cannot tell, where that shows only then', async () => {
    save(1);
    const said: string[] = [];
    const stop = new AbortController();
    const options = { run: at('run'), output: at('merges'), settle: 0.01, poll: 0.05, threads: 1 };
    const merged: string[] = [];
    await watch(
      { ...options, keepSaves: 2, keepWindows: ['500steps'], select: { last: 1 } },
      {
        signal: stop.signal,
        onEvent: (event) => {
          if (event.type === 'keeping') said.push(event.error ?? '');
          if (event.type !== 'merged') return;
          merged.push(event.output);
          if (merged.length === 4) stop.abort('done');
          else save(merged.length + 1);
        },
      },
    ).catch((reason) => expect(reason).toBe('done'));
    expect(said[0]).toContain('there is one checkpoint');
    const small = said.filter((text) => text.includes('keepSaves 2 is too small'));
    expect([small.length, said.length]).toEqual([3, 4]);
  });

  it('has one line for a look: not of saves that stay only until its rounds are done', async () => {
    save(1, 20);
    const options = { keepWindows: ['2000steps'], keepSaves: 5, select: { last: 4, every: '300steps' } };
    for (const i of [20, 22]) {
      save(21, i);
      const { keeping, summary } = await once(options);
      const said = keeping.map((event) => watchLine(event, COLORS)).filter((line) => line !== '');
      expect(said).toEqual([expect.stringContaining(`keep ${summary.saves!.keep.length} saves`)]);
    }
  });

  it.each<[string, Partial<WatchOptions>, string]>([
    ['no windows', {}, 'nothing says for which windows'],
    ['windows that are counted in saves', { keepWindows: ['3ckpt'] }, 'keepWindows takes tokens, steps or shares'],
    ['all of the training', { keepWindows: ['100%'] }, 'no share over 0 % and below 100 %'],
    ['windows of two kinds', { keepWindows: ['5B', '500steps'] }, 'keepWindows are all tokens, all steps'],
    ['no saves', { keepWindows: ['500steps'], keepSaves: 0 }, 'keepSaves takes a whole number'],
    ['no members', { keepWindows: ['500steps'], keepAtLeast: 0 }, 'keepAtLeast takes a whole number'],
    [
      'windows without a number of saves',
      { keepWindows: ['500steps'], keepSaves: undefined },
      'keepWindows has a meaning only with keepSaves',
    ],
    ['a number of saves that is a text', { keepSaves: '9' as never }, 'keepSaves'],
  ])('refuses %s before the first round', async (_, options, message) => {
    save(1, 5);
    const error = await mergeError(() => once(options));
    expect(error.code).toBe('E_OPTION');
    expect(error.message).toContain(message);
    expect(existsSync(at('merges'))).toBe(false);
  });

  it('replaces no file of somebody else', async () => {
    save(1, 5);
    mkdirSync(at('merges'));
    writeFileSync(at('merges', 'keep-saves.sh'), '#!/bin/sh\necho mine\n');
    const error = await mergeError(() => once({ keepWindows: ['500steps'] }));
    expect(error.code).toBe('E_OUTPUT_EXISTS');
    expect(readFileSync(at('merges', 'keep-saves.sh'), 'utf8')).toContain('mine');
  });
});
