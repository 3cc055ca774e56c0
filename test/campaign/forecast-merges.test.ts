import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readForecast } from '../../src/search/forecast/document.ts';
import { forecast } from '../../src/search/forecast/forecast.ts';
import type { ForecastOptions } from '../../src/search/forecast/options.ts';
import { readSearch } from '../../src/search/optimise/report.ts';
import type { StudyEvent } from '../../src/search/study/types.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { withoutTimes } from '../support/ended.ts';
import { weightsIn } from '../support/model-weights.ts';
import { weightedRun } from '../support/weighted-run.ts';

const temporary = temporaryFolder();
afterAll(temporary.remove);
const run = weightedRun(join(temporary.path, 'run'), 6);
const sibling = weightedRun(join(temporary.path, 'sibling'), 6);
const fresh = (() => {
  let count = 0;
  return () => join(temporary.path, `forecast-${count++}`);
})();

/**
 * The sum of weights times places: steps 100 to 600 alone are 1 to 6, and a mean of neighbours is that of its
 * middle.
 */
const place = async (model: string) => weightsIn(model).reduce((sum, w, i) => sum + w * (i + 1), 0);
/** Alone 1, a mean of n 1/n. */
const length = async (model: string) => weightsIn(model).reduce((sum, w) => sum + w * w, 0);
const base = { inputs: [run], eval: place, goal: 'maximize', window: 3 } as const satisfies ForecastOptions;

describe('merge forecast', () => {
  it('judges what a window gains item by item where items are scored', async () => {
    const byItem = async (model: string) => {
      const items = [...weightsIn(model)];
      return { score: items.reduce((sum, w) => sum + w / items.length, 0), stderr: 9, items };
    };
    const { points } = await forecast({ ...base, eval: byItem, goal: 'minimize', dir: fresh() });
    // Six items: differences 1/3, 1/3, 1/3 - 1 and three of 0, of mean 0 and variance (1/9 + 1/9 + 4/9) / 5.
    expect(points[0]!.difference).toEqual({ gain: expect.closeTo(0, 7), error: expect.closeTo(Math.sqrt(2 / 3 / 5 / 6), 7), paired: true });
  });

  it('scores every window beside the checkpoint that it ends at, all merged in one read', async () => {
    const dir = fresh();
    const events: StudyEvent[] = [];
    const document = await forecast({ ...base, dir }, { onEvent: (event) => events.push(event) });
    expect(document.points.map(({ step, single, merged }) => [step, single, Math.fround(merged!)])).toEqual([
      [300, 3, 2],
      [400, 4, 3],
      [500, 5, 4],
      [600, 6, 5],
    ]);
    expect(document.points[0]!.difference).toEqual({ gain: expect.closeTo(-1, 6), error: null, paired: false });
    expect(document).toMatchObject({ schema: 'ckpt-merge/forecast', window: 3, method: 'sma', reads: 1, branches: [], recovered: null });
    expect(document.trials.map(({ kind }) => kind)).toEqual([...Array(4).fill('single'), ...Array(4).fill('window')]);
    // The newest alone shows first whether the evaluator works.
    expect(document.trials[0]!.params).toEqual({ step: 600 });
    expect(events.filter(({ type }) => type === 'merging')).toHaveLength(1);
    expect(withoutTimes(await readForecast(dir))).toEqual(withoutTimes({ ...document, warnings: [] }));
    // In the folder paths are as seen from it.
    const written = readFileSync(join(dir, 'result.json'), 'utf8');
    expect(JSON.parse(written.replaceAll('"../', `"${dirname(dir)}/`))).toEqual(JSON.parse(JSON.stringify(document)));
    await expect(readForecast(dir)).resolves.toMatchObject({ goal: 'maximize' });
  });

  it.each<[string, Partial<ForecastOptions>, string, readonly number[]]>([
    ['wma', { method: 'wma' }, 'wma', [1 / 6, 2 / 6, 3 / 6]],
    ['ema', { method: 'ema', alpha: 0.5 }, 'ema, alpha 0.5', [0.25, 0.25, 0.5]],
    ['wsm', { method: 'wsm', decay: 'linear' }, 'wsm, decay linear, decay-floor 0', [1 / 3, 1 / 3, 1 / 3]],
    ['wma in reverse', { method: 'wma', reverse: true }, 'wma, reverse true', [3 / 6, 2 / 6, 1 / 6]],
  ])('weighs windows by %s', async (_, options, method, weights) => {
    const document = await forecast({ ...base, dir: fresh(), ...options });
    expect(document.method).toBe(method);
    for (const [start, { merged }] of document.points.entries())
      expect(merged).toBeCloseTo(
        weights.reduce((sum, w, i) => sum + w * (start + i + 1), 0),
        6,
      );
    const windows = document.trials.filter(({ kind }) => kind === 'window');
    expect(windows.map((trial) => trial.weights.map(({ step }) => step))).toEqual([
      [100, 200, 300],
      [200, 300, 400],
      [300, 400, 500],
      [400, 500, 600],
    ]);
  });

  it('slides along what is selected', async () => {
    const document = await forecast({ ...base, dir: fresh(), window: 2, select: { every: '200steps' } });
    expect(document.points.map(({ step, merged }) => [step, merged])).toEqual([
      [400, 3],
      [600, 5],
    ]);
  });

  it('says nothing of decayed scores without a real decay, and what part of it merging recovers with one', async () => {
    const dir = fresh();
    const options = { ...base, dir, eval: length, goal: 'minimize' } as const;
    const bare = await forecast(options);
    expect(bare.points.every(({ decayed }) => decayed === null)).toBe(true);
    expect(readFileSync(join(dir, 'report.html'), 'utf8')).not.toContain('by the calibration');
    // Alone 1, merged 1/3; decays that end at 0.2 and 0.04: fractions (1 - 1/3) / 0.8 and (1 - 1/3) / 0.96.
    const unscored = { ...options, resume: true, eval: length };
    const document = await forecast({
      ...unscored,
      calibrate: [
        { step: 400, score: 0.2 },
        { step: 600, score: 0.04 },
      ],
    });
    const [a, b] = [2 / 3 / 0.8, 2 / 3 / 0.96];
    expect(document.recovered!.mean).toBeCloseTo((a + b) / 2, 6);
    expect(document.recovered!.spread).toBeCloseTo(Math.abs(a - b) / Math.SQRT2, 6);
    expect(document.points[0]!.decayed!.score).toBeCloseTo(1 - 2 / 3 / ((a + b) / 2), 6);
    expect(document.reads).toBe(0);
    expect((await readForecast(dir)).recovered).toEqual(document.recovered);
    // One that does not fit is refused before anything is done, and what is there stays.
    const wrong = forecast({ ...unscored, calibrate: [{ step: 90_000, score: 0.2 }] });
    await expect(wrong).rejects.toMatchObject({ code: 'E_CALIBRATE', message: expect.stringContaining('90000') });
    expect((await readForecast(dir)).recovered).toEqual(document.recovered);
    expect(withoutTimes(await forecast(unscored))).toEqual(withoutTimes(bare));
  });

  it('goes on after an end at any trial, and scores nothing twice', async () => {
    const whole = await forecast({ ...base, dir: fresh() });
    for (const most of [1, 3, 6]) {
      const dir = fresh();
      const scored: string[] = [];
      const counting = {
        place: async (model: string) => {
          scored.push(weightsIn(model).join());
          return place(model);
        },
      };
      const ending = new AbortController();
      const reason = new Error('ended');
      const onEvent = (event: StudyEvent) => {
        if (event.type === 'trial' && event.trial.id === most - 1) ending.abort(reason);
      };
      const options = { ...base, eval: counting.place, dir };
      await expect(forecast(options, { signal: ending.signal, onEvent })).rejects.toBe(reason);
      expect(existsSync(join(dir, 'report.html'))).toBe(true);
      expect(withoutTimes(await forecast({ ...options, resume: true }))).toEqual(withoutTimes(whole));
      expect(scored.length - new Set(scored).size).toBeLessThanOrEqual(1);
    }
  });

  it('leaves out scores that are not there', async () => {
    const failing = async (model: string) => {
      const weights = weightsIn(model);
      if (weights[3] === 1 || (weights[5]! > 0 && weights[5] !== 1)) throw new Error('out of memory');
      return place(model);
    };
    const document = await forecast({ ...base, dir: fresh(), eval: failing });
    expect(document.points.map(({ single, merged }) => [single !== null, merged !== null])).toEqual([
      [true, true],
      [false, true],
      [true, true],
      [true, false],
    ]);
    expect(document.trials.filter(({ status }) => status === 'failed').map(({ reason }) => reason)).toEqual([
      'out of memory',
      'out of memory',
    ]);
  });

  it('does not go on with other windows, other weights of a file, or another kind of study', async () => {
    const dir = fresh();
    const factors = join(temporary.path, 'factors.csv');
    writeFileSync(factors, '0.6\n0.3\n');
    const options = { ...base, dir, method: 'wsm', decayFile: factors } as const;
    await forecast(options);
    await expect(forecast(options)).rejects.toMatchObject({
      code: 'E_OUTPUT_EXISTS',
      message: expect.stringContaining('holds a forecast'),
    });
    await expect(forecast({ ...options, window: 2, decayFile: undefined, resume: true })).rejects.toMatchObject({
      code: 'E_SEARCH_STATE',
      message: expect.stringContaining('the space'),
    });
    writeFileSync(factors, '0.6\n0.1\n');
    await expect(forecast({ ...options, resume: true })).rejects.toMatchObject({
      code: 'E_SEARCH_STATE',
      message: expect.stringContaining('other weights'),
    });
    await expect(readSearch(dir)).rejects.toMatchObject({ code: 'E_TRIALS' });
  });

  it.each<[string, Partial<ForecastOptions>, string, RegExp]>([
    ['a run shorter than the window', { window: 10 }, 'E_OPTION', /a window of 10 checkpoints does not fit: there are 6/],
    ['a selection shorter than the window', { select: { last: 2 } }, 'E_OPTION', /there are 2/],
    ['one checkpoint', { inputs: [join(run, 'checkpoint-100')] }, 'E_OPTION', /there are 1|there is one/],
    ['a window of one', { window: 1 }, 'E_OPTION', /at least 2/],
    ['extrapolation', { method: 'extrapolate' }, 'E_OPTION', /windows of its own/],
    ['siblings', { inputs: [run, sibling] }, 'E_OPTION', /one run/],
    ['a parameter of another method', { alpha: 0.5 }, 'E_OPTION', /alpha has no meaning/],
    ['one decay twice', { calibrate: [1, 2].map((score) => ({ step: 300, score })) }, 'E_OPTION', /step 300 twice/],
    ['an evaluator that always fails', { eval: 'exit 3' }, 'E_EVALUATOR', /first evaluation failed/],
    ['scores without a direction', { goal: undefined }, 'E_GOAL', /larger or smaller/],
  ])('refuses %s', async (_, options, code, message) => {
    await expect(forecast({ ...base, dir: fresh(), ...options })).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });
});
