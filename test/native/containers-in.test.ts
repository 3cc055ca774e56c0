import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { average } from '../../src/merge/average.ts';
import { floatsOf, goldensIn, type OracleTensor, oracleOf, readOracle } from '../support/containers.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const golden = goldensIn(folder);

/** Rounds a float64 to the nearest bfloat16, ties to even, by its definition. */
function toBf16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  const low = new Uint32Array(Float32Array.of(value).buffer)[0]! & 0xffff0000;
  const candidates = [low, low + 0x10000].map((word) => new Float32Array(Uint32Array.of(word).buffer)[0]!);
  const [a, b] = candidates as [number, number];
  const [toA, toB] = [Math.abs(a - value), Math.abs(b - value)];
  if (toA !== toB) return toA < toB ? a : b;
  return ((bits[0]! >>> 16) & 1) === 0 ? a : b;
}

interface Written {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly floats: readonly number[];
}

/** A safetensors file, read by its format. */
function readWritten(file: string): Map<string, Written> {
  return new Map([...readOracle(file)].map(([name, tensor]): [string, Written] => [name, { ...tensor, floats: decoded(tensor) }]));
}

function decoded(tensor: OracleTensor): number[] {
  if (tensor.dtype === 'F32') return [...floatsOf(tensor)];
  if (tensor.dtype !== 'BF16') return [...tensor.bytes];
  return Array.from(
    { length: tensor.bytes.length / 2 },
    (_, i) => new Float32Array(Uint32Array.of(tensor.bytes.readUInt16LE(2 * i) << 16).buffer)[0]!,
  );
}

/** Golden, its steps, and which of its tensors are the model's. */
const MODEL = /^(?!optim|loader|train_state|lr_sched)/;
const RUNS: readonly (readonly [what: string, older: readonly [string, string], newer: readonly [string, string]])[] = [
  ['rows', ['dcp-fsdp', '100'], ['dcp-fsdp', '200']],
  ['columns', ['dcp-tp', '100'], ['dcp-tp', '200']],
  ['boxes in two dimensions', ['dcp-2d', '100'], ['dcp-2d', '200']],
  ['replicas', ['dcp-hsdp', '100'], ['dcp-hsdp', '200']],
  ['stacks of experts', ['dcp-moe', '100'], ['dcp-moe', '200']],
  ['one process', ['dcp-plain', '100'], ['dcp-plain', '200']],
  ['columns and two dimensions', ['dcp-tp', '100'], ['dcp-2d', '200']],
  ['replicas and one process', ['dcp-hsdp', '100'], ['dcp-plain', '200']],
  ['sharded safetensors', ['dcp-hf', '100'], ['dcp-hf', '200']],
  ['sharded safetensors and a file a rank of FSDP', ['dcp-hf', '100'], ['fsdp-rank-pt', 'global_step_200']],
  ['FSDP and DeepSpeed', ['fsdp-rank-pt', 'global_step_100'], ['deepspeed-zero1', 'global_step200']],
  ['DeepSpeed with experts', ['deepspeed-moe', 'global_step100'], ['deepspeed-moe', 'global_step200']],
  ['torchtitan', ['torchtitan', 'checkpoint/step-100'], ['torchtitan', 'checkpoint/step-200']],
  ['OLMo-core', ['olmo-core', 'step100'], ['olmo-core', 'step200']],
  ['Megatron', ['megatron', 'iter_0000100'], ['megatron', 'iter_0000200']],
  ['Megatron, homogeneous', ['megatron-homogeneous-moe', 'iter_0000100'], ['megatron-homogeneous-moe', 'iter_0000200']],
  ['Megatron 0.10', ['megatron-0.10', 'iter_0000100'], ['megatron-0.10', 'iter_0000200']],
  ['Megatron 0.12', ['megatron-0.12', 'iter_0000100'], ['megatron-0.12', 'iter_0000200']],
  ['Megatron 0.12 and 0.15', ['megatron-0.12', 'iter_0000100'], ['megatron-0.15', 'iter_0000200']],
  ["accelerate's sharded form", ['accelerate', 'sharded/checkpoint-100'], ['accelerate', 'sharded/checkpoint-200']],
  ["accelerate's full form and its ranks", ['accelerate', 'full/checkpoint-100'], ['accelerate', 'ranks/checkpoint-100']],
  ["Lightning's files", ['lightning', 'run/epoch=0-step=10.ckpt'], ['lightning', 'run/epoch=0-step=20.ckpt']],
  ["Lightning's folders of FSDP", ['lightning', 'sharded/epoch=0-step=10.ckpt'], ['lightning', 'sharded/epoch=0-step=20.ckpt']],
  ['pytorch_model.bin', ['torch-bin', '100'], ['torch-bin', '200']],
  ['pytorch_model.bin, sharded', ['torch-bin-sharded', '100'], ['torch-bin-sharded', '200']],
];

it.each(RUNS)('%s: the mean is that of the float64 values, rounded once', async (what, older, newer) => {
  const output = join(folder, `out-${what.replaceAll(/\W/g, '-')}`);
  await average({
    inputs: [older, newer].map(([name, path]) => join(golden(name), path)),
    output,
    format: 'safetensors',
    allowConfigs: true,
    allowMixedDtypes: true,
  });
  const [a, b] = [older, newer].map(([name, path]) => oracleOf(golden(name), path, Number(/(\d+)(?:\.ckpt)?$/.exec(path)![1])));
  const wanted = [...b!.keys()].filter((name) => MODEL.test(name)).sort();
  const files = (JSON.parse(readFileSync(join(output, 'merge_provenance.json'), 'utf8')) as { files: { name: string }[] }).files;
  const merged = new Map(files.flatMap(({ name }) => [...readWritten(join(output, name))]));
  expect([...merged.keys()].sort()).toEqual(wanted);
  const wrong = wanted.filter((name) => {
    const { dtype, shape, floats } = merged.get(name)!;
    const [x, y] = [a!.get(name)!, b!.get(name)!];
    if (shape.join() !== y.shape.join()) return true;
    if (y.dtype !== 'F32') return !y.bytes.equals(Buffer.from(floats));
    const [xs, ys] = [floatsOf(x), floatsOf(y)];
    const round = dtype === 'BF16' ? toBf16 : Math.fround;
    return floats.some((value, i) => value !== round(0.5 * xs[i]! + 0.5 * ys[i]!));
  });
  expect(wrong).toEqual([]);
});
