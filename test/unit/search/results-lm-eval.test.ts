import { appendFileSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { speakTo } from '../../../src/base/option-words.ts';
import { type Evaluated, parseMetric, readScore } from '../../../src/search/evaluate/results/read.ts';
import { filesUnder, harnessRun } from '../../support/evaluated.ts';
import { mergeError } from '../../support/safetensors.ts';

// Messages are of the command line here.
beforeAll(() => speakTo('command line'));
afterAll(() => speakTo('library'));

// Written by lm-eval 0.4.13 for two checkpoints of the demo: test/golden/make/results-lm-eval.py. Numbers are
// those of the table that lm-eval printed.
const older = () => harnessRun('lm-eval/checkpoint-3800');
const newer = () => harnessRun('lm-eval/checkpoint-6000');
const read = (found: Evaluated, ...metrics: string[]) => readScore(found, { metrics: metrics.map(parseMetric) });
const items = async (found: Evaluated, ...metrics: string[]) => (await read(found, ...metrics))!.items;
/** Rewrites one of the files that the harness left. */
function edit(found: Evaluated, start: string, change: (text: string) => string): Evaluated {
  const path = filesUnder(found.out).find((name) => basename(name).startsWith(start))!;
  writeFileSync(path, change(readFileSync(path, 'utf8')));
  return found;
}

describe('a results file of lm-eval', () => {
  it('gives each task its metrics by filter, and takes no count for one', async () => {
    const score = (await read(newer(), 'colours/acc,none'))!;
    expect(score).toMatchObject({ score: 2 / 3, higherIsBetter: true, source: expect.stringMatching(/^lm-eval results_2026-.*\.json$/) });
    expect(score.stderr).toBeCloseTo(0.2108, 4);
    expect(Object.keys(score.metrics).filter((name) => /stderr|sample_len|sample_count|alias|name/.test(name))).toEqual([]);
    expect(score.metrics).toMatchObject({ 'prose/bits_per_byte,none': 1.9658507320647387, 'outer/acc,none': 0.8125 });
  });

  it('asks which metric is the score, with each of them once, ready to paste', async () => {
    const found = newer();
    const { code, message } = await mergeError(() => read(found));
    expect(code).toBe('E_METRIC');
    const pasted = [...message.matchAll(/--metric (\S+)/g)].map((match) => match[1]!);
    expect(pasted).toHaveLength(new Set(pasted).size);
    expect(pasted).toEqual(
      expect.arrayContaining(['colours/acc,none', 'copying/exact_match,first-letter', 'by_size/acc,none', 'outer/acc,none']),
    );
    expect(message).toContain('--metric next_word/perplexity,none   (20.2349, lower is better)');
    for (const name of pasted.filter((name) => name !== 'always/acc_norm,none')) expect(await read(found, name)).not.toBeNull();
  });

  it('goes by task/metric where one filter exists, and lists the filters where several do', async () => {
    expect(await read(newer(), 'colours/acc')).toMatchObject({ score: 2 / 3 });
    expect(await read(newer(), 'copying/exact_match,first-letter')).toMatchObject({ score: 2 / 3 });
    const { code, message } = await mergeError(() => read(newer(), 'copying/exact_match'));
    expect(code).toBe('E_METRIC');
    expect(message).toContain("'copying/exact_match' has 2 filters:\n  --metric copying/exact_match,strict-match   (0, ");
  });

  it('refuses an error below 0 by its name, and takes NaN of one item for none', async () => {
    const wrong = edit(newer(), 'results_', (text) => text.replace(/"acc_stderr,none": 0\.21\d+/, '"acc_stderr,none": -0.21'));
    expect((await mergeError(() => read(wrong, 'colours/acc,none'))).message).toMatch(
      /"\w+\/acc_stderr,none" is -0\.21, .* in lm-eval results_/,
    );
    const one = edit(newer(), 'results_', (text) => text.replace(/"acc_stderr,none": 0\.21\d+/, '"acc_stderr,none": NaN'));
    expect(await read(one, 'colours/acc,none')).toMatchObject({ score: 2 / 3, stderr: null });
  });

  it('has no error where it says N/A, nor one of 0 where all documents scored alike', async () => {
    expect(await read(newer(), 'prose/word_perplexity')).toMatchObject({ score: 442.1858824457754, stderr: null, higherIsBetter: false });
    expect(await read(newer(), 'always/acc')).toMatchObject({ score: 1, stderr: null });
    expect(await read(newer(), 'tools/acc')).toMatchObject({ score: 0, stderr: null });
  });

  it('with a NaN keeps the metrics beside it, and fails where the NaN itself is asked for', async () => {
    expect(await read(newer(), 'always/acc')).toMatchObject({
      score: 1,
      metrics: expect.not.objectContaining({ 'always/acc_norm,none': expect.anything() }),
    });
    const { code, message } = await mergeError(() => read(newer(), 'always/acc_norm', 'colours/acc'));
    expect(code).toBe('E_EVALUATOR');
    expect(message).toContain('always/acc_norm,none is NaN or infinite');
  });

  it('says for a group only what the group has', async () => {
    expect(await read(newer(), 'outer/acc')).toMatchObject({ score: 0.8125, stderr: 0.10008009612817947, higherIsBetter: true });
    expect((await mergeError(() => read(newer(), 'outer/acc_norm'))).code).toBe('E_METRIC');
  });

  it('is found beside the path of a file that lm-eval was given, with its samples', async () => {
    expect(await read(harnessRun('lm-eval/file'), 'plurals/acc')).toMatchObject({
      score: 0.75,
      source: expect.stringMatching(/^lm-eval scores_2026-.*\.json$/),
      items: [{ scores: [0, 1, 1, 1] }],
    });
  });

  it('is found in the random folder of a model without a name, where one document has no error', async () => {
    expect(await read(harnessRun('lm-eval/random'), 'alone/acc')).toMatchObject({ score: 1, stderr: null, items: null });
  });
});

describe('samples of lm-eval', () => {
  it('are the scores of single documents, in one order for every model', async () => {
    const [one] = (await items(newer(), 'colours/acc_norm'))!;
    expect(one).toMatchObject({ name: 'colours/acc_norm,none', weight: 1, scores: expect.arrayContaining([0, 1]) });
    expect(one!.scores.reduce((a, b) => a + b)).toBe(5);
    const [other] = (await items(older(), 'colours/acc_norm'))!;
    expect(other).toMatchObject({ digest: one!.digest, scores: [1, 1, 1, 1, 1, 1] });
    const shuffled = edit(newer(), 'samples_colours', (text) => `${text.trimEnd().split('\n').reverse().join('\n')}\n`);
    expect(await items(shuffled, 'colours/acc_norm')).toEqual([one]);
  });

  it('are told apart by their filters', async () => {
    expect(await items(newer(), 'copying/exact_match,first-letter')).toMatchObject([{ scores: [0, 1, 1] }]);
    expect(await items(newer(), 'copying/exact_match,strict-match')).toMatchObject([{ scores: [0, 0, 0] }]);
  });

  it('of other documents are other items', async () => {
    const digest = async (found: Evaluated) => (await items(found, 'plurals/acc_norm'))![0]!.digest;
    const changed = edit(newer(), 'samples_plurals', (text) => text.replace(/"doc_hash": "./, '"doc_hash": "~'));
    expect(await digest(changed)).not.toBe(await digest(newer()));
  });

  it('are kept only where their mean is the metric: not for a perplexity, nor for pairs of sums and counts', async () => {
    expect(await items(newer(), 'next_word/perplexity')).toBeNull();
    expect(await items(newer(), 'prose/bits_per_byte')).toBeNull();
    const changed = edit(newer(), 'samples_colours', (text) => text.replace('"acc": 0.0', '"acc": 1.0'));
    expect(await items(changed, 'colours/acc')).toBeNull();
  });

  it('of a group are those of its tasks, by its own weights', async () => {
    const bySize = (await items(newer(), 'by_size/acc'))!;
    expect(bySize.map(({ name, weight, scores }) => [name, weight, scores.length])).toEqual([
      ['colours/acc,none', 0.6, 6],
      ['plurals/acc,none', 0.4, 4],
    ]);
    const evenly = (await items(newer(), 'evenly/acc=2'))!;
    expect(evenly.map(({ name, weight, scores }) => [name, weight, scores.length])).toEqual([
      ['animals/acc,none', 1, 3],
      ['tools/acc,none', 1, 2],
    ]);
    const outer = (await items(newer(), 'outer/acc'))!;
    expect(outer.map(({ name, weight }) => [name, weight])).toEqual([
      ['colours/acc,none', 6 / 16],
      ['plurals/acc,none', 4 / 16],
      ['always/acc,none', 6 / 16],
    ]);
  });

  it('of a sum are those of all its metrics, or none', async () => {
    const sum = (await read(newer(), 'colours/acc=0.5', 'plurals/acc=-2'))!;
    expect(sum.items!.map(({ name, weight }) => [name, weight])).toEqual([
      ['colours/acc,none', 0.5],
      ['plurals/acc,none', -2],
    ]);
    const value = sum.items!.reduce((total, { weight, scores }) => total + (weight * scores.reduce((a, b) => a + b)) / scores.length, 0);
    expect(value).toBeCloseTo(sum.score, 12);
    expect(await items(newer(), 'colours/acc', 'prose/bits_per_byte=-1')).toBeNull();
  });

  it.each([
    ['are not there', (found: Evaluated) => rmSync(filesUnder(found.out).find((name) => name.includes('samples_colours'))!)],
    ['are torn', (found: Evaluated) => edit(found, 'samples_colours', (text) => text.slice(0, -20))],
    ['hold a document twice', (found: Evaluated) => edit(found, 'samples_colours', (text) => text + text)],
    ['hold a NaN', (found: Evaluated) => edit(found, 'samples_colours', (text) => text.replace(/"acc": [01].0/, '"acc": NaN'))],
    [
      'hold no such filter',
      (found: Evaluated) => edit(found, 'samples_colours', (text) => text.replaceAll('"filter": "none"', '"filter": "x"')),
    ],
  ])('that %s leave the score alone', async (_, harm) => {
    const found = newer();
    harm(found);
    expect(await read(found, 'colours/acc')).toMatchObject({ score: 2 / 3, items: null });
    expect(await read(found, 'plurals/acc')).toMatchObject({ items: [{ scores: [0, 1, 1, 1] }] });
    expect(await items(found, 'by_size/acc')).toBeNull();
  });

  it('that cannot be used leave no file open', async () => {
    const found = edit(newer(), 'samples_colours', (text) => `{\n${text}`);
    const open = () => readdirSync('/proc/self/fd').flatMap((fd) => linkOf(`/proc/self/fd/${fd}`));
    await read(found, 'colours/acc');
    expect(open().filter((path) => path.includes('samples_'))).toEqual([]);
  });

  it('may have an empty line at their end, and booleans', async () => {
    const found = edit(newer(), 'samples_colours', (text) =>
      text.replaceAll('"acc": 1.0', '"acc": true').replaceAll('"acc": 0.0', '"acc": false'),
    );
    appendFileSync(filesUnder(found.out).find((name) => name.includes('samples_colours'))!, '\n');
    expect(await items(found, 'colours/acc')).toEqual(await items(newer(), 'colours/acc'));
  });
});

/** The descriptor of the listing itself is gone when its turn comes. */
function linkOf(path: string): string[] {
  try {
    return [readlinkSync(path)];
  } catch {
    return [];
  }
}
