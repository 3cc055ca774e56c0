import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/checkpoints.ts';
import { unpackGolden } from '../support/containers.ts';
import { runCli } from '../support/run-cli.ts';
import { SCORE_WEIGHTS, weightedRun } from '../support/weighted-run.ts';

const temporary = temporaryFolder();
afterAll(temporary.remove);
const cwd = temporary.path;
weightedRun(join(cwd, 'run'), 6);
const axes = ['--windows', '300steps', '--method', 'wma', '--controls', 'reverse', '--endpoints', '400,newest'];
const words = ['grid', 'run', ...axes, '-o', 'made', '--eval', `${SCORE_WEIGHTS} 0.2,0.3,0.5`, '--goal', 'maximize'];

describe('what a scored grid says before it does it', () => {
  it('counts with --dry-run the evaluations of the second set, as many as there come to be', async () => {
    const second = [...words, '--dir', 'second', '--validate', `${SCORE_WEIGHTS} 0.1,0.3,0.6`];
    const dry = async (...more: string[]) => (await runCli([...second, ...more, '--dry-run', '--json'], { cwd })).stdout;
    const before = JSON.parse(await dry()).scoring;
    // The newest, its mean, and the chosen one or two of what is no mean and no control.
    expect([before.evaluations, before.validation]).toEqual([8, { least: 3, most: 3 }]);
    expect((await runCli([...second, '--dry-run'], { cwd })).stdout.replaceAll(/\s+/g, ' ')).toContain(
      'would make 8 evaluations: the newest checkpoint, 1 other checkpoint, 2 plain means, 4 other outputs, then 3 on the second set',
    );
    expect((await runCli(second, { cwd })).code).toBe(0);
    const validated = readFileSync(join(cwd, 'second', 'validation.jsonl'), 'utf8')
      .trim()
      .split('\n');
    expect(validated).toHaveLength(3);
    expect(JSON.parse(await dry('--resume')).scoring).toMatchObject({ evaluations: 0, validation: { least: 0, most: 0 } });
    const other = [...second, '--resume', '--dry-run', '--json'].map((word) => word.replace('0.1,0.3,0.6', '0.2,0.2,0.6'));
    expect(JSON.parse((await runCli(other, { cwd })).stdout).scoring.validation).toEqual({ least: 3, most: 3 });
  });

  it('plans with --dry-run what the same command does, of a run that has lost endpoints and of what is in the way', async () => {
    const own = temporaryFolder();
    try {
      const at = { cwd: own.path };
      weightedRun(join(own.path, 'run'), 6);
      expect((await runCli(words, at)).code).toBe(0);
      for (const step of [400, 600]) rmSync(join(own.path, 'run', `checkpoint-${step}`), { recursive: true });
      const dry = await runCli([...words, '--resume', '--dry-run'], at);
      // The newest is step 500 now, of whose window a save is gone.
      expect([dry.code, dry.stderr, dry.stdout]).toEqual([
        0,
        expect.stringMatching(/^warning\[W_GRID_GONE\]: 2 merges .*step500-w300steps-wma, step500-w300steps-wma-reverse\n$/),
        expect.stringContaining('would make 1 evaluation: the newest checkpoint; 4 are scored already'),
      ]);
      expect(dry.stdout).not.toContain('step400');
      const run = await runCli([...words, '--resume'], at);
      expect([run.code, run.stderr.match(/^evaluating/gm)?.length, run.stderr.includes(dry.stderr)]).toEqual([0, 1, true]);
      weightedRun(join(own.path, 'run'), 6);
      const other = ['average', 'run/checkpoint-100', 'run/checkpoint-200', '-o', 'made/step600-w300steps-wma'];
      expect((await runCli(other, at)).code).toBe(0);
      const fresh = [...words, '--dir', 'fresh'];
      expect([(await runCli([...fresh, '--dry-run'], at)).code, (await runCli(fresh, at)).code]).toEqual([0, 0]);
      // What is to stay there is in the way of both.
      const keep = [...words, '--dir', 'other', '--keep'].map((word) => (word === '400,newest' ? 'newest' : word));
      const [dryKept, kept] = [await runCli([...keep, '--dry-run'], at), await runCli(keep, at)];
      expect([dryKept.code, kept.code, kept.stderr]).toEqual([kept.code, dryKept.code, expect.stringContaining('E_OUTPUT_EXISTS')]);
      expect(dryKept.stderr).toBe(kept.stderr);
    } finally {
      own.remove();
    }
  });

  it('says with --submit which models evaluators do not load, and what makes them safetensors', async () => {
    const own = temporaryFolder();
    try {
      unpackGolden('torchtitan', own.path);
      rmSync(join(own.path, 'torchtitan', 'checkpoint', 'step-201'), { recursive: true, force: true });
      const at = { cwd: own.path };
      const of = (output: string, ...more: string[]) => ['grid', 'torchtitan/checkpoint', '--windows', '2ckpt', '-o', output, ...more];
      const submit = ['--submit', '--eval', 'score "$MERGE_MODEL"'];
      expect((await runCli(of('dcp'), at)).code).toBe(0);
      const note = (await runCli(of('dcp', ...submit), at)).stderr.replaceAll(/\s+/g, ' ');
      expect(note).toContain('note: 2 of 2 models are no safetensors in one folder (step200, step200-w2ckpt-sma)');
      expect(note).toContain(
        'Make the grid with --format safetensors; for saves of the run, let the command make them first: merge convert',
      );
      expect((await runCli(of('st', '--format', 'safetensors'), at)).code).toBe(0);
      const saves = (await runCli(of('st', '--format', 'safetensors', ...submit), at)).stderr.replaceAll(/\s+/g, ' ');
      expect(saves).toContain('note: 1 of 2 models is no safetensors in one folder (step200)');
      expect(saves).toContain('Let the command make them first');
    } finally {
      own.remove();
    }
  });
});
