import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { speakTo } from '../../../src/base/option-words.ts';
import { goalOf } from '../../../src/checkpoints/results/goal.ts';
import { parseMetric, readScore } from '../../../src/search/evaluate/results/read.ts';
import { evaluated } from '../../support/evaluated.ts';
import { mergeError } from '../../support/safetensors.ts';

// Messages are of the command line here.
beforeAll(() => speakTo('command line'));
afterAll(() => speakTo('library'));

const results = (entries: Record<string, Record<string, unknown>>, directions: Record<string, Record<string, boolean | null>> = {}) =>
  evaluated({ 'results_1.json': JSON.stringify({ results: entries, configs: {}, higher_is_better: directions }) });
const quiz = () =>
  results(
    {
      quiz: { 'acc,none': 0.5, 'acc_stderr,none': 0.03 },
      exam: { 'loss,none': 2, 'loss_stderr,none': 0.2 },
      hard: { 'acc,none': 1, 'acc_stderr,none': 'N/A' },
      odd: { 'x,none': 4, 'x_stderr,none': 1 },
    },
    { quiz: { acc: true }, exam: { loss: false }, hard: { acc: true }, odd: { x: null } },
  );
const read = (...metrics: string[]) => readScore(quiz(), { metrics: metrics.map(parseMetric) });

describe('--metric', () => {
  it.each([
    ['quiz/acc,none', 'quiz/acc,none', 1],
    ['quiz/acc,none=0.5', 'quiz/acc,none', 0.5],
    ['quiz/acc=-1e-2', 'quiz/acc', -0.01],
    ['copying|0/pass@k:k=1&n=4', 'copying|0/pass@k:k=1&n', 4],
    ['copying|0/pass@k:k=1&n=4=2', 'copying|0/pass@k:k=1&n=4', 2],
    [' quiz/acc = 3 ', 'quiz/acc', 3],
    ['/a/b=2', '/a/b', 2],
  ])('%s', (text, name, weight) => {
    expect(parseMetric(text)).toEqual({ name, weight });
  });

  it.each(['', '=0.5', ' =1', 'acc=', 'acc=half', 'acc=0', 'acc=inf', 'acc=nan', 'acc=0x', 'acc=1,5'])('%j is refused', async (text) => {
    expect(await mergeError(() => parseMetric(text))).toMatchObject({
      code: 'E_OPTION',
      exitCode: 2,
      message: expect.stringContaining(`--metric '${text}'`),
    });
  });

  it('that fits nothing is answered with what may be meant', async () => {
    const message = async (...metrics: string[]) => {
      const error = await mergeError(() => read(...metrics));
      expect([error.code, error.exitCode]).toEqual(['E_METRIC', 2]);
      return error.message;
    };
    expect(await message('quizz/acc,none')).toContain('did you mean --metric quiz/acc,none?');
    expect(await message('quiz/ac')).toContain('did you mean --metric quiz/acc,none?');
    expect(await message('acc')).toMatch(/like it\n {2}--metric quiz\/acc,none .*\n {2}--metric hard\/acc,none [^\n]*$/);
    expect(await message('somewhere/else/quite')).toMatch(/there are\n( {2}--metric .*\n?){4}$/);
    const both = await message('quizz/acc,none', 'odd/x', 'exom/loss');
    expect(both).toContain('--metric quiz/acc,none?');
    expect(both).toContain('--metric exam/loss,none?');
    expect(both).not.toContain("'odd/x'");
  });

  it('of hundreds that there are lists twenty', async () => {
    const many = results({ many: Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`m${i},none`, i])) });
    const { message } = await mergeError(() => readScore(many, {}));
    expect(message.split('\n')).toHaveLength(22);
    expect(message).toMatch(/ has 300:\n(.*\n){20} {2}and 280 more$/);
  });
});

describe('a weighted sum', () => {
  it('has the error of independent metrics, if all have one', async () => {
    const sum = (await read('quiz/acc=2', 'exam/loss=-0.1'))!;
    expect(sum.score).toBeCloseTo(0.8, 12);
    expect(sum.stderr).toBeCloseTo(Math.sqrt(0.06 ** 2 + 0.02 ** 2), 12);
    expect((await read('quiz/acc', 'hard/acc'))!.stderr).toBeNull();
  });

  it.each([
    [['quiz/acc'], true],
    [['exam/loss'], false],
    [['exam/loss=-1'], true],
    [['quiz/acc=2', 'exam/loss=-0.1'], true],
    [['quiz/acc=-2', 'exam/loss=0.1'], false],
    [['quiz/acc', 'exam/loss'], null],
    [['quiz/acc', 'odd/x'], null],
    [['odd/x'], null],
    [['quiz/acc', 'hard/acc=-1'], null],
  ])('of %j: higher is better: %s', async (metrics, higherIsBetter) => {
    expect(await read(...metrics)).toMatchObject({ higherIsBetter });
  });

  it.each(['exam/loss=1e100', 'exam/loss=-1e200'])('of a size that nothing can be compared with is no score: %s', async (name) => {
    expect(await mergeError(() => read(name))).toMatchObject({
      code: 'E_EVALUATOR',
      message: expect.stringMatching(/^the evaluation gave no score: the score is -?2\.00e\d+ in .*: beyond ±1e100/),
    });
  });

  it('has no standard error of such a size', async () => {
    const found = evaluated({}, { stdout: '{"score": 1.5, "stderr": 1e200, "items": [1, 1e300]}' });
    expect(await readScore(found, {})).toMatchObject({ score: 1.5, stderr: null, items: null });
  });

  it('that overflows is no score', async () => {
    expect(await mergeError(() => read('exam/loss=1e308', 'odd/x=1e308'))).toMatchObject({
      code: 'E_EVALUATOR',
      message: expect.stringContaining('overflows'),
    });
  });
});

describe('the goal', () => {
  const score = (higherIsBetter: boolean | null) => ({ higherIsBetter, source: 'the last line of stdout that is a number' });

  it('is what the user says, or else what the evaluator says', () => {
    expect(goalOf('minimize', score(true), {})).toBe('minimize');
    expect(goalOf(undefined, score(true), {})).toBe('maximize');
    expect(goalOf(undefined, score(false), {})).toBe('minimize');
  });

  it('is asked for where neither says it', async () => {
    const one = await mergeError(() => goalOf(undefined, score(null), { metrics: [parseMetric('odd/x')] }));
    expect(one).toMatchObject({ code: 'E_GOAL', exitCode: 2, help: expect.stringContaining('--goal minimize') });
    expect(one.message).toBe('are larger or smaller scores better? the last line of stdout that is a number does not say it of odd/x');
    const sum = await mergeError(() => goalOf(undefined, score(null), { metrics: ['quiz/acc', 'exam/loss'].map(parseMetric) }));
    expect(sum.message).toContain('larger or smaller sums of quiz/acc, exam/loss');
  });
});
