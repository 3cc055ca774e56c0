import { describe, expect, it } from 'vitest';
import type { Run, RunCheckpoint } from '../../../src/checkpoints/run/types.ts';
import { distance, firstNeeded, windowAt, windowSizes } from '../../../src/upkeep/watch/selection.ts';

function runOf(steps: readonly number[]): Run {
  const checkpoints = steps.map(
    (step): RunCheckpoint => ({
      path: `run/checkpoint-${step}`,
      name: `checkpoint-${step}`,
      stage: null,
      ingredient: null,
      step,
      tokens: null,
      tokensFrom: null,
      bytes: 4,
      dtypes: ['F32'],
      learningRate: null,
      evalLoss: null,
      loss: null,
      savedAt: null,
    }),
  );
  return { path: 'run', checkpoints, excluded: [], broken: [], abandoned: [], log: [], warnings: [] };
}
const options = { run: 'run', output: 'merges' };
const steps = (from: number, to: number, by = 100) => Array.from({ length: (to - from) / by + 1 }, (_, i) => from + i * by);
const none = () => false;

describe('the window that ends at a checkpoint', () => {
  it('knows nothing of what came later', () => {
    const window = windowAt(options, runOf(steps(100, 900)), 'checkpoint-500', 3);
    expect('selected' in window && window.selected.members.map(({ step }) => step)).toEqual([300, 400, 500]);
  });

  it('has at least two members unless told otherwise', () => {
    const run = runOf(steps(100, 1500));
    const window = windowAt(options, run, 'checkpoint-1500', 10);
    expect('selected' in window && window.selected.members).toHaveLength(10);
    expect(windowAt(options, run, 'checkpoint-100', 10)).toEqual({
      reason: 'its window has 1 of at least 2 members',
      isYoung: true,
    });
    expect(windowAt(options, run, 'checkpoint-100', 1)).toHaveProperty('selected');
    expect(windowAt({ ...options, select: { minMembers: 4 } }, run, 'checkpoint-300', 10)).toEqual({
      reason: 'its window has 3 of at least 4 members',
      isYoung: true,
    });
  });

  it('is none where the selection leaves its end out', () => {
    expect(windowAt({ ...options, select: { from: 300 } }, runOf(steps(100, 500)), 'checkpoint-200', 10)).toHaveProperty('reason');
  });
});

describe('the sizes of windows', () => {
  it('are ten, the one that is given, or several from the smallest on', () => {
    expect(windowSizes({})).toEqual([10]);
    expect(windowSizes({ select: { last: 3 } })).toEqual([3]);
    expect(windowSizes({ windows: [20, 5] })).toEqual([5, 20]);
  });
});

describe('what windows to come may need', () => {
  const first = (select: object, run: Run, todo = none as (name: string) => boolean) =>
    run.checkpoints[firstNeeded({ ...options, select }, run, todo)]?.step;

  it('begins with the newest window where it is full', () => {
    expect(first({ last: 3 }, runOf(steps(100, 900)))).toBe(700);
    expect(first({ last: 3, every: '200steps' }, runOf(steps(100, 900)))).toBe(500);
  });

  it('is that of the widest of several', () => {
    const run = runOf(steps(100, 900));
    expect(run.checkpoints[firstNeeded({ ...options, windows: [2, 4] }, run, none)]?.step).toBe(600);
  });

  it('begins with the window of the oldest that waits for its round', () => {
    expect(first({ last: 3 }, runOf(steps(100, 900)), (name) => name === 'checkpoint-600' || name === 'checkpoint-800')).toBe(400);
  });

  it('is everything while windows are not full', () => {
    expect(first({ last: 20 }, runOf(steps(100, 900)))).toBe(100);
  });

  it('of an accumulator is what it has not taken in', () => {
    const run = runOf(steps(100, 900));
    expect(firstNeeded({ ...options, accumulate: 'ema' }, run, (name) => name === 'checkpoint-700')).toBe(6);
    expect(firstNeeded({ ...options, accumulate: 'ema' }, run, none)).toBe(8);
    expect(firstNeeded(options, runOf([]), none)).toBe(0);
  });
});

it('distance is in the unit that is asked for, and unknown where a position is', () => {
  const [older, newer] = [
    { step: 10, tokens: null },
    { step: 30, tokens: 5 },
  ];
  expect(distance(older, newer, { unit: 'steps' }, 4)).toBe(20);
  expect(distance(older, newer, { unit: 'tokens' }, 4)).toBeNull();
  expect(distance(older, newer, { unit: 'checkpoints' }, 4)).toBe(4);
});
