import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LogEntry } from '../../../src/checkpoints/types.ts';
import { resolveWeights } from '../../../src/recipe/schedule/resolve.ts';
import { membersAt } from '../../support/schedule-members.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'schedule-lr-curve-'));
});
afterAll(() => rm(folder, { recursive: true }));

const rates = (...points: [step: number, learningRate: number | null][]): LogEntry[] =>
  points.map(([step, learningRate]) => ({ step, learningRate, loss: 1 }));
const CONSTANT = rates([0, 0.01], [100, 0.01]);

async function resolve(steps: readonly (number | null)[], csv: string, log: readonly LogEntry[] | undefined) {
  const lrCurve = join(folder, 'curve.csv');
  await writeFile(lrCurve, csv);
  return resolveWeights(membersAt(steps), { method: 'lr-curve', lrCurve }, { log });
}
const expectClose = (actual: Iterable<number>, expected: readonly number[]) => {
  for (const [i, w] of [...actual].entries()) expect(w).toBeCloseTo(expected[i]!, 13);
  expect([...actual]).toHaveLength(expected.length);
};

describe('lr-curve', () => {
  it('the run’s own rate as the target is the newest checkpoint', async () => {
    const { weights, parameters, notes } = await resolve([10, 20, 30], 'step,lr\n0,0.01\n30,0.01\n', CONSTANT);
    expect([...weights]).toEqual([0, 0, 1]);
    expect(parameters).toEqual({ 'lr-curve': 'curve.csv' });
    expect(notes).toEqual([]);
  });

  it('w is the mean of target over used rate, step by step', async () => {
    // Target 1 − s/4 of the rate used; over (0, 2]: mean of 3/4, 2/4; over (2, 4]: mean of 1/4, 0.
    const { weights } = await resolve([0, 2, 4], '0,0.01\n4,0\n', CONSTANT);
    expectClose(weights, [0.375, 0.5, 0.125]);
  });

  it('divides by the rate really used, linear between logs', async () => {
    // Used 0.04 at 0 down to 0.02 at 4: 0.035, 0.03, 0.025, 0.02 at steps 1 to 4. Target 0.01 throughout...
    // falls in relation? It rises: refused.
    const log = rates([0, 0.04], [2, null], [4, 0.02]);
    await expect(resolve([0, 2, 4], '0,0.01\n4,0.01\n', log)).rejects.toMatchObject({
      code: 'E_DECAY',
      message: expect.stringContaining('over steps 3 to 4 the curve rises'),
    });
    // Target 0.035, 0.015, 0.0125, 0: ratios 1, 1/2, 1/2, 0; w = 3/4, 1/4.
    const { weights } = await resolve([0, 2, 4], '1,0.035\n2,0.015\n3,0.0125\n4,0\n', log);
    expectClose(weights, [0.25, 0.5, 0.25]);
  });

  it('holes in the members are in the mean, not in the count', async () => {
    const { weights, notes } = await resolve([0, 10, 20, 30, 80], '0,0.01\n80,0\n', CONSTANT);
    // Linear to zero at 80: w_i = 1 − (T_{i−1} + T_i + 1)/160.
    const w = [1, 1 - 11 / 160, 1 - 31 / 160, 1 - 51 / 160, 1 - 111 / 160, 0];
    expectClose(
      weights,
      w.slice(0, -1).map((x, i) => x - w[i + 1]!),
    );
    expect(notes[0]).toContain('step 30 weighs');
  });

  it('takes the log of a real run', async () => {
    const state = fileURLToPath(new URL('../../../demo/runs/dense/checkpoint-6000/trainer_state.json', import.meta.url));
    const { log_history } = JSON.parse(await readFile(state, 'utf8')) as {
      log_history: { step: number; learning_rate?: number; loss?: number }[];
    };
    const log = log_history.map(({ step, learning_rate, loss }) => ({ step, learningRate: learning_rate ?? null, loss: loss ?? null }));
    const steps = Array.from({ length: 6 }, (_, i) => 5000 + 200 * i);
    const { weights, sum } = await resolve(steps, 'step,lr\n5000,0.003\n6000,0\n', log);
    // Rate 0.003 throughout, so w_i = 1 − (200(2i − 1) + 1)/2000.
    const w = [1, ...[1, 2, 3, 4, 5].map((i) => 1 - (200 * (2 * i - 1) + 1) / 2000), 0];
    expectClose(
      weights,
      w.slice(0, -1).map((x, i) => x - w[i + 1]!),
    );
    expect(sum).toBeCloseTo(1, 14);
  });

  it('one member is the merge', async () => {
    expect([...(await resolve([10], '0,0.01\n', undefined)).weights]).toEqual([1]);
  });

  it.each<[string, string, string]>([
    ['above the run’s own rate', '0,0.01\n20,0.011\n40,0', "line 1: at step 11 the curve has 0.01055, above the run's own 0.01"],
    ['NaN', '0,0.01\n40,nan', 'line 2: "nan" is no learning rate'],
    ['negative', '0,0.01\n40,-1e-3', 'line 2: "-1e-3" is no learning rate'],
    ['infinite', '0,0.01\n40,1e999', 'line 2: "1e999" is no learning rate'],
    ['unsorted', 'step,lr\n0,0.01\n30,0.005\n20,0.004\n40,0', 'line 4: step 20 is not above step 30 of line 3'],
    ['a step twice', '0,0.01\n40,0.005\n40,0', 'line 3: step 40 is not above step 40 of line 2'],
    ['a broken step', '0,0.01\n12.5,0.005\n40,0', 'line 2: "12.5" is no step'],
    ['one column', '0,0.01\n40', 'line 2: "40" is not step,lr'],
    ['three columns', '0,0.01,1\n40,0,1', '2 problems'],
    ['empty', '# nothing\n', 'there are no lines of step,lr'],
    ['beginning late', '12,0.01\n40,0', 'line 1: the curve begins at step 12, and the members need it from step 11 on'],
    ['ending early', '0,0.01\n29,0', 'line 2: the curve ends at step 29, and the members need it up to step 30'],
    ['rising', '0,0.001\n40,0.009', 'line 1: over steps 21 to 30 the curve rises'],
  ])('a curve that is %s is refused', async (_, csv, message) => {
    await expect(resolve([10, 20, 30], csv, CONSTANT)).rejects.toMatchObject({
      code: 'E_DECAY',
      message: expect.stringContaining(message),
    });
  });

  it.each<[string, LogEntry[] | undefined, string]>([
    ['no log', undefined, 'the run has no log of it'],
    ['a log without rates', rates([10, null], [20, null]), 'the run has no log of it'],
    ['a log that begins late', rates([15, 0.01], [30, 0.01]), 'the log has it for steps 15 to 30, and the members need 11 to 30'],
    ['a log that ends early', rates([5, 0.01], [10, 0.01], [15, 0.01]), 'the members need 11 to 30'],
    ['a rate of zero', rates([5, 0.01], [15, 0], [30, 0.01]), "the run's own learning rate at step 15 is 0"],
  ])('%s is refused', async (_, log, message) => {
    await expect(resolve([10, 20, 30], '0,0.005\n40,0', log)).rejects.toMatchObject({
      code: 'E_DECAY',
      message: expect.stringContaining(message),
    });
  });

  it('the last logged rate holds for one logging interval', async () => {
    const { weights } = await resolve([10, 20, 30], '0,0.01\n40,0', rates([5, 0.01], [20, 0.01]));
    expect(weights.reduce((a, b) => a + b)).toBeCloseTo(1, 14);
  });

  it('needs steps', async () => {
    await expect(resolve([null, 20, 30], '0,0.01\n40,0', CONSTANT)).rejects.toMatchObject({ code: 'E_NO_POSITION' });
  });
});
