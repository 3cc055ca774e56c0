import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runCli } from '../support/run-cli.ts';
import { temporaryFolder } from '../support/safetensors.ts';
import { weightedRun } from '../support/weighted-run.ts';

function place(recipe: string): string {
  const folder = temporaryFolder();
  weightedRun(join(folder, 'runs/a'), 3);
  mkdirSync(join(folder, 'recipes'));
  writeFileSync(join(folder, 'recipes/r.yaml'), recipe);
  writeFileSync(join(folder, 'decay.txt'), '0.7 0.3\n');
  return folder;
}
const WITHIN = 'inputs: [a]\noutputs: [{path: out}]\n';
const outside = (out: string) => `inputs: [../runs/a]\noutputs: [{path: ${out}, method: wsm, decay-file: ../decay.txt}]\n`;

describe('what a recipe names outside its folder', () => {
  it('is said in the plan, in one line, and outputs are a warning', async () => {
    const elsewhere = join(temporaryFolder(), 'out');
    const folder = place(outside(elsewhere));
    const { code, stdout, stderr } = await runCli(['run', 'recipes/r.yaml', '--dry-run'], { cwd: folder });
    expect(code, stderr).toBe(0);
    expect(stdout.split('\n').filter((line) => line.includes('outside'))).toEqual([
      `  outside the recipe's folder: inputs runs/a; decay-file decay.txt; outputs ${elsewhere}`,
    ]);
    expect(stderr).toContain(`warning[W_OUTSIDE_RECIPE]: the recipe writes outside the folder that it lies in: ${elsewhere}\n`);
    const json = await runCli(['run', 'recipes/r.yaml', '--dry-run', '--json'], { cwd: folder });
    expect(JSON.parse(json.stdout).outside).toEqual([
      { what: 'inputs', path: 'runs/a', beside: true },
      { what: 'decay-file', path: 'decay.txt', beside: true },
      { what: 'outputs', path: elsewhere },
    ]);
  });

  it('is warned of when it is made, and an output of the command line is not the recipe’s', async () => {
    const elsewhere = join(temporaryFolder(), 'out');
    const folder = place(outside(elsewhere));
    const made = await runCli(['run', 'recipes/r.yaml'], { cwd: folder });
    expect(made.code, made.stderr).toBe(0);
    expect(made.stderr.match(/W_OUTSIDE_RECIPE/g)).toHaveLength(1);
    const other = await runCli(['run', 'recipes/r.yaml', '-o', 'own'], { cwd: folder });
    expect(other.code, other.stderr).toBe(0);
    expect(other.stderr).not.toContain('W_OUTSIDE_RECIPE');
  });

  it('beside it is said, and no warning: so lies the output of a merge that is made again', async () => {
    const folder = place(outside('../out'));
    const { code, stdout, stderr } = await runCli(['run', 'recipes/r.yaml', '--dry-run'], { cwd: folder });
    expect([code, stderr]).toEqual([0, expect.not.stringContaining('W_OUTSIDE_RECIPE')]);
    expect(stdout).toContain('outputs out');
  });

  it('is nothing where all lies in it', async () => {
    const folder = temporaryFolder();
    weightedRun(join(folder, 'recipes/a'), 3);
    writeFileSync(join(folder, 'recipes/r.yaml'), WITHIN);
    const { code, stdout, stderr } = await runCli(['run', 'recipes/r.yaml', '--dry-run'], { cwd: folder });
    expect([code, stderr]).toEqual([0, expect.not.stringContaining('W_OUTSIDE_RECIPE')]);
    expect(stdout).not.toContain('outside');
  });
});
