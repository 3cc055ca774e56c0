import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { ByteReader } from '../../src/base/store/byte-reader.ts';
import { openCheckpoint } from '../../src/checkpoints/open.ts';
import { readTensor } from '../../src/checkpoints/tensors/extents.ts';
import { type AverageOptions, average } from '../../src/merge/average.ts';
import { type DcpTensor, writeDcp } from '../support/dcp-files.ts';
import { mergeError } from '../support/safetensors.ts';

/** Optimizers and trainers other than those that the goldens are of. */

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

let made = 0;
const fresh = (): string => join(folder, `out-${made++}`);

const floats = (...values: readonly number[]): DcpTensor => ({
  shape: values.length === 1 ? [] : [values.length],
  parts: [
    {
      start: values.length === 1 ? [] : [0],
      size: values.length === 1 ? [] : [values.length],
      stored: { class: 'FloatStorage', bytes: Buffer.from(Float32Array.from(values).buffer) },
    },
  ],
});
const halves = (...values: readonly number[]): DcpTensor => ({
  dtype: 'bfloat16',
  shape: [values.length],
  parts: [
    {
      start: [0],
      size: [values.length],
      stored: {
        class: 'BFloat16Storage',
        bytes: Buffer.from(
          Uint16Array.from(Uint32Array.from(new Uint32Array(Float32Array.from(values).buffer)), (bits) => bits >>> 16).buffer,
        ),
      },
    },
  ],
});

function run(name: string, tensors: (step: number) => Readonly<Record<string, DcpTensor>>): string[] {
  return [1, 2].map((step) => {
    const path = join(folder, name, `${step}`);
    writeDcp(path, { tensors: tensors(step) });
    return path;
  });
}

async function valuesOf(path: string): Promise<Record<string, number[]>> {
  const checkpoint = await openCheckpoint(path);
  const reader = new ByteReader();
  const found: [string, number[]][] = [];
  for (const [shard, { tensors }] of checkpoint.shards.entries()) {
    for (const [row, name] of tensors.names.entries()) {
      const bytes = Uint8Array.from(await readTensor(reader, checkpoint, { shard, row }, 0, tensors.bytes[row]!));
      const values =
        tensors.info(row).dtype === 'BF16'
          ? [...new Float32Array(Uint32Array.from(new Uint16Array(bytes.buffer), (bits) => bits << 16).buffer)]
          : [...new Float32Array(bytes.buffer)];
      found.push([name, values]);
    }
  }
  await reader.close();
  return Object.fromEntries(found);
}

async function resumed(inputs: readonly string[], optimizer: AverageOptions['optimizer'], more: Partial<AverageOptions> = {}) {
  const output = fresh();
  await average({ inputs, output, format: 'dcp', for: 'resume', optimizer, allowUnknown: true, ...more });
  return valuesOf(output);
}

it.each([
  ['SGD', { momentum_buffer: [1, 2] }],
  ['Lion', { exp_avg: [1, 2] }],
])('%s, which divides by no steps, starts anew without any', async (name, state) => {
  const inputs = run(name, (step) => ({
    'model.norm.weight': floats(step, step),
    ...Object.fromEntries(Object.entries(state).map(([part, values]) => [`optim.state.norm.weight.${part}`, floats(...values)])),
  }));
  const [part] = Object.keys(state);
  expect(await resumed(inputs, 'drop')).toEqual({ 'model.norm.weight': [1.5, 1.5], [`optim.state.norm.weight.${part}`]: [0, 0] });
});

it.each([
  ['Adagrad', ['sum']],
  ['RMSprop', ['square_avg', 'grad_avg', 'momentum_buffer']],
  ['Adafactor', ['row_var', 'col_var', 'variance']],
  ['Adafactor of transformers', ['exp_avg_sq_row', 'exp_avg_sq_col']],
  ['Adamax', ['exp_avg', 'exp_inf']],
  ['Adadelta', ['square_avg', 'acc_delta']],
])('all that %s keeps begins with 0 and has a mean', async (name, parts) => {
  const inputs = run(name, (step) => ({
    'model.norm.weight': floats(step, step),
    'optim.state.norm.weight.step': floats(step),
    ...Object.fromEntries(parts.map((part) => [`optim.state.norm.weight.${part}`, floats(step, 2)])),
  }));
  const dropped = await resumed(inputs, 'drop');
  expect(parts.map((part) => dropped[`optim.state.norm.weight.${part}`])).toEqual(parts.map(() => [0, 0]));
  const averaged = await resumed(inputs, 'average');
  expect(parts.map((part) => averaged[`optim.state.norm.weight.${part}`])).toEqual(parts.map(() => [1.5, 2]));
});

it('what is not known of an optimizer is copied, and neither reset nor averaged', async () => {
  const inputs = run('soap', (step) => ({
    'model.norm.weight': floats(step, step),
    'optim.state.norm.weight.step': floats(step),
    'optim.state.norm.weight.exp_avg': floats(step, 2),
    'optim.state.norm.weight.GG': floats(step, 3),
  }));
  expect((await resumed(inputs, 'newest'))['optim.state.norm.weight.GG']).toEqual([2, 3]);
  for (const optimizer of ['drop', 'average'] as const) {
    const error = await mergeError(() => resumed(inputs, optimizer));
    expect(error.details.conflicts ?? error).toMatchObject([{ code: 'E_NO_OPTIMIZER', tensor: 'optim.state.norm.weight.GG' }]);
  }
});

it('a number beside the moments goes with the step', async () => {
  const inputs = run('nadam', (step) => ({
    'model.norm.weight': floats(step, step),
    'optim.state.norm.weight.step': floats(step),
    'optim.state.norm.weight.exp_avg': floats(step, 2),
    'optim.state.norm.weight.mu_product': floats(0.5 / step),
  }));
  expect(await resumed(inputs, 'average')).toMatchObject({
    'optim.state.norm.weight.exp_avg': [1.5, 2],
    'optim.state.norm.weight.mu_product': [0.25],
  });
  const error = await mergeError(() => resumed(inputs, 'drop'));
  expect(error.details.conflicts ?? error).toMatchObject([{ code: 'E_NO_OPTIMIZER', tensor: 'optim.state.norm.weight.mu_product' }]);
});

it('masters are found by whatever key the model has', async () => {
  const fine = 2 ** -10;
  const inputs = run('net', (step) => ({
    'net.norm.weight': halves(1, step),
    'opt.state.norm.weight.master_param': floats(1 + 8 * fine * (step - 1), step),
    'opt.state.norm.weight.step': floats(step),
  }));
  // The mean of what was rounded before would be 1.
  expect(await resumed(inputs, 'newest')).toMatchObject({
    'net.norm.weight': [1, 1.5],
    'opt.state.norm.weight.master_param': [1 + 4 * fine, 1.5],
  });
  const kept = await resumed(inputs, 'newest', { policies: [{ name: 'net.norm.weight', use: 'newest' }] });
  expect(kept).toMatchObject({ 'net.norm.weight': [1 + 8 * fine, 2], 'opt.state.norm.weight.master_param': [1 + 8 * fine, 2] });
});
