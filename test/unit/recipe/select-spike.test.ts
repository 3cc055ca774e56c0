import { expect, test } from 'vitest';
import { findSpike } from '../../../src/recipe/select/spike.ts';
import { demoLog, logOfLosses, normalFrom } from '../../support/run-objects.ts';

/** 50 losses whose median is 2 and whose median absolute deviation is 0.1, in an order of no consequence. */
const CALM = Array.from({ length: 50 }, (_, i) => [1.9, 2.1, 1.8, 2.2, 2][i % 5]!);
/** median + 6·1.4826·MAD = 2 + 0.88956 */
const THRESHOLD = 2.88956;

test('a loss that goes up and stays is found, with what it was measured against', () => {
  const spike = findSpike(logOfLosses([...CALM, 2.1, 5, 5, 5, 5, 5, 5]));
  expect(spike).toEqual({ step: 520, loss: 5, threshold: expect.closeTo(THRESHOLD, 9) });
});

test('the threshold is median + 6·1.4826·MAD: a loss on it is none, one above it is', () => {
  const above = (loss: number) => findSpike(logOfLosses([...CALM, ...new Array<number>(5).fill(loss)]));
  expect(above(THRESHOLD - 1e-6)).toBeNull();
  expect(above(THRESHOLD + 1e-6)).toMatchObject({ step: 510 });
});

test('a loss that becomes NaN, which a log gives as infinity, is a spike', () => {
  const lost = new Array<number>(3).fill(Number.POSITIVE_INFINITY);
  expect(findSpike(logOfLosses([...CALM, 2.1, ...lost]))).toMatchObject({ step: 520, loss: Number.POSITIVE_INFINITY });
});

test('a loss must stay up for five logs: four and a recovery are an outlier', () => {
  expect(findSpike(logOfLosses([...CALM, 5, 5, 5, 5, 2, 2, 2]))).toBeNull();
  expect(findSpike(logOfLosses([...CALM, 5, 5, 5, 5, 5, 2, 2]))).toMatchObject({ step: 510 });
});

test('a log that ends above the threshold never returns, however few entries are left', () => {
  for (const count of [1, 2, 3, 4]) {
    expect(findSpike(logOfLosses([...CALM, 2, ...new Array<number>(count).fill(5)]))).toMatchObject({ step: 520 });
    expect(findSpike(logOfLosses([...CALM, 2, ...new Array<number>(count).fill(5), 2]))).toBeNull();
  }
});

test('the first of two spikes counts, also after an outlier', () => {
  const spike = findSpike(logOfLosses([...CALM, 9, 2, 5, 5, 5, 5, 5, ...CALM, 9, 9, 9, 9, 9]));
  expect(spike).toMatchObject({ step: 530, loss: 5 });
});

test('50 losses come before: with fewer nothing can be said', () => {
  const up = new Array<number>(10).fill(9);
  expect(findSpike(logOfLosses([...CALM.slice(5), ...up.slice(0, 5)]))).toBeNull();
  expect(findSpike(logOfLosses([...CALM, ...up]))).not.toBeNull();
  expect(findSpike([])).toBeNull();
  expect(findSpike(logOfLosses(CALM))).toBeNull();
});

test('entries without a loss are passed over', () => {
  const losses = [...CALM, 2, 5, 5, 5, 5, 5].flatMap((loss) => [loss, null]);
  // The 52nd loss is the 103rd entry.
  expect(findSpike(logOfLosses(losses))).toMatchObject({ step: 1030, loss: 5 });
});

test('equal losses have a deviation of 0; a rise of rounding size is no spike all the same', () => {
  const flat = new Array<number>(60).fill(2);
  expect(findSpike(logOfLosses([...flat, 2.0001, 2.0001, 2.0001, 2.0001, 2.0001]))).toBeNull();
  // 6·1.4826 thousandths of the median are 0.0178.
  expect(findSpike(logOfLosses([...flat, 2.0177, 2.0177, 2.0177, 2.0177, 2.0177]))).toBeNull();
  expect(findSpike(logOfLosses([...flat, 2.0179, 2.0179, 2.0179, 2.0179, 2.0179]))).toMatchObject({ step: 610 });
});

test('a falling loss with noise raises no alarm, and a spike in it is found at its step, for a hundred seeds', () => {
  for (let seed = 1; seed <= 100; seed++) {
    const normal = normalFrom(seed);
    const calm = Array.from({ length: 600 }, (_, i) => 1.5 + 3 * Math.exp(-i / 80) + 0.02 * normal());
    expect(findSpike(logOfLosses(calm)), `seed ${seed}`).toBeNull();
    const at = 100 + Math.floor(seed * 4.5);
    const spiked = calm.map((loss, i) => (i < at ? loss : loss + 2));
    expect(findSpike(logOfLosses(spiked)), `seed ${seed}`).toMatchObject({ step: (at + 1) * 10 });
    const recovering = calm.map((loss, i) => (i < at || i > at + 3 ? loss : loss + 2));
    expect(findSpike(logOfLosses(recovering)), `seed ${seed}`).toBeNull();
  }
});

test('the moving median agrees with one computed anew for every loss', () => {
  const normal = normalFrom(7);
  const losses = Array.from({ length: 400 }, () => Math.round((2 + 0.3 * normal()) * 20) / 20);
  for (let at = 60; at < 390; at += 33) {
    // A step just above the threshold of its place, computed the slow way.
    const before = losses.slice(at - 50, at).sort((a, b) => a - b);
    const median = (before[24]! + before[25]!) / 2;
    const deviations = before.map((x) => Math.abs(x - median)).sort((a, b) => a - b);
    const threshold = median + 6 * 1.4826 * ((deviations[24]! + deviations[25]!) / 2);
    const stepped = (height: number) => findSpike(logOfLosses(losses.map((x, i) => (i < at || i >= at + 5 ? x : height))));
    expect(stepped(threshold + 1e-9)).toMatchObject({ step: (at + 1) * 10, threshold: expect.closeTo(threshold, 9) });
    expect(stepped(threshold - 1e-9)).toBeNull();
  }
});

test('the demo runs have none', () => {
  for (const run of ['dense', 'moe', 'dense-annealed', 'moe-annealed']) {
    const log = demoLog(run, 'checkpoint-6000');
    expect(log.length).toBeGreaterThan(10);
    expect(findSpike(log)).toBeNull();
  }
});
