import { mkdirSync, symlinkSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { speakTo } from '../../../src/base/option-words.ts';
import type { ReadOptions } from '../../../src/checkpoints/results/metric.ts';
import { checkReadOptions, parseMetric, readScore } from '../../../src/search/evaluate/results/read.ts';
import { evaluated } from '../../support/evaluated.ts';
import { mergeError } from '../../support/safetensors.ts';

// Messages are of the command line here.
beforeAll(() => speakTo('command line'));
afterAll(() => speakTo('library'));

/** The least that lm-eval's writer always writes. */
const lmEval = (results: Record<string, Record<string, unknown>>, direction: unknown = true) =>
  JSON.stringify({
    results,
    configs: {},
    higher_is_better: Object.fromEntries(Object.keys(results).map((task) => [task, { acc: direction, loss: false }])),
  });
const metrics = (...texts: string[]) => ({ metrics: texts.map(parseMetric) });

describe('of several places with a score', () => {
  const everywhere = {
    files: { 'results_1.json': lmEval({ quiz: { 'acc,none': 0.3 } }), 'mine.json': '{"score": 0.1}' },
    result: '0.2',
    stdout: 'working\n0.4\n',
    stderr: 'loss = 0.5',
  };
  const regex = { metricRegex: 'loss = ([0-9.]+)' };

  it.each([
    ['the file of --metric-file', {}, { metricFile: '*.json' }, 0.1, 'mine.json'],
    ['$MERGE_RESULT', {}, {}, 0.2, '$MERGE_RESULT'],
    ['a result file of a harness', { result: undefined }, {}, 0.3, 'lm-eval results_1.json'],
    ['stdout', { result: undefined, files: {} }, {}, 0.4, 'the last line of stdout that is a number'],
    ['--metric-regex', { result: undefined, files: {}, stdout: 'working\n' }, regex, 0.5, 'the last match of --metric-regex'],
  ] as [string, object, ReadOptions, number, string][])('%s comes next', async (_, less, options, score, source) => {
    const { files, ...rest } = { ...everywhere, ...less };
    const found = evaluated(files, rest);
    if (options.metricFile) utimesSync(join(found.out, 'mine.json'), 2e9, 2e9);
    expect(await readScore(found, options)).toMatchObject({ score, source });
  });

  it('there may be none', async () => {
    expect(await readScore(evaluated({ 'other.json': '{"a": 1}', 'torn.json': '{' }, { stdout: 'loss: 3\n' }), regex)).toBeNull();
    const { out, ...nowhere } = evaluated({});
    expect(await readScore({ ...nowhere, out: join(out, 'gone') }, {})).toBeNull();
  });
});

describe('stdout', () => {
  const read = (stdout: string, options: ReadOptions = {}) => readScore(evaluated({}, { stdout }), options);

  it.each([
    ['1.25\n', 1.25],
    ['loading\nstep 3\n-2e-3\nbye\n', -0.002],
    ['1\n2\n\n  3 \r\n', 3],
    ['50%|####\r100%|####|\r.5\r', 0.5],
    ['+7.', 7],
    ['7\n{"loss": 3}\n{"score": 0.5, "stderr": null}\n{', 0.5],
    ['{"score": 0.5}\n4', 4],
    ['4\n{"scores": [1, 2]}', 1.5],
    ['4\n{"score": 1, "note": NaN}', 1],
  ])('%j', async (stdout, score) => {
    expect(await read(stdout)).toMatchObject({ score, stderr: null, higherIsBetter: null });
  });

  it.each(['', 'loss: 1.25', '{"score', '[1]', '0x10', '1.2.3', '1,5', 'Infinity and beyond', '1 2'])('%j has none', async (stdout) => {
    expect(await read(stdout)).toBeNull();
  });

  it.each(['0.5\nnan', '0.5\n-inf', '0.5\n{"score": NaN}', '0.5\n{"score": null}', '0.5\n{"score": 1, "score": 2}'])(
    '%j fails, and the number before it does not count',
    async (stdout) => {
      expect((await mergeError(() => read(stdout))).code).toBe('E_EVALUATOR');
    },
  );

  it('is looked through for named metrics where some are asked for', async () => {
    const stdout = '{"metrics": {"acc": 0.25, "loss": 3}}\n{"score": 1}\n9';
    expect(await read(stdout, metrics('acc=2', 'loss=-1'))).toMatchObject({ score: -2.5, metrics: { acc: 0.25, loss: 3 } });
    const { code, message } = await mergeError(() => read('1\n{"score": 2}', metrics('acc')));
    expect(code).toBe('E_METRIC');
    expect(message).toContain('one score without a name: the last line of stdout that is JSON with a score');
  });
});

describe('--metric-regex', () => {
  const read = (metricRegex: string, stdout: string, stderr = '') => readScore(evaluated({}, { stdout, stderr }), { metricRegex });

  it("reads llama-perplexity's last line, with its error", async () => {
    const log =
      'perplexity: 12.10 seconds per pass\n[1]4.9341,[2]5.4007,\nFinal estimate: PPL = 5.4007 +/- 0.67339\n\nllama_perf_context_print: load time = 99 ms\n';
    const pattern = 'Final estimate: PPL = (?<score>[0-9.]+) \\+/- (?<stderr>[0-9.]+)';
    expect(await read(pattern, '', log)).toMatchObject({ score: 5.4007, stderr: 0.67339, higherIsBetter: null });
    expect(await read(pattern, '', log.replace('0.67339', '-'))).toBeNull();
    expect(await read('(?<score>[0-9.]+) \\+/- (?<stderr>[a-z]+)', '5.1 +/- nan')).toMatchObject({ score: 5.1, stderr: null });
    expect(await read('PPL = ([0-9.]+)', log)).toMatchObject({ score: 5.4007, stderr: null });
  });

  it('takes the last match, and looks past numbers that stand alone', async () => {
    expect(await read('^loss (\\S+)$', 'loss 3\nloss 2e-1\n100\n')).toMatchObject({ score: 0.2 });
  });

  it('fails the evaluation where it matches no number, or NaN', async () => {
    expect((await mergeError(() => read('loss (.*)', 'loss high'))).message).toContain("matched 'high', which is no number");
    expect((await mergeError(() => read('loss (.*)', 'loss nan'))).message).toContain('NaN or infinite');
  });
});

describe('--metric-file', () => {
  it('is the newest that matches the glob', async () => {
    const found = evaluated({
      'a/b/loss-1.txt': '1',
      'a/loss-2.txt': '2',
      'a/b/.loss-3.txt': '3',
      'a/loss-x.txt': '4',
      'a/gain-1.txt': '5',
    });
    for (const [i, name] of ['a/b/loss-1.txt', 'a/loss-2.txt', 'a/b/.loss-3.txt', 'a/loss-x.txt', 'a/gain-1.txt'].entries())
      utimesSync(join(found.out, name), 1000 + i, 1000 + i);
    const read = async (metricFile: string) => (await readScore(found, { metricFile }))!.score;
    expect(await read('**/loss-*.txt')).toBe(4);
    expect(await read('**/loss-[0-9].txt')).toBe(2);
    expect(await read('**/loss-[!0-9].txt')).toBe(4);
    expect(await read('*/*/loss-?.txt')).toBe(1);
    expect(await read('{out}/a/loss-2.txt')).toBe(2);
    expect(await read(join(found.out, 'a/*-2.txt'))).toBe(2);
    expect(await read('a/**/b/loss-1.txt')).toBe(1);
    const { code, message } = await mergeError(() => read('loss-*.txt'));
    expect([code, message]).toEqual([
      'E_EVALUATOR',
      expect.stringContaining("no file newer than its start matches --metric-file 'loss-*.txt'"),
    ]);
  });

  it('is one of this evaluation', async () => {
    const found = evaluated({ 'loss.txt': '1' });
    utimesSync(join(found.out, 'loss.txt'), 1000, 1000);
    expect(await readScore({ ...found, since: 1_000_000 }, { metricFile: 'loss.txt' })).toMatchObject({ score: 1 });
    const { code } = await mergeError(() => readScore({ ...found, since: 1_000_001 }, { metricFile: 'loss.txt' }));
    expect(code).toBe('E_EVALUATOR');
  });

  it('has numbers by JSON pointers, of which the only one needs no name', async () => {
    const json = '{"final": {"eval/loss": 2.5, "a~b": [1, NaN, 3]}, "ok": true, "best": "2"}';
    const read = (text: string, ...pointers: string[]) =>
      readScore(evaluated({ 'm.json': text }), { metricFile: 'm.json', ...metrics(...pointers) });
    expect(await read(json, '/final/eval~1loss')).toEqual({
      ...{ score: 2.5, stderr: null, items: null, higherIsBetter: null, cost: null },
      ...{ metrics: { '/final/eval~1loss': 2.5 }, source: 'm.json' },
    });
    expect(await read(json, '/final/a~0b/0=2', '/final/a~0b/2=-1')).toMatchObject({ score: -1 });
    expect(await read('{"loss": 2}')).toMatchObject({ score: 2, metrics: { '/loss': 2 } });
    expect((await mergeError(() => read(json, '/final/a~0b/1'))).code).toBe('E_EVALUATOR');
    expect((await mergeError(() => read(json, '/best'))).code).toBe('E_METRIC');
    const deep = (depth: number) => `${'['.repeat(depth)}7${']'.repeat(depth)}`;
    expect(await read(deep(200))).toMatchObject({ score: 7 });
    expect((await mergeError(() => read(deep(50_000)))).code).toBe('E_EVALUATOR');
    const { code, message } = await mergeError(() => read(json));
    expect(code).toBe('E_METRIC');
    expect(message).toContain("--metric '/final/eval~1loss'   (2.5)");
    expect((await mergeError(() => read(json, '/final/eval_loss'))).message).toContain("did you mean --metric '/final/eval~1loss'?");
  });

  it('may be a file of a known form, by the names of its metrics or by pointers', async () => {
    const read = (text: string, ...names: string[]) =>
      readScore(evaluated({ 'm.json': text }), { metricFile: 'm.json', ...metrics(...names) });
    const file = lmEval({ quiz: { 'acc,none': 0.3, 'loss,none': 2 } });
    expect(await read(file, 'quiz/acc')).toMatchObject({ score: 0.3, higherIsBetter: true });
    expect(await read(file, '/results/quiz/acc,none')).toMatchObject({ score: 0.3, higherIsBetter: null });
    expect(await read('{"score": 3, "stderr": 1}')).toMatchObject({ score: 3, stderr: 1 });
  });

  it('may be a log that grows by lines, of which the last counts', async () => {
    const read = (name: string) =>
      readScore(evaluated({ [name]: '{"loss": 3}\n{"loss": 2}\n' }), { metricFile: name, ...metrics('/loss') });
    expect(await read('log.jsonl')).toMatchObject({ score: 2 });
    expect((await mergeError(() => read('log.json'))).message).toContain('log.json holds neither JSON nor a number');
  });

  it('is not read where it is a folder, and a link is followed', async () => {
    const found = evaluated({ 'folder/real': '1' });
    mkdirSync(join(found.out, 'm.json'));
    symlinkSync('folder/real', join(found.out, 'link'));
    expect((await mergeError(() => readScore(found, { metricFile: 'm.json' }))).code).toBe('E_EVALUATOR');
    expect(await readScore(found, { metricFile: 'link' })).toMatchObject({ score: 1 });
  });
});

describe('result files of harnesses', () => {
  it('are those of this evaluation, whatever they are called', async () => {
    const found = evaluated({
      'm/results_1.json': lmEval({ quiz: { 'acc,none': 0.3 } }),
      'scores_2.json': lmEval({ quiz: { 'acc,none': 0.4 } }),
    });
    utimesSync(join(found.out, 'm/results_1.json'), 2000, 2000);
    utimesSync(join(found.out, 'scores_2.json'), 1000, 1000);
    expect(await readScore(found, {})).toMatchObject({ score: 0.3, source: 'lm-eval results_1.json' });
    expect(await readScore({ ...found, since: 1_500_000 }, {})).toMatchObject({ score: 0.3, source: 'lm-eval results_1.json' });
    expect(await readScore({ ...found, since: 2_500_000 }, {})).toBeNull();
  });

  it('add up where a command ran a harness more than once', async () => {
    const found = evaluated({
      'a/results_1.json': lmEval({ quiz: { 'acc,none': 0.3 } }),
      'b/results_2.json': lmEval({ test: { 'acc,none': 0.5 } }),
    });
    const both = expect.stringMatching(/^lm-eval results_[12].json and lm-eval results_[12].json$/);
    expect(await readScore(found, metrics('quiz/acc=0.5', 'test/acc=0.5'))).toMatchObject({
      score: 0.4,
      higherIsBetter: true,
      source: both,
    });
    expect((await mergeError(() => readScore(found, {}))).code).toBe('E_METRIC');
  });

  it('that are torn fail the evaluation', async () => {
    const found = evaluated({ 'm/results_1.json': lmEval({ quiz: { 'acc,none': 0.3 } }).slice(0, -9) }, { stdout: '1\n' });
    const { code, message, details } = await mergeError(() => readScore(found, {}));
    expect([code, message]).toEqual(['E_EVALUATOR', expect.stringContaining('m/results_1.json is torn, or no JSON')]);
    expect(details.file).toBe(join(found.out, 'm/results_1.json'));
  });

  it('that went away, and links to nowhere, are none', async () => {
    const found = evaluated({});
    symlinkSync('nowhere.json', join(found.out, 'results_1.json'));
    expect(await readScore(found, {})).toBeNull();
  });
});

describe('options that cannot work', () => {
  it.each([
    [{ metricRegex: '(' }, 'E_OPTION', "--metric-regex '('"],
    [{ metricFile: 'a/[z-a].json' }, 'E_OPTION', "--metric-file 'a/[z-a].json'"],
    [metrics('a/b', 'c', 'a/b=2'), 'E_OPTION', "--metric 'a/b' is given twice"],
    [metrics('/loss'), 'E_USAGE', 'there is no --metric-file'],
    [{ metricRegex: 'a', ...metrics('a/b') }, 'E_USAGE', '--metric-regex'],
    [{ metricRegex: 'a', metricFile: 'a' }, 'E_USAGE', '--metric-regex'],
  ] as [ReadOptions, string, string][])('%j are refused before anything is evaluated', async (options, code, text) => {
    expect(await mergeError(() => checkReadOptions(options))).toMatchObject({ code, message: expect.stringContaining(text) });
  });

  it('are told from those that can', () => {
    checkReadOptions({});
    checkReadOptions({ metricRegex: 'loss = ([0-9.]+)' });
    checkReadOptions({ metricFile: '**/[a-z]*.json', ...metrics('/a', '/b=-1') });
  });
});
