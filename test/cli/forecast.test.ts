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

  it.each<[string, string[], number, RegExp]>([
    ['a folder that holds a forecast', words, 4, /holds a forecast with 6 scored trials/],
    ['no evaluator', ['forecast', 'run'], 2, /no evaluator is given/],
    ['a decay without a score', [...words, '--resume', '--calibrate', '300'], 2, /is not STEP=SCORE/],
    ['a decay far from every window', [...words, '--resume', '--calibrate', '9000=1'], 2, /step 9000/],
    ['a run that is too short', ['forecast', 'run', '--eval', 'true'], 2, /a window of 10 checkpoints does not fit: there are 4/],
  ])('refuses %s', async (_, argv, code, message) => {
    const result = await runCli(argv, { cwd });
    expect([result.code, result.stderr]).toEqual([code, expect.stringMatching(message)]);
  });
});
