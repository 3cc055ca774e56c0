import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { speakTo } from '../../../src/base/option-words.ts';
import { goalOf } from '../../../src/checkpoints/results/goal.ts';
import { parseMetric, readScore } from '../../../src/search/evaluate/results/read.ts';
import { harnessRun } from '../../support/evaluated.ts';
import { mergeError } from '../../support/safetensors.ts';

// Messages are of the command line here.
beforeAll(() => speakTo('command line'));
afterAll(() => speakTo('library'));

// Written by lighteval 0.13.0 for a checkpoint of the demo: test/golden/make/results-lighteval.py.
const read = (...metrics: string[]) => readScore(harnessRun('lighteval'), { metrics: metrics.map(parseMetric) });

describe('a result file of lighteval', () => {
  it('is found in the nested folders that a name with slashes makes, and gives each task its metrics', async () => {
    const score = await read('words:colours|0/acc');
    expect(score).toMatchObject({
      score: 4 / 6,
      higherIsBetter: true,
      items: null,
      source: expect.stringMatching(/^lighteval results_2026-.*\.json$/),
    });
    // Four of six right: √(p(1-p)/(n-1)).
    expect(score!.stderr).toBeCloseTo(Math.sqrt(((4 / 6) * (2 / 6)) / 5), 12);
    expect(score!.metrics).toMatchObject({ 'next_word|0/ppl': 99253.85735513303, 'copying|0/em': 0 });
    expect(Object.keys(score!.metrics).filter((name) => name.includes('stderr'))).toEqual([]);
  });

  it('gives metrics that end like a weight, with and without a weight', async () => {
    expect(await read('copying|0/pass@k:k=1&n=1', 'words:colours|0/acc=3')).toMatchObject({ score: 2, higherIsBetter: true });
    expect(await read('copying|0/pass@k:k=1&n=1=2', 'words:colours|0/acc=3')).toMatchObject({ score: 2 });
  });

  it('says the direction of each metric in a list, of a group of metrics by name', async () => {
    expect(await read('next_word|0/ppl')).toMatchObject({ higherIsBetter: false });
    expect(await read('truth|0/truthfulqa_mc2')).toMatchObject({ higherIsBetter: true });
  });

  it('has averages over subtasks, whose direction is that of all of them and whose error is not the mean of their errors', async () => {
    const score = await read('words:_average|0/acc');
    expect(score).toMatchObject({ score: (4 / 6 + 2 / 4) / 2, higherIsBetter: true });
    expect(score!.stderr).toBeCloseTo(Math.hypot(0.210818510677892, 0.28867513459481287) / 2, 12);
  });

  it('has a pseudo-task of all tasks, which has no direction and is nothing to choose unasked', async () => {
    const score = await read('all/acc');
    expect(score).toMatchObject({ score: 0.5833333333333333, stderr: null, higherIsBetter: null });
    expect((await mergeError(() => goalOf(undefined, score!, { metrics: [parseMetric('all/acc')] }))).code).toBe('E_GOAL');
    const { code, message } = await mergeError(() => read());
    expect(code).toBe('E_METRIC');
    expect(message).toContain("--metric 'words:colours|0/acc'   (0.666667, higher is better)");
    expect(message).toContain("--metric 'next_word|0/ppl'   (99253.9, lower is better)");
    expect(message).not.toContain('all/');
  });

  it('has an error of exactly 0 where all items scored the same, which is not taken for one', async () => {
    expect(await read('copying|0/em')).toMatchObject({ score: 0, stderr: null });
  });
});
