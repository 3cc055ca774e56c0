import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { Evaluator, type EvaluatorOptions } from '../../../src/search/evaluate/evaluator.ts';
import { parseServer } from '../../../src/search/evaluate/server.ts';
import { entry, fileBytes, folderOf, mergeError, temporaryFolder } from '../../support/safetensors.ts';
import { sglangStub, type UpdateMode } from '../../support/sglang-stub.ts';

/** A checkpoint of one tensor, filled with a byte. */
function checkpoint(byte: number, metadata = ''): string {
  const header = `{${metadata}${entry('model.norm.weight', 'F32', [1000], 0, 4000)}}`;
  return folderOf({ 'model.safetensors': fileBytes(header, Buffer.alloc(4000, byte)) });
}

/** Prints which model the server has. */
const WHICH = `"${process.execPath}" -e 'fetch(process.argv[1]).then(async (r) => console.log((await r.json()).model_path))' {server}/model_info; echo "$MERGE_SERVER"; echo 1`;

/** Evaluations on one server, one trial after another, on a clock that does not wait. */
function evaluations(url: string, options: Partial<EvaluatorOptions> = {}) {
  const folder = temporaryFolder();
  const evaluator = new Evaluator({ command: 'echo 1', reading: {}, server: `sglang=${url}`, ...options }, async () => {});
  let trial = 0;
  return async (model: string, signal = new AbortController().signal) => {
    const log = join(folder, `log-${++trial}`);
    const outcome = await evaluator.evaluate({ model, trial, out: join(folder, `out-${trial}`), log }, { signal });
    return { outcome, log: readFileSync(log, 'utf8') };
  };
}

describe('a server that takes weights from disk', () => {
  it('gets the model before the command runs, which is told where the server is and no path', async () => {
    const stub = await sglangStub(checkpoint(1));
    const model = checkpoint(2);
    const { outcome, log } = await evaluations(`${stub.url}/`, { command: WHICH })(model);
    expect(outcome).toMatchObject({ status: 'complete', attempts: 1, score: { score: 1 } });
    expect(log.split('\n').slice(1)).toEqual([model, stub.url, '1', '']);
    expect(log).not.toContain(`1 ${model}`);
    expect(stub.asked.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'GET /model_info',
      'POST /generate',
      'POST /update_weights_from_disk',
      'POST /generate',
      'GET /model_info',
    ]);
    expect(stub.asked[2]!.body).toMatchObject({ model_path: model });
    expect(stub.asked[1]!.body).toMatchObject({ sampling_params: { temperature: 0 }, return_logprob: true });
    expect(stub.asked[3]!.body).toEqual(stub.asked[1]!.body);
  });

  it('may be older, and may ask for a key', async () => {
    const stub = await sglangStub(checkpoint(1));
    stub.old = true;
    vi.stubEnv('MERGE_SERVER_KEY', 'secret');
    const { outcome } = await evaluations(stub.url)(checkpoint(2));
    vi.unstubAllEnvs();
    expect(outcome.status).toBe('complete');
    expect(new Set(stub.asked.map(({ key }) => key))).toEqual(new Set(['Bearer secret']));
  });

  it('may answer alike where the weights are the same, whatever the rest of the files', async () => {
    const stub = await sglangStub(checkpoint(1));
    const evaluate = evaluations(stub.url);
    for (const model of [checkpoint(1), checkpoint(2), checkpoint(2, '"__metadata__":{"made":"later"},'), checkpoint(3)]) {
      expect((await evaluate(model)).outcome.status).toBe('complete');
    }
  });

  it('is found out when it goes on with the weights before', async () => {
    const stub = await sglangStub('demo/runs/dense/checkpoint-4000');
    const evaluate = evaluations(stub.url);
    const [first, second] = [checkpoint(1), checkpoint(2)];
    await evaluate(first);
    stub.mode = 'stale';
    const error = await mergeError(() => evaluate(second));
    expect(error).toMatchObject({ code: 'E_STALE_WEIGHTS', exitCode: 1 });
    expect(error.message).toContain(first);
    expect(error.message).toContain(second);
  });

  it('is found out at the first evaluation too, where what it served can be looked at', async () => {
    const stub = await sglangStub(checkpoint(1));
    stub.mode = 'stale';
    expect((await mergeError(() => evaluations(stub.url)(checkpoint(2)))).code).toBe('E_STALE_WEIGHTS');
  });

  it.each([
    ['refuses', {}, /did not load .*: Failed to get model loader\.$/, 1],
    ['fails', {}, /status 500: .*CUDA out of memory/, 1],
    ['closes', {}, /\/update_weights_from_disk does not answer: .*after 4 attempts$/, 4],
    ['hangs', { timeout: 2 }, /^it took longer than 2 s$/, 1],
  ] as const)('that %s gives no score', async (mode, options, reason, attempts) => {
    const stub = await sglangStub(checkpoint(1));
    const evaluate = evaluations(stub.url, options);
    stub.mode = mode satisfies UpdateMode;
    const model = checkpoint(2);
    expect((await evaluate(model)).outcome).toMatchObject({ status: 'failed', reason: expect.stringMatching(reason), attempts });
    // Nobody knows what it has loaded after that, so the next one is not judged against it.
    stub.mode = 'fine';
    expect((await evaluate(model)).outcome.status).toBe('complete');
  });

  it('that is not there, or is something else, gives no score', async () => {
    const stub = await sglangStub(checkpoint(1));
    stub.plain = true;
    const { outcome } = await evaluations(stub.url)(checkpoint(2));
    expect(outcome).toMatchObject({ status: 'failed', reason: expect.stringMatching(/without log probabilities/), attempts: 1 });
    const { outcome: nobody } = await evaluations('http://127.0.0.1:9')(checkpoint(2));
    expect(nobody).toMatchObject({ status: 'failed', reason: expect.stringMatching(/does not answer/), attempts: 4 });
  });

  it('has one model at a time, however many evaluations there are', async () => {
    const stub = await sglangStub(checkpoint(1));
    const evaluate = evaluations(stub.url, { command: WHICH });
    const models = [2, 3, 4].map((byte) => checkpoint(byte));
    const results = await Promise.all(models.map((model) => evaluate(model)));
    expect(results.map(({ log }) => log.split('\n')[1])).toEqual(models);
  });

  it('is not waited for after an abort', async () => {
    const stub = await sglangStub(checkpoint(1));
    stub.mode = 'hangs';
    const aborting = new AbortController();
    const running = evaluations(stub.url)(checkpoint(2), aborting.signal);
    while (!stub.asked.some(({ path }) => path === '/update_weights_from_disk')) await new Promise(setImmediate);
    aborting.abort('enough');
    await expect(running).rejects.toBe('enough');
  });

  it.each(['vllm=http://localhost:8000', 'localhost:30000', 'sglang=localhost:30000', 'sglang=', 'sglang=file:///tmp'])(
    'is not %s',
    async (text) => {
      expect(await mergeError(() => parseServer(text))).toMatchObject({ code: 'E_OPTION', message: expect.stringContaining(`'${text}'`) });
    },
  );
});
