import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keep } from '../../../src/upkeep/keep/keep.ts';
import { deletionLines } from '../../../src/upkeep/keep/text.ts';
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
    const script = deletionLines(report.delete.map(({ path }) => path))
      .map((line) => `${line}\n`)
      .join('');
    const left = () => readdirSync(run).sort();
    const before = left();
    for (const _ of [1, 2]) {
      execFileSync(shell, ['-s'], { input: script, cwd: folder.path });
      expect(left()).toEqual(before.filter((name) => !going.includes(name)));
    }
    expect(readdirSync(folder.path)).toEqual(['run']);
  });
});
