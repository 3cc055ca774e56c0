import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readStepScores } from '../../../src/checkpoints/results/by-step.ts';
import { parseMetric } from '../../../src/checkpoints/results/metric.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';
import { mergeError } from '../../support/safetensors.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const LM_EVAL = join(import.meta.dirname, '../../golden/results/lm-eval');

/** The scores of a file with this text. */
async function read(name: string, text: string, ...metrics: string[]) {
  const path = join(folder.path, name);
  writeFileSync(path, text);
  return readStepScores(path, metrics.map(parseMetric));
}
const scoresOf = async (name: string, text: string, ...metrics: string[]) =>
  Object.fromEntries((await read(name, text, ...metrics)).scores);

const TWO = { 1000: 0.5, 2000: 0.25 };

describe('scores by step', () => {
  it.each<[string, string, string]>([
    ['a CSV without a header', 'a.csv', '1000,0.5\n2000,0.25\n'],
    ['a CSV with one, remarks and Windows lines', 'a.csv', '\uFEFF# mine\r\nstep,acc\r\n1000,.5\r\n\r\n2000, 0.25\r\n'],
    ['columns in another order, of which one is the score', 'a.csv', 'score,tokens,global_step,remark\n0.5,1,1000,good\n0.25,2,2000,bad\n'],
    ['JSON by step', 'a.json', '{"1000": 0.5, "2000": {"score": 0.25, "stderr": 0.1}}'],
    ['JSON by the names of checkpoints', 'a.json', '{"checkpoint-1000": {"acc": 0.5}, "data__run__step2000": {"acc": 0.25}}'],
    ['a list', 'a.json', '[{"step": 1000, "score": 0.5}, {"iteration": 2000, "loss": 0.25}]'],
    ['a line each', 'a.jsonl', '{"step":1000,"loss":0.5}\n{"step":2000,"loss":0.25}\n'],
  ])('%s', async (_, name, text) => {
    expect(await scoresOf(name, text)).toEqual(TWO);
  });

  it('a column of several is named as any metric is, with weights too', async () => {
    const text = 'step,"arc_easy/acc,none",loss\n1000,0.5,2\n2000,0.25,4\n';
    expect(await scoresOf('a.csv', text, 'arc_easy/acc')).toEqual(TWO);
    expect(await scoresOf('a.csv', text, 'arc_easy/acc,none=2', 'loss=-1')).toEqual({ 1000: -1, 2000: -3.5 });
    expect(await mergeError(() => read('a.csv', text))).toMatchObject({ code: 'E_METRIC', message: expect.stringContaining('has 2') });
    expect(await mergeError(() => read('a.csv', text, 'acc'))).toMatchObject({ code: 'E_METRIC' });
  });

  it('NaN, infinity and an empty place are no scores, and are said', async () => {
    const { scores, without } = await read('a.csv', 'step,score\n1000,nan\n2000,\n3000,inf\n4000,1\n');
    expect([...scores]).toEqual([[4000, 1]]);
    expect([...without.keys()]).toEqual([1000, 2000, 3000]);
    expect(without.get(1000)).toContain('line 2: score is NaN or infinite');
    const json = await read('a.json', '{"1000": NaN, "2000": null, "3000": 1}');
    expect([[...json.scores.keys()], [...json.without.keys()]]).toEqual([[3000], [1000, 2000]]);
  });

  it('refuses a standard error that is none, by the file, the entry and the key', async () => {
    expect(await mergeError(() => read('a.json', '{"1000": 0.5, "2000": {"score": 0.25, "stderr": -0.1}}'))).toMatchObject({
      code: 'E_SCORES',
      message: expect.stringMatching(/a\.json: "stderr" is -0\.1, .* in entry 2$/),
    });
  });

  it('results of lm-eval in a folder a step, which say which way is better', async () => {
    const accuracy = await readStepScores(LM_EVAL, [parseMetric('colours/acc,none')]);
    expect([...accuracy.scores.keys()]).toEqual([3800, 6000]);
    expect(accuracy.scores.get(6000)).toBe(2 / 3);
    expect(accuracy.higherIsBetter).toBe(true);
    const bits = await readStepScores(LM_EVAL, [parseMetric('prose/bits_per_byte')]);
    expect(bits.scores.get(6000)).toBe(1.9658507320647387);
    expect(bits.higherIsBetter).toBe(false);
  });

  it('a folder of files by step', async () => {
    const results = join(folder.path, 'results');
    mkdirSync(results);
    writeFileSync(join(results, 'step1000.json'), '{"score": 0.5}');
    writeFileSync(join(results, 'step2000.json'), '{"acc": 0.25}');
    writeFileSync(join(results, 'notes.txt'), 'of no step');
    expect(Object.fromEntries((await readStepScores(results, [])).scores)).toEqual(TWO);
    writeFileSync(join(results, 'checkpoint-2000.json'), '{"acc": 0.25}');
    expect(await mergeError(() => readStepScores(results, []))).toMatchObject({
      code: 'E_SCORES',
      message: expect.stringContaining('checkpoint-2000.json and step2000.json are both of step 2000'),
    });
  });

  it.each<[string, string, string, string]>([
    ['a step twice', 'a.csv', '1000,1\n1000,2\n', 'line 2: step 1000 is in line 1 already'],
    ['a word for a score', 'a.csv', 'step,score\n1000,x\n', 'line 2: "x" is no score'],
    ['half a step', 'a.csv', 'step,score\n1000.5,1\n', 'line 2: "1000.5" is no step'],
    ['a column too many', 'a.csv', '1000,1,2\n', 'line 1: "1000,1,2" has 3 columns and not 2'],
    ['no column of steps', 'a.csv', 'name,score\nx,1\n', 'line 1 names no column step'],
    ['nothing', 'a.csv', '\n', 'no line with a step and a score'],
    ['torn JSON', 'a.json', '{"1000": 0.5', 'is no JSON'],
    ['JSON of no steps', 'a.json', '{"best": 0.5}', 'entry 1 is no step'],
    ['JSON with a key twice', 'a.json', '{"1000": 1, "1000": 2}', '"1000" is there twice'],
    ['lines of JSON with a key twice', 'a.jsonl', '{"step": 1, "acc": 1, "acc": 2}', 'line 1: "acc" is there twice'],
    ['JSON with a step twice', 'a.json', '{"1000": 1, "step1000": 2}', 'step 1000 is there twice'],
    ['a list without steps', 'a.json', '[{"score": 1}]', 'entry 1 is no step, or has none'],
    ['a torn line', 'a.jsonl', '{"step":1}\n{"step', 'line 2 is no JSON'],
  ])('is refused: %s', async (_, name, text, message) => {
    expect(await mergeError(() => read(name, text))).toMatchObject({ code: 'E_SCORES', message: expect.stringContaining(message) });
  });

  it('shows nothing of what is no table of numbers', async () => {
    const { message } = await mergeError(() => read('key.csv', 'secret-of-somebody,else\nAAAAB3NzaC1yc2E,private\n'));
    expect(message).not.toMatch(/secret|AAAA|private/);
    expect(await mergeError(() => readStepScores(join(folder.path, 'none.csv'), []))).toMatchObject({ code: 'E_NOT_FOUND' });
    mkdirSync(join(folder.path, 'empty'));
    expect(await mergeError(() => readStepScores(join(folder.path, 'empty'), []))).toMatchObject({ code: 'E_SCORES' });
  });
});
