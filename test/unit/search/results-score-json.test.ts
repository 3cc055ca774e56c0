import { describe, expect, it } from 'vitest';
import { readScore } from '../../../src/search/evaluate/results/read.ts';
import { evaluated } from '../../support/evaluated.ts';
import { mergeError } from '../../support/safetensors.ts';

const read = (result: string) => readScore(evaluated({}, { result }), {});

describe('JSON with a score', () => {
  it('is read with all that it may say', async () => {
    const json = {
      score: 0.5,
      stderr: 0.01,
      items: [0.4, 0.6],
      metrics: { acc: 0.5, loss: 2 },
      higher_is_better: true,
      cost: 1.25,
      constraints: { size: -1, ok: true, even: 0 },
    };
    expect(await read(JSON.stringify(json))).toEqual({
      score: 0.5,
      stderr: 0.01,
      items: [{ name: '', weight: 1, digest: expect.stringMatching(/^[0-9a-f]{64}$/), scores: [0.4, 0.6] }],
      metrics: { acc: 0.5, loss: 2 },
      higherIsBetter: true,
      source: '$MERGE_RESULT',
      cost: 1.25,
    });
  });

  it.each([
    ['{"score": 1, "stderr": null}', { stderr: null }],
    ['{"score": 1, "stderr": "N/A", "cost": -1}', { stderr: null, cost: null }],
    ['{"score": 2.5, "stderr": 0}', { stderr: 0 }],
    ['{"score": 1, "higher_is_better": "no"}', { higherIsBetter: null }],
    ['{"score": 1, "higher_is_better": false}', { higherIsBetter: false }],
    ['{"scores": [1, 2, 6]}', { score: 3 }],
    ['{"metrics": {"loss": 2}, "higher_is_better": {"loss": false}}', { score: 2, higherIsBetter: false }],
    ['{"score": 4, "metrics": {"loss": NaN, "acc": 0.5, "note": "x"}}', { score: 4, metrics: { acc: 0.5 } }],
    ['\uFEFF {"score": 1}\n', { score: 1 }],
  ])('%s', async (text, expected) => {
    expect(await read(text)).toMatchObject(expected);
  });

  it('keeps items only where their mean is the score', async () => {
    const items = async (json: unknown) => (await read(JSON.stringify(json)))!.items?.[0]?.scores ?? null;
    expect(await items({ score: 2, items: [1, 2, 3] })).toEqual([1, 2, 3]);
    expect(await items({ score: 2.000001, scores: [1, 2, 3] })).toEqual([1, 2, 3]);
    expect(await items({ score: 2.00001, items: [1, 2, 3] })).toBeNull();
    expect(await items({ score: 0, items: [0, 0] })).toEqual([0, 0]);
    expect(await items({ score: Math.exp(2), items: [1, 2, 3] })).toBeNull();
    expect(await items({ score: 2, items: [] })).toBeNull();
    expect(await items({ score: 2, items: [2, null] })).toBeNull();
    expect(await items({ score: 2, items: ['2'] })).toBeNull();
  });

  it('takes items with names in the order of the names, so that other orders are the same items', async () => {
    const list = async (items: unknown) => (await read(JSON.stringify({ score: 2, items })))!.items![0]!;
    const one = await list({ b: 3, a: 1 });
    expect(one.scores).toEqual([1, 3]);
    expect(await list({ a: 1, b: 3 })).toEqual(one);
    expect((await list({ a: 1, c: 3 })).digest).not.toBe(one.digest);
    expect((await list([1, 3])).digest).toBe((await list([3, 1])).digest);
    expect((await list([1, 3])).digest).not.toBe((await list([1, 2, 3])).digest);
  });

  it.each([
    ['{"score": NaN}', 'the score is NaN or infinite in $MERGE_RESULT'],
    ['{"score": 1e999}', 'the score is NaN or infinite'],
    ['nan', 'the score is NaN or infinite'],
    ['-Infinity', 'the score is NaN or infinite'],
    ['{"score": null}', '"score" is null'],
    ['{"score": 1, "stderr": -1}', '"stderr" is -1, and a standard error is a number of at least 0, in $MERGE_RESULT'],
    ['{"score": 1, "stderr": NaN}', '"stderr" is NaN'],
    ['{"score": 1, "stderr": 1e999}', '"stderr" is Infinity'],
    ['{"scores": [1, 2], "stderr": -0.5}', '"stderr" is -0.5'],
    ['{"score": "0.5"}', '"score" is "0.5"'],
    ['{"score": 1, "constraints": {"toxicity": 0.2, "ok": false, "size": -3}}', 'toxicity is 0.2, ok is false'],
    ['{"metrics": {}}', 'there is no metric'],
    ['{"metrics": {"loss": NaN}}', 'loss is NaN or infinite'],
    ['{"scores": {"acc": 0.5, "f1": 0.4}}', 'there is no metric'],
    ['{"loss": 2}', 'holds neither a number nor JSON with "score"'],
    ['{"score": 0.5', 'holds neither a number nor JSON'],
    ['', 'holds neither a number nor JSON'],
    ['loss: 2', 'holds neither a number nor JSON'],
    ['[0.5]', 'holds neither a number nor JSON'],
  ])('that gives no score fails the evaluation and says why: %j', async (text, why) => {
    const { code, message } = await mergeError(() => read(text));
    expect(code).toBe('E_EVALUATOR');
    expect(message).toContain(why);
  });
});
