import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/checkpoints.ts';
import { runCli } from '../support/run-cli.ts';
import { SCORE_WEIGHTS, weightedRun } from '../support/weighted-run.ts';

const temporary = temporaryFolder();
afterAll(temporary.remove);
const cwd = temporary.path;
weightedRun(join(cwd, 'run'), 6);
const axes = ['--windows', '300steps', '--method', 'wma', '--controls', 'reverse', '--endpoints', '400,newest'];
const scoring = ['--eval', `${SCORE_WEIGHTS} 0.2,0.3,0.5`, '--goal', 'maximize'];
const words = ['grid', 'run', ...axes, '-o', 'made', ...scoring];

describe('merge grid --eval', () => {
  it('prints scores by window, shape and endpoint with both conclusions, and remakes its page from trials', async () => {
    const { code, stdout, stderr } = await runCli(words, { cwd });
    expect([code, stderr]).toEqual([0, expect.stringContaining('evaluating trial 0 (1 of 8)')]);
    // 1 - |w - (0.2, 0.3, 0.5)|² of wma (1/6, 2/6, 3/6), in reverse, the newest and the mean.
    expect(stdout).toMatch(
      /^up to step 600: newest 0\.620000\n +300steps +plain mean +0\.95333\d* +\+0\.333 +–\n +wma +0\.99777\d* +\+0\.378 +\+0\.0444/m,
    );
    expect(stdout).toMatch(/wma, reverse +0\.7\d+/);
    expect(stdout).toContain('reverse and scramble are controls: none of them is taken');
    expect(stdout).toContain('Not judged: step600-w300steps-wma scored best');
    expect(stdout).toContain('Recipes are not judged');
    expect(existsSync(join(cwd, 'made'))).toBe(false);
    const page = readFileSync(join(cwd, 'made.scores', 'report.html'), 'utf8');
    expect(page).toContain('Is this recipe better?');
    const report = await runCli(['report', 'made.scores'], { cwd });
    expect(report.stdout).toContain('step600-w300steps-wma scored best');
    expect(readFileSync(join(cwd, 'made.scores', 'report.html'), 'utf8')).toContain('Is this output better?');
  });

  it('says with --dry-run which evaluations it would make, and which are scored already', async () => {
    const fresh = await runCli([...words, '--dir', 'none', '--dry-run'], { cwd });
    expect([fresh.code, fresh.stdout]).toEqual([
      0,
      expect.stringContaining('would make 8 evaluations: the newest checkpoint, 1 other checkpoint, 2 plain means, 4 other outputs\n'),
    ]);
    const more = words.map((word) => (word === '400,newest' ? '400,500,newest' : word));
    const grown = await runCli([...more, '--dry-run'], { cwd });
    expect(grown.stdout.replaceAll(/\s+/g, ' ')).toMatch(
      /would make 4 evaluations: 1 checkpoint, 1 plain mean, 2 other outputs; 8 are scored already in made\.scores; about [\d.]+ s at the pace of those; --resume goes on there/,
    );
    const document = JSON.parse((await runCli([...more, '--dry-run', '--resume', '--json'], { cwd })).stdout);
    expect(document).toMatchObject({
      schema: 'ckpt-merge/grid-plan',
      scoring: { evaluations: 4, newest: 0, checkpoints: 1, means: 1, outputs: 2, scored: 8, failed: 0, needsResume: false },
    });
    expect([existsSync(join(cwd, 'made')), existsSync(join(cwd, 'none'))]).toEqual([false, false]);
  });

  it('plans a scoring as what is evaluated: merges are removed, and nothing is written to its folder', async () => {
    const { stdout } = await runCli([...words, '--dir', 'none', '--dry-run'], { cwd });
    expect(stdout).toMatch(/^would make 8 evaluations/);
    expect(stdout).not.toContain('would make 4 outputs');
    expect(stdout).not.toContain('writes');
    expect(stdout).toMatch(/merges of [\d.]+ k?B each, made as there is room for them and removed once they are scored/);
    const kept = await runCli([...words, '--dir', 'none', '--keep', '--dry-run'], { cwd });
    expect(kept.stdout).toMatch(/^would make 8 evaluations[\s\S]*\nwould make 4 outputs in 1 read[\s\S]*writes/);
  });

  it('refuses a folder for trials before --keep makes anything', async () => {
    mkdirSync(join(cwd, 'own'));
    writeFileSync(join(cwd, 'own', 'report.html'), 'mine');
    for (const [dir, says] of [
      ['own', 'report.html'],
      ['run', 'is the run itself'],
      ['made.scores', '--resume'],
    ] as const) {
      const { code, stderr } = await runCli(['grid', 'run', ...axes, '-o', 'kept', ...scoring, '--dir', dir, '--keep'], { cwd });
      expect([code === 0, stderr]).toEqual([false, expect.stringContaining(says)]);
      expect(existsSync(join(cwd, 'kept')), dir).toBe(false);
    }
  });

  it('goes on with --resume, keeps with --keep, and takes a folder of scores instead', async () => {
    const again = await runCli([...words, '--resume', '--keep', '--json'], { cwd });
    expect([again.code, again.stderr.includes('evaluating')]).toEqual([0, false]);
    const document = JSON.parse(again.stdout);
    expect(readdirSync(join(cwd, 'made')).sort()).toEqual(document.outputs.map(({ name }: { name: string }) => name).sort());
    mkdirSync(join(cwd, 'scores'));
    for (const { name, score } of [...document.outputs, ...document.references])
      writeFileSync(join(cwd, 'scores', `${name}.json`), JSON.stringify({ score }));
    const given = await runCli(['grid', 'run', ...axes, '-o', 'other', '--scores', 'scores', '--goal', 'maximize'], { cwd });
    expect([given.code, given.stdout]).toEqual([0, expect.stringContaining('step600-w300steps-wma scored best')]);
    expect(given.stdout).not.toContain('trials  ');
    expect(given.stdout).not.toContain(' evaluating');
    expect(existsSync(join(cwd, 'other.given', 'report.html'))).toBe(true);
    // Beside the trials of its own of the same grid.
    const beside = await runCli(['grid', 'run', ...axes, '-o', 'made', '--scores', 'scores', '--goal', 'maximize'], { cwd });
    expect(beside.code).toBe(0);
    writeFileSync(join(cwd, 'scores', 'step600.json'), '{"scor": 1}');
    const broken = await runCli(['grid', 'run', ...axes, '-o', 'made', '--scores', 'scores', '--goal', 'maximize'], { cwd });
    expect([broken.code === 0, broken.stderr]).toEqual([false, expect.stringContaining('step600.json')]);
    expect(broken.stderr).not.toContain('A CSV of step');
  });

  it('prints the job array that has another pipeline score it, whose results --scores takes', async () => {
    const command = `mkdir -p results; ${SCORE_WEIGHTS.replace('{model}', '"$MERGE_MODEL"')} 0.2,0.3,0.5 > "results/$MERGE_NAME.json"`;
    const submitted = await runCli(['grid', 'run', ...axes, '-o', 'made', '--eval', command, '--submit'], { cwd });
    expect([submitted.code, submitted.stderr]).toEqual([0, expect.stringContaining('6 models')]);
    expect(submitted.stdout).toContain('#SBATCH --array=0-5');
    for (let task = 0; task < 6; task++)
      execFileSync('bash', ['-c', submitted.stdout], { cwd, env: { ...process.env, SLURM_ARRAY_TASK_ID: String(task) } });
    // What has a result is left out, also under another name of the same merge; what is torn or missing is not.
    const left = async () => {
      const command = '{ cat "$MERGE_MODEL/config.json" > /dev/null && echo 0.5; } > "more/results/$MERGE_NAME.json"';
      return runCli(['grid', 'run', ...axes, '-o', 'made', '--eval', command, '--submit', '--scores', 'more/results'], { cwd });
    };
    const all = await left();
    expect([all.code, all.stdout.match(/--array=\S+/)?.[0], all.stdout]).toEqual([
      0,
      '--array=0-5',
      expect.stringContaining('\nmkdir -p -- more/results || exit\n'),
    ]);
    for (const task of [0, 1, 2])
      execFileSync('bash', ['-c', all.stdout], { cwd, env: { ...process.env, SLURM_ARRAY_TASK_ID: String(task) } });
    writeFileSync(join(cwd, 'more', 'results', 'step600.json'), '{"score": ');
    const some = await left();
    expect([some.stderr, some.stdout.match(/--array=\S+/)?.[0], some.stdout.includes('step600 ')]).toEqual([
      expect.stringContaining('4 models;'),
      '--array=0-3',
      true,
    ]);
    for (const task of [0, 1, 2, 3])
      execFileSync('bash', ['-c', some.stdout], { cwd, env: { ...process.env, SLURM_ARRAY_TASK_ID: String(task) } });
    expect(await left()).toMatchObject({ code: 0, stdout: '', stderr: expect.stringContaining('nothing is left to score') });
    const words = ['grid', 'run', ...axes, '-o', 'made', '--scores', 'results', '--dir', 'given', '--goal', 'maximize', '--json'];
    const { code, stdout } = await runCli(words, { cwd });
    const whole = JSON.parse(readFileSync(join(cwd, 'made.scores', 'result.json'), 'utf8'));
    const scores = ({ outputs }: typeof whole) => outputs.map(({ name, score }: { name: string; score: number }) => [name, score]);
    expect([code, scores(JSON.parse(stdout))]).toEqual([0, scores(whole)]);
  });
});
