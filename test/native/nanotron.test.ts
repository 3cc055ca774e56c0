import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { average, discoverRun, inspect, type MergeError, verify } from '../../src/index.ts';
import { readHeader } from '../../src/safetensors.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { writeNanotron } from '../support/run-trees.ts';

// Two files with equal headers: only the name of the file tells their tensors apart.
const A = 'model/decoder/0/attn/model_weight_pp-rank-0-of-1_tp-rank-0-of-2.safetensors';
const B = 'model/decoder/0/attn/model_weight_pp-rank-0-of-1_tp-rank-1-of-2.safetensors';
const C = 'model/final_norm/model_weight.safetensors';

let folder: ReturnType<typeof temporaryFolder>;
let run: string;
beforeEach(() => {
  folder = temporaryFolder();
  run = join(folder.path, 'run');
  writeNanotron(join(run, '1000'), 1000, { [A.slice(6)]: [1, 10], [B.slice(6)]: [100, 7], [C.slice(6)]: [0.5] });
  writeNanotron(join(run, '200'), 200, { [A.slice(6)]: [3, 20], [B.slice(6)]: [500, 7], [C.slice(6)]: [1.5] });
  // Another version: its headers are none of the others', so its tensors are found by name.
  writeNanotron(join(run, '3000'), 3000, { [A.slice(6)]: [5, 60], [B.slice(6)]: [600, 7], [C.slice(6)]: [2.5] }, { version: '1.5' });
});
afterEach(() => folder.remove());

const inputs = () => ['200', '1000', '3000'].map((step) => join(run, step));
async function valuesOf(file: string): Promise<number[]> {
  const { dataStart } = await readHeader(file);
  return [...new Float32Array(Uint8Array.from(readFileSync(file).subarray(dataStart)).buffer)];
}

test('is a run, by its state files', async () => {
  const { checkpoints, warnings } = await discoverRun(run);
  expect(checkpoints.map(({ step, tokens, bytes, dtypes }) => [step, tokens, bytes, dtypes])).toEqual([
    [200, 200_000, 20, ['F32']],
    [1000, 1_000_000, 20, ['F32']],
    [3000, 3_000_000, 20, ['F32']],
  ]);
  expect(warnings).toEqual([]);
  expect((await inspect(join(run, '200'))).tensors.map(({ name, file }) => [name, file])).toEqual([A, B, C].map((file) => ['data', file]));
});

test('is merged file by file, and the training state stays behind', async () => {
  const output = join(folder.path, 'merged');
  await average({ inputs: inputs(), output });
  expect(await valuesOf(join(output, A))).toEqual([3, 30]);
  expect(await valuesOf(join(output, B))).toEqual([400, 7]);
  expect(await valuesOf(join(output, C))).toEqual([1.5]);
  // nanotron refuses a key of `__metadata__` that it does not know.
  const { metadata } = await readHeader(join(output, A));
  expect(Object.fromEntries(metadata!)).toEqual({ version: '1.5', local_global_slices_pairs: '((slice(0,1),),)' });
  expect(readdirSync(output).sort()).toEqual(
    expect.arrayContaining(['checkpoint_metadata.json', 'config.yaml', 'model', 'model_config.json']),
  );
  for (const left of ['optimizer', 'lr_scheduler', 'random']) expect(readdirSync(output)).not.toContain(left);
  expect(readFileSync(join(output, 'checkpoint_metadata.json'))).toEqual(readFileSync(join(run, '3000/checkpoint_metadata.json')));
  expect(await verify(output, { full: true })).toMatchObject({ ok: true, recomputed: { elements: 5 } });
});

test('a file that one checkpoint lacks or has beyond the others is named', async () => {
  rmSync(join(run, '200', B));
  const failure = (await average({ inputs: inputs(), output: join(folder.path, 'merged') }).catch((error: unknown) => error)) as MergeError;
  expect(failure.message).toContain(`tensor data of ${B} is missing from ${join(run, '200')}`);
  const other = (await average({ inputs: inputs(), output: join(folder.path, 'merged'), like: join(run, '200') }).catch(
    (error: unknown) => error,
  )) as MergeError;
  expect(other.details.conflicts?.map(({ code, file }) => [code, file])).toEqual(
    ['1000', '3000'].map((step) => ['E_TENSOR_EXTRA', join(run, step, B)]),
  );
});

test('a folder without weights is incomplete', async () => {
  rmSync(join(run, '200/model'), { recursive: true });
  rmSync(join(run, '1000', A));
  rmSync(join(run, '1000', B));
  rmSync(join(run, '1000', C));
  const { excluded } = await discoverRun(run);
  expect(excluded.map(({ step, reason }) => [step, reason.replace(/:.*/, '')])).toEqual([
    [200, 'incomplete'],
    [1000, 'incomplete'],
  ]);
});
