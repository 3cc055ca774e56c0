import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keep } from '../../../src/upkeep/keep/keep.ts';
import { LOOK_LINES, lookOf } from '../../../src/upkeep/keep/look-of.ts';
import { deletionScript, listedSaves, newestOf } from '../../../src/upkeep/keep/script.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';
import { writeRun } from '../../support/run-trees.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const NAMES = [
  "a\u001b' ; touch PWNED ; #",
  'c\u200ed',
  'sp ace',
  "quote'q",
  'dq"x$(touch PWNED)`touch PWNED`',
  'new\nline',
  'ends\u001b\n',
  '-rf',
  '~root',
  '*',
  '\u202ertl',
];

const TRACKER = 'latest_checkpointed_iteration.txt';

describe.each(['sh', 'bash'])('the lines that delete saves, run by %s', (shell) => {
  it('delete those that they name and nothing else, whatever these are called; again too', async () => {
    const run = join(folder.path, 'run');
    const others = Array.from({ length: 6 }, (_, i) => `checkpoint-${2000 + 100 * i}`);
    writeRun(run, [
      ...NAMES.map((name, i) => ({ name, step: 100 * (i + 1), files: { 'trainer_state.json': `{"global_step":${100 * (i + 1)}}` } })),
      ...others.map((name, i) => ({ name, step: 2000 + 100 * i })),
    ]);
    const report = await keep({ run, budget: 5, windows: ['300steps'], atLeast: 2, saveEvery: '100steps' });
    const going = report.delete.map(({ path }) => path.slice(run.length + 1));
    expect(going).toEqual(expect.arrayContaining(NAMES));
    for (const decoy of ['a', 'cd', 'ends']) mkdirSync(join(run, decoy));
    const script = deletionScript(await listedSaves(run, report.delete), newestOf(report))
      .map((line) => `${line}\n`)
      .join('');
    const left = () => readdirSync(run).sort();
    const before = left();
    for (const _ of [1, 2]) {
      expect(spawnSync(shell, ['-s'], { input: script, cwd: folder.path, encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
      expect(left()).toEqual(before.filter((name) => !going.includes(name)));
    }
    expect(readdirSync(folder.path)).toEqual(['run']);
  });

  it.each<[what: string, change: (run: string) => void, left: readonly string[], said: RegExp]>([
    ['nothing', () => {}, [], /^$/],
    ['a tracker that names another by its step', (run) => writeFileSync(join(run, TRACKER), '300\n'), ['checkpoint-300'], /names it now/],
    [
      'one that names another by a path',
      (run) => writeFileSync(join(run, 'latest'), '\ufeff/x/checkpoint-300'),
      ['checkpoint-300'],
      /latest names it now/,
    ],
    ['one that names a longer number', (run) => writeFileSync(join(run, TRACKER), '3000'), [], /^$/],
    ['a link that leads to another', (run) => symlinkSync('checkpoint-300', join(run, 'best')), ['checkpoint-300'], /best names it now/],
    ['a save that was written anew', (run) => writeFileSync(join(run, 'checkpoint-300', 'more'), ''), ['checkpoint-300'], /other files/],
    [
      'another save that was put in its place with the times that it had',
      (run) => {
        rmSync(join(run, 'checkpoint-300'), { recursive: true });
        cpSync(join(run, 'checkpoint-500'), join(run, 'checkpoint-300'), { recursive: true, preserveTimestamps: true });
        const older = new Date(Date.now() - 120_000);
        for (const name of ['optimizer.pt', 'model.safetensors', '.']) utimesSync(join(run, 'checkpoint-300', name), older, older);
      },
      ['checkpoint-300'],
      /other files, sizes or times/,
    ],
    ['a save that is gone', (run) => rmSync(join(run, 'checkpoint-300'), { recursive: true }), [], /^$/],
    [
      'a training that went back',
      (run) => rmSync(join(run, 'checkpoint-1200'), { recursive: true }),
      ['100', '200', '300', '400'].map((n) => `checkpoint-${n}`),
      /checkpoint-1200 is gone/,
    ],
  ])('a list in a file looks at the run as it is by then: %s', async (_, change, wanted, said) => {
    const run = join(folder.path, 'run');
    writeRun(
      run,
      Array.from({ length: 12 }, (_, i) => ({ name: `checkpoint-${100 * (i + 1)}`, step: 100 * (i + 1), files: { 'optimizer.pt': 'x' } })),
    );
    const old = new Date(Date.now() - 60_000);
    for (const name of readdirSync(run, { recursive: true }) as string[]) utimesSync(join(run, name), old, old);
    const report = await keep({ run, budget: 4, windows: ['300steps'], atLeast: 2, saveEvery: '100steps' });
    const going = report.delete.map(({ path }) => path.slice(run.length + 1));
    expect(going).toContain('checkpoint-300');
    const file = join(folder.path, 'delete.sh');
    writeFileSync(file, `${deletionScript(await listedSaves(run, report.delete), newestOf(report)).join('\n')}\n`);
    const soon = new Date(Date.now() - 5000);
    utimesSync(file, soon, soon);
    change(run);
    const { status, stderr } = spawnSync(shell, [file], { cwd: '/', encoding: 'utf8' });
    expect(stderr).toMatch(said);
    expect(status).toBe(wanted.length === 0 ? 0 : 1);
    const there = readdirSync(run);
    for (const name of wanted) expect(there).toContain(name);
    if (wanted.length < 2) expect(going.filter((name) => there.includes(name))).toEqual(wanted);
    else expect(going.filter((name) => !there.includes(name))).toEqual([]);
  });

  it('that were cut short in a removal go on with it when they are run again', async () => {
    const run = join(folder.path, 'run');
    writeRun(
      run,
      Array.from({ length: 8 }, (_, i) => ({ name: `checkpoint-${100 * (i + 1)}`, step: 100 * (i + 1) })),
    );
    const old = new Date(Date.now() - 60_000);
    for (const name of readdirSync(run, { recursive: true }) as string[]) utimesSync(join(run, name), old, old);
    const report = await keep({ run, budget: 4, windows: ['300steps'], atLeast: 2, saveEvery: '100steps' });
    const file = join(folder.path, 'delete.sh');
    writeFileSync(file, `${deletionScript(await listedSaves(run, report.delete), newestOf(report)).join('\n')}\n`);
    const first = report.delete[0]!.path.slice(run.length + 1);
    // As a removal leaves it that is killed after its first file.
    const killed = `rm() { command rm -f "$3/config.json" 2>/dev/null; [ -d "$3" ] && kill -9 $$; command rm "$@"; }\n`;
    writeFileSync(join(folder.path, 'killed.sh'), `${killed}${readFileSync(file, 'utf8')}`);
    expect(spawnSync(shell, [join(folder.path, 'killed.sh')]).signal).toBe('SIGKILL');
    expect(readdirSync(run)).toContain(`.${first}.going`);
    // A list that is made anew finds it, too.
    const again = await keep({ run, budget: 4, windows: ['300steps'], atLeast: 2, saveEvery: '100steps' });
    expect(again.delete.map(({ path }) => path)).not.toContain(report.delete[0]!.path);
    if (shell === 'sh') writeFileSync(file, `${deletionScript(await listedSaves(run, again.delete), newestOf(again)).join('\n')}\n`);
    expect(spawnSync(shell, [file], { encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
    expect(readdirSync(run).sort()).toEqual(report.keep.map(({ path }) => path.slice(run.length + 1)).sort());
  });
});

describe('what a save looks like', () => {
  it.each(['sh', 'bash'])('is the same in %s, whatever files are called; sizes, times and names of them make another', async (shell) => {
    const save = join(folder.path, 'save');
    mkdirSync(join(save, 'deep', 'empty'), { recursive: true });
    for (const [i, name] of [...NAMES, 'deep/model', 'é', 'Z', 'a.b', 'a-b'].entries()) {
      writeFileSync(join(save, name), 'x'.repeat(i * 37));
      utimesSync(join(save, name), 1_700_000_000 + i + 0.9999, 1_700_000_000 + i * 1000 + 0.99999);
    }
    symlinkSync('nowhere', join(save, 'link'));
    symlinkSync('save', join(folder.path, 'linked'));
    const inShell = (path: string) =>
      spawnSync(shell, ['-s'], { input: `${LOOK_LINES.join('\n')}\nlook_of ${path}\n`, cwd: folder.path, encoding: 'utf8' }).stdout.trim();
    const looks = new Set<string>();
    const look = async (path: string) => {
      const found = await lookOf(join(folder.path, path));
      expect(inShell(path)).toBe(found);
      looks.add(found);
      return found;
    };
    const first = await look('save');
    for (const path of ['linked', 'save/deep/model', 'save/deep/empty']) await look(path);
    utimesSync(join(save, 'Z'), 1, 1_600_000_000);
    await look('save');
    writeFileSync(join(save, 'é'), 'another');
    await look('save');
    rmSync(join(save, 'a-b'));
    await look('save');
    expect(looks.size).toBe(7);
    expect(first).toMatch(/^\d+ \d+$/);
  });
});
