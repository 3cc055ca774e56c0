import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/checkpoints.ts';
import { runCli } from '../support/run-cli.ts';
import { SCORE_WEIGHTS, weightedRun } from '../support/weighted-run.ts';

const temporary = temporaryFolder();
afterAll(temporary.remove);
const cwd = temporary.path;
weightedRun(join(cwd, 'run'), 4);
const words = ['forecast', 'run', '--window', '2', '--eval', `${SCORE_WEIGHTS} 0.25,0.25,0.25,0.25`, '--goal', 'maximize'];

describe('merge forecast', () => {
  it('prints single and merged scores along the run, and keeps its state in a folder of the run’s name', async () => {
    const { code, stdout } = await runCli(words, { cwd });
    expect(code).toBe(0);
    // 1 - |w - 1/4|² is 1/4 alone and 3/4 for the mean of two.
    for (const step of [200, 300, 400]) expect(stdout).toMatch(new RegExp(`step ${step} +0\\.25\\d* +0\\.75\\d* +\\+0\\.5`));
    expect(stdout).toContain('estimate of the merged score');
    expect(stdout).not.toContain('decayed, by the calibration');
    expect(existsSync(join(cwd, 'run.forecast', 'trials.jsonl'))).toBe(true);
    const calibrated = await runCli([...words, '--resume', '--calibrate', '300=1.0', '400=1.25', '--json'], { cwd });
    expect(calibrated.code).toBe(0);
    expect(calibrated.stderr).not.toContain('evaluating');
    // Half a point of three quarters, and of one.
    expect(JSON.parse(calibrated.stdout).recovered.mean).toBeCloseTo((0.5 / 0.75 + 0.5) / 2, 6);
    const report = await runCli(['report', 'run.forecast'], { cwd });
    expect(report.stdout).toContain('merging recovered 0.583');
    expect(readFileSync(join(cwd, 'run.forecast', 'report.html'), 'utf8')).toContain('Forecast of the merged score');
  });

  it('of a short run slides a window of half of it, says so, and counts its evaluations', async () => {
    const short = words.filter((word, i) => word !== '--window' && words[i - 1] !== '--window');
    const { code, stdout, stderr } = await runCli([...short, '--dir', 'short.forecast', '--json'], { cwd });
    expect([code, JSON.parse(stdout).points.length]).toEqual([0, 3]);
    expect(stderr).toContain('there are 4 checkpoints: windows are of 2 of them');
    expect(stderr).toContain('evaluating trial 0 (1 of 6): ');
    // This evaluator gives no standard errors.
    const page = readFileSync(join(cwd, 'short.forecast', 'report.html'), 'utf8');
    expect(page).not.toContain('Error bars are');
  });

  it.each<[string, string[], number, RegExp]>([
    ['a window of all there is to slide along', [...words.slice(0, 3), '9', ...words.slice(4), '--dir', 'x'], 2, /Ask for --window 2,/],
    ['a folder that holds a forecast', words, 4, /holds a forecast with 6 scored trials/],
    ['no evaluator', ['forecast', 'run'], 2, /no evaluator is given/],
    ['a decay without a score', [...words, '--resume', '--calibrate', '300'], 2, /is not STEP=SCORE/],
    ['a decay far from every window', [...words, '--resume', '--calibrate', '9000=1'], 2, /step 9000/],
    [
      'a run that is too short',
      ['forecast', 'run', '--window', '10', '--eval', 'true'],
      2,
      /a window of 10 checkpoints does not fit: there are 4/,
    ],
  ])('refuses %s', async (_, argv, code, message) => {
    const result = await runCli(argv, { cwd });
    expect([result.code, result.stderr]).toEqual([code, expect.stringMatching(message)]);
  });
});
