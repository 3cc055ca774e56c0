import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { combineReference } from '../../../src/analysis/verify/twin/combine.ts';
import { readHeader } from '../../../src/checkpoints/containers/safetensors/read-header.ts';
import { heldOutLoss } from '../../../src/cli/demo/held-out-loss.ts';
import { ema } from '../../../src/recipe/schedule/ema.ts';
import { sma } from '../../../src/recipe/schedule/sma.ts';
import { wma } from '../../../src/recipe/schedule/wma.ts';

const top = join(import.meta.dirname, '../../..');
const runs = join(top, 'demo/runs');

interface Merge {
  readonly run: string;
  readonly last: number;
  readonly method: string;
  readonly weights: number[];
  readonly sha256: string;
}
const golden = JSON.parse(readFileSync(join(top, 'test/golden/demo/golden.json'), 'utf8')) as {
  merges: Merge[];
  meanOfDenseLast4: { search4k: number[] };
};
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ckpt-merge-demo-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const newest = (run: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => join(runs, run, `checkpoint-${6000 - 200 * (count - 1 - i)}`, 'model.safetensors'));

/**
 * Merges whole data sections with the reference: the files of a run share one header, and every tensor is
 * BF16.
 */
async function mergeData(
  files: readonly string[],
  weights: readonly number[],
): Promise<{ dataStart: number; newest: Buffer; data: Uint8Array }> {
  const contents = await Promise.all(files.map((file) => readFile(file)));
  const { dataStart } = await readHeader(files.at(-1)!);
  const head = contents[0]!.subarray(0, dataStart);
  for (const content of contents) expect(content.subarray(0, dataStart).equals(head)).toBe(true);
  const inputs = contents.map((content, i) => ({ bytes: content.subarray(dataStart), dtype: 'BF16' as const, weight: weights[i]! }));
  const { bytes } = combineReference({ inputs, count: inputs[0]!.bytes.length / 2, outDtype: 'BF16' });
  return { dataStart, newest: contents.at(-1)!, data: bytes };
}

describe('merges of the demo runs', () => {
  it.each(golden.merges)('$method of the last $last of $run has the bytes that torch gives', async ({ run, last, weights, sha256 }) => {
    const files = newest(run, last);
    const { data } = await mergeData(files, weights);
    const { tensors } = await readHeader(files.at(-1)!);
    const rows = [...tensors.names.keys()].sort((a, b) => (tensors.names[a]! < tensors.names[b]! ? -1 : 1));
    const hash = createHash('sha256');
    for (const row of rows) hash.update(data.subarray(tensors.begin[row]!, tensors.end[row]!));
    expect(hash.digest('hex')).toBe(sha256);
  });

  it('takes its weights from the schedules', () => {
    const weightsOf = { sma, wma, ema: (count: number) => ema(new Array<number>(count - 1).fill(0.2)) };
    const named = golden.merges.filter(({ method }) => method in weightsOf);
    expect(named.length).toBeGreaterThanOrEqual(5);
    for (const { method, last, weights } of named) expect([...weightsOf[method as keyof typeof weightsOf](last)]).toEqual(weights);
  });

  it('has the held-out loss that transformers gives: lower than the newest by a wide margin', async () => {
    const files = newest('dense', 4);
    const { dataStart, newest: last, data } = await mergeData(files, [0.25, 0.25, 0.25, 0.25]);
    const merged = join(folder, 'merged');
    await cp(join(runs, 'dense/checkpoint-6000'), merged, { recursive: true });
    await writeFile(join(merged, 'model.safetensors'), Buffer.concat([last.subarray(0, dataStart), data]));
    const text = await readFile(join(top, 'demo/held-out/search.txt'));
    const options = { maxBytes: 4096, windowsPerBlock: 1 };
    const { loss, blockLosses } = await heldOutLoss(merged, text, options);
    const expected = golden.meanOfDenseLast4.search4k;
    expect(blockLosses).toHaveLength(expected.length);
    for (const [i, value] of expected.entries()) expect(Math.abs(blockLosses[i]! - value), `window ${i}`).toBeLessThan(1e-4);
    const before = await heldOutLoss(join(runs, 'dense/checkpoint-6000'), text, options);
    expect(loss).toBeLessThan(before.loss - 0.03);
  });
});

describe('what is committed', () => {
  it('is 27 checkpoints, each with the step of its folder in trainer_state.json, of at most 9 MiB together', () => {
    let bytes = 0;
    let checkpoints = 0;
    for (const run of readdirSync(runs)) {
      for (const name of readdirSync(join(runs, run))) {
        const path = join(runs, run, name);
        const state = JSON.parse(readFileSync(join(path, 'trainer_state.json'), 'utf8')) as {
          global_step: number;
          num_input_tokens_seen: number;
        };
        expect(name).toBe(`checkpoint-${state.global_step}`);
        expect(state.num_input_tokens_seen).toBe(state.global_step * 8 * 128);
        for (const file of readdirSync(path)) bytes += statSync(join(path, file)).size;
        checkpoints += 1;
      }
    }
    expect(checkpoints).toBe(27);
    expect(bytes).toBeLessThanOrEqual(9 * 2 ** 20);
  });
});
