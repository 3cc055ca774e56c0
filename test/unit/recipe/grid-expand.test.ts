import { describe, expect, it } from 'vitest';
import type { Run } from '../../../src/checkpoints/run/types.ts';
import { armsRecipe } from '../../../src/recipe/grid/compile.ts';
import { expandGrid } from '../../../src/recipe/grid/expand.ts';
import type { Grid, GridArm } from '../../../src/recipe/grid/types.ts';
import { checkpointAt, logOfRates, runOf, runOfSteps, stepsFrom } from '../../support/run-objects.ts';

/** Forty saves, 25B tokens apart: 1,000 steps of 25M. */
const RUN = runOfSteps(stepsFrom(1000, 1000, 40), 25e6);

const arms = async (grid: Partial<Grid>, run: Run = RUN, recorded = {}) =>
  (await expandGrid({ run: '/run', windows: '125B', ...grid }, run, recorded)).arms;
const names = (found: readonly Pick<GridArm, 'name'>[]) => found.map(({ name }) => name);
const aliases = (arm: GridArm) => names(arm.same);
const steps = (arm: GridArm | undefined) => arm?.members.map(({ step }) => step);

describe('windows', () => {
  it('are half-open: of 125B up to 1T the save at 875B is none', async () => {
    const [arm] = await arms({});
    expect(steps(arm)).toEqual([36_000, 37_000, 38_000, 39_000, 40_000]);
  });

  it('are in tokens, steps or checkpoints', async () => {
    const found = await arms({ windows: ['50B', '3000steps', '4ckpt'] });
    expect(found.map((arm) => [arm.name, arm.members.length])).toEqual([
      ['step40000-w50B-sma', 2],
      ['step40000-w3000steps-sma', 3],
      ['step40000-w4ckpt-sma', 4],
    ]);
  });

  it('take every so many saves, counted back from their ends', async () => {
    const found = await arms({ windows: ['125B', '150B'], strides: [1, 2, 3] });
    expect(found.map((arm) => [arm.name, steps(arm)!.map((step) => step / 1000)])).toEqual([
      ['step40000-w125B-sma', [36, 37, 38, 39, 40]],
      ['step40000-w125B-sma-stride2', [36, 38, 40]],
      ['step40000-w125B-sma-stride3', [37, 40]],
      ['step40000-w150B-sma', [35, 36, 37, 38, 39, 40]],
    ]);
    // (850B, 1T] by twos and by threes is what (875B, 1T] is by these.
    expect(aliases(found[1]!)).toEqual(['step40000-w125B-sma-stride2', 'step40000-w150B-sma-stride2']);
    expect(aliases(found[2]!)).toEqual(['step40000-w125B-sma-stride3', 'step40000-w150B-sma-stride3']);
  });

  it('that are wider than the run so far are left out, and said', async () => {
    const { arms: found, left } = await expandGrid({ run: '/run', windows: ['100B', '600B'], endpoints: 'every:500B' }, RUN);
    expect(names(found)).toEqual(['step20000-w100B-sma', 'step40000-w100B-sma', 'step40000-w600B-sma']);
    expect(left).toEqual([
      { name: 'step20000-w600B', reason: 'a window of 600B tokens is wider than the run, which is 500B tokens long there' },
    ]);
  });

  it('of whose beginning the run has no saves are left out: they would be narrower than their names', async () => {
    const run = runOfSteps(stepsFrom(30_000, 1000, 11), 25e6);
    const { arms: found, left } = await expandGrid({ run: '/run', windows: '200B', endpoints: ['800B', 'newest'] }, run);
    expect(names(found)).toEqual(['step40000-w200B-sma']);
    expect(left).toEqual([{ name: 'step32000-w200B', reason: 'the saves begin 150B tokens after the window does' }]);
  });

  it('that fit nowhere are refused', async () => {
    await expect(arms({ windows: ['100B', '2T'] })).rejects.toMatchObject({
      code: 'E_NO_MEMBERS',
      message: '/run: the window 2T fits at no endpoint: a window of 2T tokens is wider than the run, which is 1T tokens long there',
    });
  });

  it('count saves that cannot be used as places, and say that they lack them', async () => {
    const broken = [
      { path: '/run/step38000', name: 'step38000', stage: null, ingredient: null, step: 38_000, tokens: null, reason: 'truncated' },
    ];
    const run = runOf(
      RUN.checkpoints.filter(({ step }) => step !== 38_000),
      { broken },
    );
    const [every, second] = await arms({ windows: '5000steps', strides: [1, 2] }, run);
    expect(steps(every)).toEqual([36_000, 37_000, 39_000, 40_000]);
    expect(every!.leftOut).toEqual([{ name: 'step38000', step: 38_000, reason: 'truncated', newer: false }]);
    expect(steps(second)).toEqual([36_000, 40_000]);
    const [four] = await arms({ windows: '4ckpt' }, run);
    expect(steps(four)).toEqual([36_000, 37_000, 39_000, 40_000]);
  });
});

describe('endpoints', () => {
  const ends = async (endpoints: NonNullable<Grid['endpoints']>, run: Run = RUN) =>
    (await arms({ windows: '1ckpt', endpoints }, run)).map(({ axes }) => Number(axes.endpoint) / 1000);

  it('are the newest save at or before each multiple, and the newest', async () => {
    expect(await ends('every:250B')).toEqual([10, 20, 30, 40]);
    expect(await ends('every:240B')).toEqual([9, 19, 28, 38, 40]);
    expect(await ends('every:15000')).toEqual([15, 30, 40]);
  });

  it('do not move while the run goes on', async () => {
    const at = async (count: number) => (await ends('every:240B', runOfSteps(stepsFrom(1000, 1000, count), 25e6))).slice(0, -1);
    let before: number[] = [];
    for (let count = 1; count <= 40; count++) {
      const now = await at(count);
      expect(now.slice(0, before.length)).toEqual(before);
      before = now;
    }
    expect(before).toEqual([9, 19, 28, 38]);
  });

  it('may be one save for several multiples, and places of saves', async () => {
    const run = runOf([10, 20, 90].map((k) => checkpointAt({ step: k * 1000, tokens: k * 25e9 })));
    expect(await ends('every:500B', run)).toEqual([20, 90]);
    expect(await ends(['all'], run)).toEqual([10, 20, 90]);
    expect(await ends(['500B', 90_000], run)).toEqual([20, 90]);
    // Token counts lie where steps put them: within a quarter of a save interval.
    expect(await ends(['505B', 'newest'], run)).toEqual([20, 90]);
  });

  it('that are no saves are refused, with the nearest', async () => {
    await expect(ends(['12345', '1.3T'])).rejects.toMatchObject({
      code: 'E_NO_MEMBERS',
      details: {
        conflicts: [
          { message: '/run: no save is at step 12345, which endpoints names; nearest: step12000 (step 12000) and step13000 (step 13000)' },
          { message: '/run: no save is at 1.3T tokens, which endpoints names; nearest: step39000 (975B tokens) and step40000 (1T tokens)' },
        ],
      },
    });
  });
});

describe('schedules', () => {
  it('are every method with every combination of its own parameters', async () => {
    const found = await arms({ method: ['sma', 'ema'], alpha: [0.1, 0.2], windows: '100B' });
    expect(names(found)).toEqual(['step40000-w100B-sma', 'step40000-w100B-ema-alpha0.1', 'step40000-w100B-ema-alpha0.2']);
    const [decays] = await Promise.all([arms({ decay: ['cosine', '1-sqrt'], decayFloor: [0, 0.1] })]);
    expect(names(decays)).toEqual([
      'step40000-w125B-wsm-cosine',
      'step40000-w125B-wsm-cosine-decay-floor0.1',
      'step40000-w125B-wsm-1-sqrt',
      'step40000-w125B-wsm-1-sqrt-decay-floor0.1',
    ]);
    expect(names(await arms({ halfLife: '50B' }))).toEqual(['step40000-w125B-ema-half-life50B']);
  });

  it('of equal weights are one merge with all its names: 1-sqrt and minus-sqrt, a straight decay and its reverse', async () => {
    const found = await arms({ decay: ['linear', '1-sqrt', 'minus-sqrt'], controls: ['reverse', 'scramble-seeds:1-2'] });
    const base = 'step40000-w125B-wsm';
    expect(found.map((arm) => aliases(arm).map((name) => name.replace(base, '')))).toEqual([
      ['-linear', '-linear-reverse', '-linear-scramble1', '-linear-scramble2'],
      ['-1-sqrt', '-minus-sqrt'],
      ['-1-sqrt-reverse', '-minus-sqrt-reverse'],
      ['-1-sqrt-scramble1', '-minus-sqrt-scramble1'],
      ['-1-sqrt-scramble2', '-minus-sqrt-scramble2'],
    ]);
    // Newest member heaviest in reverse: c_i = sqrt((i+1)/n) - sqrt(i/n) of the oldest, from the other end.
    const expected = [0, 1, 2, 3, 4].map((i) => Math.sqrt((i + 1) / 5) - Math.sqrt(i / 5)).reverse();
    for (const [i, weight] of [...found[2]!.schedule.weights].entries()) expect(weight).toBeCloseTo(expected[i]!, 12);
  });

  it('are named the same whatever else is in the grid', async () => {
    const alone = names(await arms({ decay: '1-sqrt', dtype: 'F32' }));
    const together = names(await arms({ decay: ['linear', '1-sqrt'], dtype: ['BF16', 'F32'], windows: ['100B', '125B'], strides: [1, 2] }));
    expect(together).toContain(alone[0]);
  });

  it('that cannot be had of the members are told all together', async () => {
    const run = runOfSteps(stepsFrom(1000, 1000, 40));
    await expect(arms({ windows: '5ckpt', endpoints: ['10000', '20000'], halfLife: ['1B', '2B'] }, run)).rejects.toMatchObject({
      code: 'E_NO_POSITION',
      details: { conflicts: expect.arrayContaining([expect.objectContaining({ code: 'E_NO_POSITION' })]) },
    });
  });
});

describe('what is stored', () => {
  it('is an axis: dtype, router, sets of policies', async () => {
    const grid: Partial<Grid> = {
      dtype: ['BF16', 'F32'],
      router: 'newest',
      policies: { plain: [], 'norms-newest': [{ role: 'norms', use: 'newest' }] },
    };
    const found = await arms(grid);
    const base = 'step40000-w125B-sma-dtype';
    expect(names(found)).toEqual([
      `${base}-BF16-router-newest-plain`,
      `${base}-BF16-router-newest-norms-newest`,
      `${base}-F32-router-newest-plain`,
      `${base}-F32-router-newest-norms-newest`,
    ]);
    expect(found[3]!.axes).toEqual({
      ...{ endpoint: 40_000, tokens: 1e12, window: '125B', method: 'sma', stride: 1 },
      ...{ dtype: 'F32', router: 'newest', policies: 'norms-newest' },
    });
    expect(armsRecipe({ run: 'run', windows: '125B', tokensPerStep: '25M' }, found, 'grid').outputs[3]).toEqual({
      path: 'grid/step40000-w125B-sma-dtype-F32-router-newest-norms-newest',
      select: { steps: [36_000, 37_000, 38_000, 39_000, 40_000] },
      method: 'sma',
      dtype: 'F32',
      router: 'newest',
      policies: [{ role: 'norms', use: 'newest' }],
    });
  });

  it('must differ by name', async () => {
    await expect(arms({ windows: ['125B', '0.125T'] })).rejects.toMatchObject({
      code: 'E_OPTION',
      message: expect.stringContaining('two merges of the grid would be called step40000-w125B-sma'),
    });
  });

  it('must fit into a folder', async () => {
    await expect(arms({ windows: '125B', weightsFile: `files/${'a'.repeat(250)}.json` })).rejects.toMatchObject({
      code: 'E_OPTION',
      message: expect.stringMatching(/-a{250}, which is longer than the 255 bytes|-\w+a{250}, which is longer/),
    });
    await expect(arms({ windows: '125B', weightsFile: `files/${'a'.repeat(150)}.json` })).resolves.toHaveLength(1);
  });
});

describe('changes of the training', () => {
  it('flag windows that cross them', async () => {
    const flags = async (grid: Partial<Grid>, run: Run = RUN) => (await arms(grid, run)).map((arm) => [...arm.flags]);
    const windows = ['50B', '125B'];
    expect(await flags({ windows, stageStarts: ['950B', '3T'] })).toEqual([[], ['crosses the stage that starts at 950B tokens']]);
    // The oldest member of (900B, 1T] is that of 925B: all between them comes after the change there.
    expect(await flags({ windows: '100B', stageStarts: ['925B'] })).toEqual([[]]);
    const rates = Array.from({ length: 40 }, (_, i) => (i < 37 ? 3e-4 : 3e-4 * (1 - (i - 36) / 10)));
    expect(await flags({ windows }, { ...RUN, log: logOfRates(rates, 1000) })).toEqual([
      ['learning rate falls from 0.00024 to 0.00021 over it'],
      ['learning rate falls from 0.0003 to 0.00021 over it'],
    ]);
    const batches = runOf(
      stepsFrom(1000, 1000, 10).map((step) => checkpointAt({ step, tokens: step <= 8000 ? step * 2e6 : 16e9 + (step - 8000) * 4e6 })),
    );
    expect(await flags({ windows: ['2ckpt', '5ckpt'] }, batches)).toEqual([
      [],
      ['the batch changes from 2M tokens a step to 4M tokens after step 8000'],
    ]);
  });
});

describe('saves that are gone', () => {
  it('keep their places where outputs record them', async () => {
    const left = runOfSteps(stepsFrom(30_000, 1000, 11), 25e6);
    const recorded = stepsFrom(6000, 1000, 24).map((step) => ({ name: `step${step}`, step, tokens: step * 25e6 }));
    const found = await arms({ endpoints: 'every:250B' }, left, { recorded });
    expect(names(found)).toEqual(['step10000-w125B-sma', 'step20000-w125B-sma', 'step30000-w125B-sma', 'step40000-w125B-sma']);
    expect(found.map((arm) => arm.members.filter(({ state }) => state === 'gone').length)).toEqual([5, 5, 4, 0]);
    // Without the records the save at 30,000 would be the only one of its window.
    expect(names(await arms({ endpoints: 'every:250B' }, left))).toEqual(['step40000-w125B-sma']);
  });
});

describe('size', () => {
  it('is refused with count and bytes before anything is worked out', async () => {
    const grid: Partial<Grid> = { windows: stepsFrom(1, 1, 20).map((n) => `${n}ckpt`), endpoints: 'all', controls: 'scramble-seeds:1-12' };
    await expect(arms(grid)).rejects.toMatchObject({
      code: 'E_GRID_SIZE',
      message: 'the grid has 10400 outputs, about 166 kB',
      details: { outputs: 10_400, bytes: 166_400 },
    });
    expect(await arms({ ...grid, controls: 'scramble-seeds:1-2' }, RUN, { all: true })).toHaveLength(610);
    await expect(arms({ ...grid, controls: 'scramble-seeds:1-9999' }, RUN, { all: true })).rejects.toMatchObject({ code: 'E_GRID_SIZE' });
  });
});
