import { existsSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { main } from '../../src/cli/main.ts';
import type { Provenance } from '../../src/merge/record/provenance.ts';
import { temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';
import { fakeTerminal } from '../support/fake-terminal.ts';
import { SCORE_WEIGHTS, weightedRun } from '../support/weighted-run.ts';

const temporary = temporaryFolder();
const cwd = temporary.path;
afterAll(temporary.remove);

const file = (run: string, step: number) => join(cwd, run, `checkpoint-${step}`, 'model.safetensors');
function writeRun(run: string, steps: readonly number[]): void {
  for (const step of steps) {
    writeCheckpoint(join(cwd, run, `checkpoint-${step}`), [[{ name: 'lm_head.weight', dtype: 'BF16', shape: [64, 8] }]], step);
  }
}
/** The command line in this process; `./` is the folder of this test, and so is what is printed of it. */
async function cli(...words: string[]) {
  const terminal = fakeTerminal();
  const code = await main(
    words.map((word) => (word.startsWith('./') ? join(cwd, word) : word)),
    terminal,
  );
  const plain = (text: string) => text.replaceAll(`${cwd}/`, '');
  return { code, stdout: plain(terminal.written.out), stderr: plain(terminal.written.err) };
}
const documentOf = async (...words: string[]) => JSON.parse((await cli(...words, '--json')).stdout);
const codesOf = ({ warnings }: { warnings: readonly { code: string }[] }) => warnings.map(({ code }) => code);

beforeAll(() => {
  writeRun('run', [9000, 9100, 9200, 9300, 9400]);
  truncateSync(file('run', 9200), 600);
  rmSync(file('run', 9300));
  writeFileSync(file('run', 9400), 'version https://git-lfs.github.com/spec/v1\n');
});
const REPORT = {
  asked: 4,
  found: 2,
  leftOut: [9200, 9300, 9400].map((step) => ({ name: `checkpoint-${step}`, step, newer: true, reason: expect.any(String) })),
};

describe('the newest checkpoints of a run are broken', () => {
  it('average says so first, in its document, in provenance and card', async () => {
    const { code, stderr } = await cli('average', './run', '--last', '4', '-o', './out');
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /warning\[W_LEFT_OUT_MEMBERS\]: run: 3 checkpoints are newer than the newest member, step 9100, and are left out; there are 2 members, 2 of 4 asked for\n {2}checkpoint-9200: incomplete: .*\n {2}checkpoint-9300: .*\n {2}checkpoint-9400: /,
    );
    const result = await documentOf('average', './run', '--last', '4', '-o', './out', '--force');
    expect(codesOf(result)).toEqual(['W_LEFT_OUT_MEMBERS']);
    expect(result.outputs[0]).toMatchObject(REPORT);
    const provenance = JSON.parse(readFileSync(join(cwd, 'out/merge_provenance.json'), 'utf8')) as Provenance;
    expect(codesOf(provenance)).toEqual(['W_LEFT_OUT_MEMBERS']);
    expect(provenance.selection).toEqual(REPORT);
    const card = readFileSync(join(cwd, 'out/README.md'), 'utf8');
    expect(card).toContain(
      '2 of the 4 checkpoints that were to be in it are. A checkpoint that is newer than the newest of them could not be used.',
    );
    expect(card).toMatch(/^\| checkpoint-9300 \| 9300 \| incomplete: /m);
  });

  it('and so do plan, run, diff and watch', async () => {
    const planned = await documentOf('plan', './run', '--last', '4', '-o', './planned');
    expect(planned.outputs[0]).toMatchObject(REPORT);
    expect(codesOf(planned)).toEqual(['W_LEFT_OUT_MEMBERS']);
    writeFileSync(join(cwd, 'recipe.yaml'), 'inputs: ./run\noutputs: [{ path: by-recipe, select: { last: 4 } }]\n');
    const ran = await documentOf('run', './recipe.yaml', '--dry-run');
    expect([codesOf(ran), ran.outputs[0].leftOut.length]).toEqual([['W_LEFT_OUT_MEMBERS'], 3]);
    const compared = await documentOf('diff', './run', '--last', '4');
    expect(compared).toMatchObject({ ...REPORT, warnings: [{ code: 'W_LEFT_OUT_MEMBERS' }] });
    // A watch's window ends at the newest complete one; what is broken in it is said.
    writeRun('watched', [9000, 9100, 9200]);
    truncateSync(file('watched', 9100), 600);
    const words = ['watch', './watched', '--once', '--settle', '0', '-o', './merges'];
    expect((await documentOf(...words)).merges[0].leftOut).toMatchObject([{ name: 'checkpoint-9100', newer: false }]);
    const accumulated = await documentOf(...words.slice(0, -1), './accumulated', '--accumulate', 'ema');
    expect(accumulated.merges.map(({ step, leftOut }: { step: number; leftOut: unknown[] }) => [step, leftOut.length])).toEqual([
      [9000, 0],
      [9200, 1],
    ]);
    const idle = await cli(...words);
    expect([idle.code, idle.stdout]).toEqual([0, '']);
    expect(idle.stderr).toContain(
      'nothing is due: the run has 2 complete checkpoints up to checkpoint-9200, and no window of them is left to merge: each is merged once, with the options of then, and other options are for what comes (--output with another folder merges them anew); 1 more cannot be used yet, or at all\n',
    );
  });

  it('strict refuses, and writes nothing', async () => {
    for (const words of [
      ['average', './run', '--last', '4', '-o', './strict'],
      ['diff', './run', '--last', '4'],
      ['soup', './run', '--eval', 'true', '-o', './strict'],
    ]) {
      const { code, stderr } = await cli(...words, '--strict');
      expect([code, stderr]).toEqual([3, expect.stringContaining('error[E_STRICT]: run: 3 checkpoints are newer than the newest member')]);
    }
    expect(existsSync(join(cwd, 'strict'))).toBe(false);
    expect((await cli('average', './run', '--steps', '9000,9100', '-o', './sound', '--strict')).code).toBe(0);
  });

  it('a soup says it, and its output is told of it', async () => {
    weightedRun(join(cwd, 'weighted'), 3);
    truncateSync(file('weighted', 300), 20);
    const words = ['soup', './weighted', '--eval', `${SCORE_WEIGHTS} 0.5,0.5`, '--goal', 'maximize', '-o', './best'];
    expect(await documentOf(...words)).toMatchObject({ asked: 3, found: 2, warnings: [{ code: 'W_LEFT_OUT_MEMBERS' }] });
    expect(readFileSync(join(cwd, 'best/README.md'), 'utf8')).toContain('2 of the 3 checkpoints that were to be in it');
  });
});

describe('members that are not what they should be', () => {
  it('a single one is a copy', async () => {
    const { stdout, stderr } = await cli('average', './run', '--from', '9100', '--to', '9150', '-o', './copy');
    expect(stdout).toContain('  one member: a copy of step 9100\n');
    expect(stderr).toContain('warning[W_ONE_MEMBER]: run: one checkpoint takes part (no more meet the conditions)');
  });

  it('a later step is older on disk: average and ls say so, of a run and of checkpoints named one by one', async () => {
    writeRun('branch', [9000, 9100, 9150, 9200]);
    for (const [i, step] of [9000, 9200, 9100, 9150].entries()) utimesSync(file('branch', step), 1e9 + 1e5 * i, 1e9 + 1e5 * i);
    const named = [9100, 9150, 9200].map((step) => `./branch/checkpoint-${step}`);
    const said = [
      await documentOf('ls', './branch'),
      await documentOf('plan', './branch', '--last', '3', '-o', './never'),
      await documentOf('plan', './branch/checkpoint-9000', ...named, '-o', './never'),
    ];
    for (const document of said) {
      expect(document.warnings).toEqual([
        { code: 'W_ABANDONED_BRANCH', message: expect.stringMatching(/^step 9200 was saved long before/) },
      ]);
    }
    expect(codesOf(await documentOf('plan', './branch', '--to', '9150', '-o', './never'))).toEqual([]);
  });

  it('zeros in one member only, and a download in progress', async () => {
    writeRun('fetched', [9000, 9100, 9200]);
    const bytes = readFileSync(file('fetched', 9100));
    writeFileSync(file('fetched', 9100), bytes.fill(0, bytes.length - 1024));
    writeFileSync(`${file('fetched', 9100)}.aria2`, '');
    const { warnings } = await documentOf('plan', './fetched', '-o', './never');
    expect(warnings).toEqual([
      {
        code: 'W_DOWNLOADING',
        message: expect.stringContaining('checkpoint-9100 is still being downloaded, or was not to its end (model.safetensors.aria2)'),
      },
      {
        code: 'W_ZEROS',
        message: expect.stringContaining('checkpoint-9100 holds zeros where no other member does, in 1 tensor (lm_head.weight)'),
      },
    ]);
  });

  it('a window that is wide for the training so far, by glob and of a run', async () => {
    writeRun('early', [100, 200, 300]);
    for (const words of [['./early'], [100, 200, 300].map((step) => `./early/checkpoint-${step}`)]) {
      expect(codesOf(await documentOf('plan', ...words, '-o', './never'))).toEqual(['W_WINDOW_WIDE']);
    }
    expect(codesOf(await documentOf('diff', './early'))).toEqual([]);
  });
});
