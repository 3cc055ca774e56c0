import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { speakTo } from '../../../src/base/option-words.ts';
import { nearlyScore } from '../../../src/search/evaluate/results/nearly.ts';
import { readScore } from '../../../src/search/evaluate/results/read.ts';
import { evaluated } from '../../support/evaluated.ts';
import { evaluation } from '../../support/evaluating.ts';
import { mergeError } from '../../support/safetensors.ts';

// Messages are of the command line here.
beforeAll(() => speakTo('command line'));
afterAll(() => speakTo('library'));

const scoreOf = async (stdout: string) => (await readScore(evaluated({}, { stdout }), {}))?.score ?? null;

describe('what an evaluator prints', () => {
  it.each([
    ['colours', '\u001b[1;32m0.61\u001b[0m\n', 0.61],
    ['colours around JSON', '\u001b[36m{"score": 0.61}\u001b[0m', 0.61],
    ['a progress bar that was written over', 'eval:  50%|##   |\reval: 100%|#####|\r\n0.61\n', 0.61],
    ['lines as on Windows', 'loading\r\n0.61\r\n', 0.61],
    ['a mark of the byte order', '\uFEFF0.61\n', 0.61],
    ['JSON over several lines', `log\n${JSON.stringify({ score: 0.61, scores: [0.6, 0.62] }, null, 2)}\n`, 0.61],
    ['and without indentation', '{\n"score": 0.61,\n"parts": [\n{\n"score": 3\n}\n]\n}\n', 0.61],
    ['and with braces in its texts', '{\n  "note": "}}]",\n  "score": 0.61\n}\n', 0.61],
    ['and something printed after it', `${JSON.stringify({ score: 0.61 }, null, 1)}\nMERGE_COST=1\nDone.\n`, 0.61],
    ['a number before JSON that holds no score', `0.61\n${JSON.stringify({ lengths: [3, 4] }, null, 2)}\n`, 0.61],
    ['a list over several lines, whose last element is no score', '0.61\n[\n  1,\n  2\n]\n', 0.61],
    ['a call that was printed after it', '0.61\nexit(0)\n', 0.61],
  ])('is read where it can mean one thing: %s', async (_, stdout, score) => {
    expect(await scoreOf(stdout)).toBe(score);
  });

  it('holds no score in a torn JSON, whose parts are none', async () => {
    expect(await scoreOf('{\n"parts": [\n{\n"metrics": 3\n}\n')).toBeNull();
    expect(await scoreOf('[\n  0.1,\n  0.2\n]\n')).toBeNull();
  });

  it.each([
    'np.float64(0.61)',
    'numpy.float32(0.61)',
    'tensor(0.6100)',
    "tensor(0.61, device='cuda:0', dtype=torch.bfloat16)",
    'Array(0.61, dtype=float32)',
    '<tf.Tensor: shape=(), dtype=float32, numpy=0.61>',
    "Decimal('0.61')",
    'np.float64(nan)',
    "{'score': 0.61}",
    '{"score": np.float64(0.61)}',
    "{'score': tensor(0.61)}",
  ])('as Python shows it is named, and no number before it is taken: %s', async (line) => {
    const { code, message } = await mergeError(() => scoreOf(`0.5\n${line}\n`));
    expect(code).toBe('E_EVALUATOR');
    expect(message).toContain(`the line '${line}' is nearly a score: `);
  });

  it.each([
    ['0.61%', 'percentage'],
    ['61 %', 'percentage'],
    ['1,234.5', 'separators'],
    ['0,61', 'with a point'],
    ['\u22120.61', 'the minus sign of ASCII'],
    ["'0.61'", 'without quotes'],
    ['[0.61]', 'a list of one'],
    ['0.61 /dev/shm/work/model-0000', 'print the number alone, without what follows it (a command that does not name {model}'],
    ['0.61 (stderr 0.01)', 'without what follows it'],
    ['{"acc": 0.61}', 'is JSON without "score" or "metrics": print {"score":0.61}, or {"metrics":{"acc":0.61}} with --metric acc'],
    ['acc: 0.61', "--metric-regex '^acc:\\s*([-+0-9.e]+)'"],
    ['acc of /dev/shm/work/model-0003-5eee09d4a6f7: 0.61', "--metric-regex '^acc of \\S+\\s*([-+0-9.e]+)'"],
    ['epoch 3 of wikitext2: 0.61', "--metric-regex '^epoch \\d+ of wikitext\\d+:\\s*([-+0-9.e]+)'"],
    ['Final estimate: PPL = 12.3 +/- 0.4', '--metric-regex'],
  ])('that may mean several things is named with what to print: %s', async (line, advice) => {
    const { outcome } = await evaluation({ command: ['printf', '%s\n', 'loading', line, 'done'].slice(0, -1) }, { model: 'loaded' });
    // The model is appended, as the last line.
    expect(outcome.status).toBe('failed');
    const { outcome: last } = await evaluation({ command: ['sh', '-c', `printf '%s\\n' loading "$1"`, 'sh', line, '{model}'] });
    expect(last).toMatchObject({ status: 'failed', reason: expect.stringContaining(line) });
    expect(last).toMatchObject({ reason: expect.stringContaining(advice) });
  });

  it.each([
    ['{\n "acc": 0.61\n}'],
    ['0.5\n{\n  "parts": {\n    "a": 3\n  },\n  "acc": 0.61\n}\nDone.'],
    [`log\n${JSON.stringify({ items: Array.from({ length: 60 }, (_, i) => `item ${i}`), acc: 0.61 }, null, 2)}`],
  ])('over several lines is named as on one: %j', async (printed) => {
    const advised = nearlyScore(printed);
    expect(advised).toContain('is JSON without "score" or "metrics": print {"score":0.61}, or {"metrics":{"acc":0.61}} with --metric acc');
  });

  it('that does not match is told by the expression that was given, and by nothing that was not asked for', async () => {
    const { outcome } = await evaluation({ command: 'echo loss 5; : {model}', reading: { metricRegex: 'acc (.*)' } });
    expect(outcome).toMatchObject({
      status: 'failed',
      reason: "it printed no score: nothing that it printed matches acc (.*), the last line of stdout is 'loss 5'",
    });
  });

  it('is read by the expression that the advice gives', async () => {
    const { outcome } = await evaluation({ command: 'echo "loss (dev) = 1.25e-1"; : {model}' });
    const regex = /--metric-regex '(.*)'$/.exec((outcome as { reason: string }).reason)![1]!;
    const { outcome: read } = await evaluation({ command: 'echo "loss (dev) = 1.25e-1"; : {model}', reading: { metricRegex: regex } });
    expect(read).toMatchObject({ status: 'complete', score: { score: 0.125 } });
  });

  // What looked at each line anew from its every place would take minutes.
  it('is looked through once, however much it is', { timeout: 30_000 }, async () => {
    expect(await scoreOf(`0.61\n${'}\n'.repeat(2e5)}${' '.repeat(2e5)}x\n${"{'a".repeat(1e5)}\n`)).toBe(0.61);
  });
});

describe('why an evaluation failed', () => {
  it('has the last line of stderr, also where more was printed on stdout after it', async () => {
    const command = 'echo "KeyError: x" >&2; sleep 0.2; i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo $i; done; exit 1; : {model}';
    const { outcome } = await evaluation({ command });
    expect(outcome).toMatchObject({ status: 'failed', reason: 'it ended with exit code 1', lastWords: 'KeyError: x' });
    expect((outcome as { tail: readonly string[] }).tail.slice(-3)).toEqual(['40', 'the end of stderr:', 'KeyError: x']);
  });
});
