import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeCheckpoint } from '../support/checkpoints.ts';
import { runHere } from '../support/fake-terminal.ts';
import { BIN } from '../support/run-cli.ts';
import { type Slurm, startSlurm, withoutSlurm } from '../support/slurm.ts';

const reason = withoutSlurm();
if (reason !== null) console.log(`tests on Slurm are skipped: ${reason}`);

describe.skipIf(reason !== null)('on four nodes of Slurm', () => {
  let slurm: Slurm;
  let folder: string;

  beforeAll(async () => {
    slurm = await startSlurm();
    folder = mkdtempSync(join(tmpdir(), 'merge-on-slurm-'));
  });
  afterAll(async () => {
    await slurm?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('a step says to each of its tasks who it is', async () => {
    const { code, stdout } = await slurm.run('srun', ['-N4', '-n4', '--label', 'printenv']);
    expect(code).toBe(0);
    const tasks = [0, 1, 2, 3].map((rank) => variables(stdout, `${rank}: `));
    expect(tasks.map(({ SLURM_PROCID }) => SLURM_PROCID)).toEqual(['0', '1', '2', '3']);
    for (const task of tasks)
      expect(task).toMatchObject({ SLURM_STEP_NUM_TASKS: '4', SLURM_NTASKS: '4', SLURM_STEP_NUM_NODES: '4', SLURM_LOCALID: '0' });
  });

  it('a batch script looks like the first of several tasks, and is no step', async () => {
    const script = join(folder, 'trap.sh');
    writeFileSync(script, `#!/bin/sh\n#SBATCH -N4 -n4 --output=${folder}/trap.log\nprintenv\n`);
    const { stdout } = await slurm.run('sbatch', ['--parsable', script]);
    expect(await slurm.ended(stdout.trim())).toContain('JobState=COMPLETED');
    const batch = variables(readFileSync(join(folder, 'trap.log'), 'utf8'), '');
    expect(batch).toMatchObject({ SLURM_PROCID: '0', SLURM_NTASKS: '4' });
    expect(batch).not.toHaveProperty('SLURM_STEP_NUM_TASKS');
  });

  it('a submitted recipe is what one process makes, and each of its outputs is evaluated', async () => {
    // What a shell, sbatch and Slurm's patterns of names each take for something else.
    const cwd = join(folder, 'it\'s a "run", 100% #1 $HOME');
    mkdirSync(cwd);
    for (const step of [100, 200, 300])
      writeCheckpoint(join(cwd, 'run', `checkpoint-${step}`), [[{ name: 'lm_head.weight', dtype: 'BF16', shape: [640, 80] }]], step);
    writeFileSync(
      join(cwd, 'recipe.yaml'),
      'inputs: [run]\noutputs:\n  - {path: "the $first", select: {last: 2}}\n  - {path: second, method: wma}\n',
    );
    const submitted = await slurm.run(
      process.execPath,
      [BIN, 'submit', 'slurm', '--nodes', '3', '--json', '--then', 'ls {model} >"$MERGE_MODEL.seen"', '--', 'run', 'recipe.yaml'],
      { cwd },
    );
    expect(submitted).toMatchObject({ code: 0 });
    const { job, log, after, look } = JSON.parse(submitted.stdout);
    const [program, ...words] = look.split(' ');
    expect((await slurm.run(program, words)).code).toBe(0);
    expect(await slurm.ended(job)).toContain('JobState=COMPLETED');
    expect(readFileSync(log, 'utf8')).toMatch(/merged|finished already/);
    expect(await slurm.ended(`${after.job}_0`)).toContain('JobState=COMPLETED');
    expect(await slurm.ended(`${after.job}_1`)).toContain('JobState=COMPLETED');
    for (const output of ['the $first', 'second']) {
      expect(readFileSync(join(cwd, `${output}.seen`), 'utf8')).toContain('model.safetensors\n');
    }
    // The names of the outputs are the recipe's.
    mkdirSync(join(cwd, 'alone'));
    writeFileSync(join(cwd, 'alone', 'recipe.yaml'), readFileSync(join(cwd, 'recipe.yaml'), 'utf8').replace('[run]', '[../run]'));
    expect((await runHere(['run', 'alone/recipe.yaml', '-q'], cwd)).code).toBe(0);
    for (const output of ['the $first', 'second'])
      expect(readFileSync(join(cwd, output, 'model.safetensors'))).toEqual(readFileSync(join(cwd, 'alone', output, 'model.safetensors')));
  });
});

/** Variables of lines that begin so. */
function variables(text: string, start: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    text.split('\n').flatMap((line) => {
      const found = line.startsWith(start) ? /^(\w+)=(.*)$/.exec(line.slice(start.length)) : null;
      return found === null ? [] : [[found[1]!, found[2]!]];
    }),
  );
}
