import { mkdirSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pc from 'picocolors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type KeepOptions, keep } from '../../../src/upkeep/keep/keep.ts';
import { deletionLines, keepText } from '../../../src/upkeep/keep/text.ts';
import { temporaryFolder, writeCheckpoint } from '../../support/checkpoints.ts';
import { mergeError } from '../../support/safetensors.ts';

const COLORS = pc.createColors(false);
let folder: ReturnType<typeof temporaryFolder>;
let run: string;
beforeEach(() => {
  folder = temporaryFolder();
  run = join(folder.path, 'run');
  save(...Array.from({ length: 20 }, (_, i) => 100 * (i + 1)));
});
afterEach(() => folder.remove());

function save(...steps: number[]): void {
  for (const step of steps) {
    const path = join(run, `checkpoint-${step}`);
    mkdirSync(path, { recursive: true });
    writeCheckpoint(path, [[{ name: 'a', dtype: 'F32', shape: [4] }]], step);
  }
}
const plan = (options: Partial<KeepOptions> = {}) => keep({ run, budget: 12, windows: ['500steps', '2000steps'], ...options });
const steps = (saves: readonly { readonly step: number | null }[]) => saves.map(({ step }) => step);

describe('keep', () => {
  it('says which saves stay and why, and which lines would delete the rest', async () => {
    const report = await plan({ atLeast: 5, budget: 9 });
    expect(steps(report.keep)).toEqual([100, 500, 900, 1300, 1600, 1700, 1800, 1900, 2000]);
    expect(report.windows).toEqual([
      { window: '500steps', members: 5, apart: '100 steps', now: 5 },
      { window: '2000steps', members: 5, apart: '400 steps', now: 9 },
    ]);
    expect(report.keep.find(({ step }) => step === 900)!.why).toEqual(['2000steps']);
    expect(report.keep.at(-1)!.why).toEqual(['500steps', 'the newest']);
    expect(report.most).toBe(9);
    expect(deletionLines(report.delete.map(({ path }) => path))).toHaveLength(11);
    expect(deletionLines(report.delete.map(({ path }) => path))[0]).toBe(`rm -rf -- ${join(run, 'checkpoint-200')}`);
  });

  it('applied at each save holds each window, within the budget, and never lacks the newest', async () => {
    for (let step = 2100; step <= 3500; step += 100) {
      save(step);
      const report = await plan({ saveEvery: '100steps', atLeast: 5, budget: 10 });
      for (const { path } of report.delete) rmSync(path, { recursive: true });
      expect(report.keep.length).toBeLessThanOrEqual(10);
      expect(report.windows.map(({ members, now }) => now >= members)).toEqual([true, true]);
      expect(report.keep.at(-1)!.step).toBe(step);
    }
  });

  it('has more members where the budget allows', async () => {
    const [small, large] = [await plan({ windows: ['2000steps'], budget: 6 }), await plan({ windows: ['2000steps'], budget: 15 })];
    expect(large.windows[0]!.members).toBeGreaterThan(small.windows[0]!.members);
    expect(large.most).toBeLessThanOrEqual(15);
  });

  it('lets go of nothing while all saves are within the budget, and says what the windows do not need', async () => {
    const all = await plan({ windows: ['500steps', '1000steps'], budget: 20 });
    expect(all.delete).toEqual([]);
    expect(steps(all.keep)).toHaveLength(20);
    // (1000, 2000] holds ten saves; the ten before are needed by no window.
    expect(all.keep.filter(({ why }) => why.includes('room in the budget')).map(({ step }) => step)).toEqual([
      100, 200, 300, 400, 500, 600, 700, 800, 900, 1000,
    ]);
    expect(all.notes.join()).toContain('10 of them are not needed for these windows; the budget has room for them');
    expect(all.most).toBe(10);
    // With less room the newest of these stay.
    const some = await plan({ windows: ['500steps', '1000steps'], budget: 13 });
    expect(steps(some.delete)).toEqual([100, 200, 300, 400, 500, 600, 700]);
    expect(some.notes.join()).toContain('3 of them are not needed');
    const none = await plan({ windows: ['500steps', '1000steps'], budget: 10 });
    expect(none.keep).toHaveLength(10);
    expect(none.notes.join()).not.toContain('needed');
  });

  it.each([['a tracker'], ['a link']])(
    'asks for no save beside the windows for what moves with the newest: optimizer and %s',
    async (kind) => {
      writeFileSync(join(run, 'checkpoint-2000', 'optimizer.pt'), 'x');
      if (kind === 'a link') symlinkSync('checkpoint-2000', join(run, 'last'));
      // A tracker is written after its save, and names the one before until then.
      else writeFileSync(join(run, 'latest'), 'checkpoint-1900');
      const report = await plan({ windows: ['400steps'], budget: 4 });
      expect(steps(report.keep)).toEqual([1700, 1800, 1900, 2000]);
      expect(report.most).toBe(4);
      expect(report.notes.join()).not.toContain('not needed');
      const error = await mergeError(() => plan({ windows: ['400steps'], budget: 3 }));
      expect(error.message).toContain('need 4 saves at once');
      // A step that is named is held for good, and so is what a link leads to that is older.
      expect((await mergeError(() => plan({ windows: ['400steps'], budget: 4, keepSteps: [2000] }))).message).toContain('need 5 saves');
      symlinkSync('checkpoint-1800', join(run, 'best'));
      expect((await mergeError(() => plan({ windows: ['400steps'], budget: 4 }))).message).toContain('need 5 saves');
    },
  );

  it('takes a window for as wide as the saves that it holds: (T - 350, T] has four, 100 apart', async () => {
    const report = await plan({ windows: ['350steps'], budget: 4 });
    expect(report.windows).toMatchObject([{ members: 4, now: 4 }]);
    expect(await mergeError(() => plan({ windows: ['300steps'], budget: 20 }))).toMatchObject({
      message: 'a window of 300steps holds 3 of the saves, one every 100 steps, and 4 members are asked for',
      help: 'Ask for a window wider than 300 steps, or for fewer members with atLeast 3.',
    });
    expect((await plan({ windows: ['301steps'], budget: 4 })).windows).toMatchObject([{ members: 4, now: 4 }]);
  });

  it('never lets go of what a tracker or a link leads to, one that is named, or the newest to resume from', async () => {
    writeFileSync(join(run, 'latest'), 'checkpoint-300');
    symlinkSync('checkpoint-600', join(run, 'best'));
    writeFileSync(join(run, 'checkpoint-700', 'optimizer.pt'), 'x');
    const { keep: kept } = await plan({ keepSteps: [200], budget: 14 });
    const why = Object.fromEntries(kept.map((one) => [one.step, one.why]));
    expect(why[200]).toEqual(['keepSteps names it']);
    expect(why[300]).toEqual(['latest names it']);
    expect(why[600]).toContain('best leads to it');
    expect(why[700]).toContain('the newest to resume from');
    rmSync(join(run, 'latest'));
    symlinkSync('checkpoint-300', join(run, 'latest'));
    const linked = await plan({ keepSteps: [200], budget: 14 });
    expect(linked.keep.find(({ step }) => step === 300)!.held).toEqual(['latest leads to it']);
  });

  it('counts all files of a save, and says what windows hold now and later', async () => {
    for (let step = 100; step <= 2000; step += 100) writeFileSync(join(run, `checkpoint-${step}`, 'optimizer.pt'), 'x'.repeat(1e6));
    const report = await plan({ atLeast: 5, budget: 11, windows: ['500steps', '3000steps'] });
    const sizes = readdirSync(join(run, 'checkpoint-200')).map((name) => statSync(join(run, 'checkpoint-200', name)).size);
    expect(report.delete[0]).toMatchObject({ step: 200, bytes: sizes.reduce((sum, size) => sum + size, 0) });
    const text = keepText(report, COLORS);
    expect(text.split('\n')[0]).toMatch(/run: 20 saves, 20(\.\d+)? MB; keep 11 \(11(\.\d+)? MB\), 9 may go \(9(\.\d+)? MB\)$/);
    expect(text).toMatch(/to delete the other 9 saves, 9(\.\d+)? MB \(nothing/);
    expect(text).toMatch(/window +members now +at least, once the run is longer +apart/);
  });

  it('takes no file with a like name for the state of a trainer, nor an empty one', async () => {
    const newest = join(run, 'checkpoint-2000');
    for (const name of ['optimum_config.json', 'optimizer_config.json', 'optimal.bin', 'optimizer.pt', 'optim.md'])
      writeFileSync(join(newest, name), name === 'optimizer.pt' ? '' : '{}');
    // What may be a state and is none for sure is held beside the one that is.
    writeFileSync(join(run, 'checkpoint-1400', 'rng_state.pth'), 'x');
    writeFileSync(join(run, 'checkpoint-700', 'optimizer.bin'), 'x');
    const { keep: kept } = await plan({ budget: 11, windows: ['500steps', '2000steps'] });
    const why = Object.fromEntries(kept.map((one) => [one.step, one.why]));
    expect(why[2000]).not.toContain('the newest to resume from');
    expect(why[1400]).toContain("may hold a trainer's state");
    expect(why[700]).toContain('the newest to resume from');
  });

  it.each([
    ['latest', '/somewhere/else/run/checkpoint-300\n'],
    ['latest', 'checkpoint-300\0'],
    ['latest', '{"path": "/x/run/checkpoint-300", "time": 17}'],
    ['latest', '"checkpoint-300"'],
    ['latest', 'run/checkpoint-300/actor'],
    ['latest_checkpointed_iteration.txt', '\ufeff300\r\n'],
    ['latest.txt', '{"iteration": 300}'],
  ])('never lets go of what %s names as %j', async (name, text) => {
    writeFileSync(join(run, name), text);
    const { keep: kept } = await plan({ budget: 10 });
    expect(kept.find(({ step }) => step === 300)?.why).toContain(`${name} names it`);
  });

  it('looks at complete saves alone, and keeps the rest', async () => {
    rmSync(join(run, 'checkpoint-200', 'model.safetensors'));
    writeFileSync(join(run, 'checkpoint-200', 'model.safetensors'), 'torn');
    const report = await plan();
    expect(steps([...report.keep, ...report.delete])).not.toContain(200);
    expect(report.notes.join()).toContain('1 that are incomplete or damaged are not looked at');
  });

  it('of shares of the training at a constant ratio', async () => {
    const report = await plan({ windows: ['20%', '50%'], budget: 40 });
    expect(report).toMatchObject({ spacing: 'ratio', windows: [{ window: '20%' }, { window: '50%' }] });
    expect(report.windows[0]!.apart).toMatch(/^× 1\.0/);
  });

  it.each<[string, Partial<KeepOptions>, string]>([
    [
      'a budget that is too small, with the least',
      { budget: 5, atLeast: 5 },
      'budget 5 is too small: 5 members in each of 500steps, 2000steps need 9 saves at once',
    ],
    ['a window of fewer saves', { windows: ['300steps', '2000steps'] }, 'a window of 300steps holds 3 of the saves'],
    ['windows of two kinds', { windows: ['500steps', '10%'] }, 'are all tokens, all steps or all shares'],
    ['a ratio of lengths', { spacing: 'ratio' }, 'spacing ratio does not go with windows such as 500steps'],
    ['an even spacing of shares', { windows: ['10%'], spacing: 'uniform' }, 'spacing uniform does not go with windows such as 10%'],
    ['a window twice', { windows: ['500', '500steps'] }, 'names 500steps twice'],
    ['a window in checkpoints', { windows: ['5ckpt'] }, 'takes tokens, steps or shares'],
    ['no amount', { windows: ['soon'] }, 'soon'],
    ['all of the training', { windows: ['100%'] }, 'no share over 0 % and below 100 %'],
    ['none', { windows: [] }, 'names no window'],
    ['an interval in another unit', { saveEvery: '1B' }, 'saveEvery is in tokens, and windows are in steps'],
  ])('refuses %s', async (_, options, message) => {
    const error = await mergeError(() => plan(options));
    expect(error.code).toBe('E_OPTION');
    expect(error.message).toContain(message);
  });

  it('refuses what it cannot place', async () => {
    expect(await mergeError(() => plan({ windows: ['5B'] }))).toMatchObject({ code: 'E_NO_TOKENS' });
    expect(await mergeError(() => plan({ keepSteps: [150] }))).toMatchObject({ code: 'E_NO_MEMBERS' });
    expect(await mergeError(() => keep({ run: join(folder.path, 'none'), budget: 5, windows: ['5B'] }))).toMatchObject({
      code: 'E_NOT_FOUND',
    });
  });
});
