import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/checkpoints.ts';
import { runCli } from '../support/run-cli.ts';
import { SCORE_WEIGHTS, weightedRun } from '../support/weighted-run.ts';

const temporary = temporaryFolder();
afterAll(temporary.remove);
const cwd = temporary.path;
weightedRun(join(cwd, 'run'), 3);

describe('merge soup', () => {
  it('makes the soup, tells how it came about, and goes on with nothing to do', async () => {
    const words = ['soup', 'run', '--eval', `${SCORE_WEIGHTS} 0.1,0.5,0.4`, '--goal', 'maximize', '-o', 'best'];
    const { code, stdout, stderr } = await runCli(words, { cwd });
    expect(code).toBe(0);
    expect(stdout).toContain('Greedy soup: 2 of 3 kept');
    expect(stdout).toMatch(/step 100 .* left out/);
    expect(stdout).toContain(join('best.search', 'report.html'));
    expect(stderr).toContain('evaluating trial 0 (1 of 6): the newest checkpoint');
    expect(stderr).toMatch(/evaluating trial 1 \(2 of 6; best so far \S+ of trial 0; about \d+ s left\): a checkpoint alone, step 100/);
    expect(existsSync(join(cwd, 'best', 'model.safetensors'))).toBe(true);
    const again = await runCli([...words, '--resume', '--json'], { cwd });
    expect(again.code).toBe(0);
    expect(again.stderr).not.toContain('evaluating');
    const document = JSON.parse(again.stdout);
    expect(document).toMatchObject({ schema: 'ckpt-merge/search', kind: 'soup', merges: 0 });
    expect(document.greedy.tried.map(({ step, added }: { step: number; added: boolean }) => [step, added])).toEqual([
      [200, true],
      [300, true],
      [100, false],
    ]);
    const report = await runCli(['report', 'best.search', '-o', 'page.html', '-q'], { cwd });
    expect([report.code, report.stdout]).toEqual([0, 'page.html\n']);
  });

  it('needs an evaluator and an output, and two checkpoints', async () => {
    const refused = async (...words: string[]) => {
      const { code, stderr } = await runCli(['soup', ...words], { cwd });
      return [code, stderr.split('\n')[0]];
    };
    expect(await refused('run', '-o', 'x')).toEqual([2, 'error[E_USAGE]: no evaluator is given']);
    expect(await refused('run', '--eval', 'true')).toEqual([2, 'error[E_USAGE]: no output is given']);
    expect(await refused('run', '--eval', 'true', '-o', 'x', '--last', '1')).toEqual([
      2,
      expect.stringContaining('at least two checkpoints'),
    ]);
  });
});
