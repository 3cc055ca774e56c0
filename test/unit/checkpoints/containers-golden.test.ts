import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { decodeFloats } from '../../../src/base/numbers/decode.ts';
import { ByteReader } from '../../../src/base/store/byte-reader.ts';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { readTensor } from '../../../src/checkpoints/tensors/extents.ts';
import { sectionOf } from '../../../src/checkpoints/tensors/section.ts';
import { differences, floatsOf, goldensIn, oracleOf, readOracle } from '../../support/containers.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Golden, checkpoint in it, step, and tensors of the trainer that its oracle does not have. */
type Golden = readonly [golden: string, path: string, step: number, beside?: readonly string[] | RegExp];
/** Tensors of the optimizer and the callbacks, which Lightning's oracle does not have. */
const LIGHTNING = /^(?:optimizer|callbacks)/;
const CHECKPOINTS: readonly Golden[] = [
  ...['dcp-fsdp', 'dcp-moe', 'dcp-tp', 'dcp-2d', 'dcp-hsdp', 'dcp-plain'].flatMap((name): Golden[] => [
    [name, '100', 100, ['loader.1.0']],
    [name, '200', 200, ['loader.1.0']],
  ]),
  ['dcp-hf', '100', 100],
  ['dcp-hf', '200', 200],
  ['dcp-hf-consolidated', '100', 100],
  ['dcp-hf-consolidated', '200/sharded', 200],
  ['torchtitan', 'checkpoint/step-100', 100, ['train_state.ntokens_seen', 'train_state.step']],
  ['torchtitan', 'checkpoint/step-200', 200, ['train_state.ntokens_seen', 'train_state.step']],
  ['olmo-core', 'step100', 100],
  ['olmo-core', 'step200', 200],
  ['megatron', 'iter_0000100', 100],
  ['megatron', 'iter_0000200', 200],
  ['megatron-homogeneous-moe', 'iter_0000100', 100],
  ['megatron-homogeneous-moe', 'iter_0000200', 200],
  // Without an optimizer; float32 masters in pieces of a flat range; masters in one blob.
  ...['megatron-0.10', 'megatron-0.12', 'megatron-0.15'].flatMap((name): Golden[] => [
    [name, 'iter_0000100', 100],
    [name, 'iter_0000200', 200],
  ]),
  ['accelerate', 'sharded/checkpoint-100', 100],
  ['accelerate', 'sharded/checkpoint-200', 200],
  ['accelerate', 'full/checkpoint-100', 100],
  ['accelerate', 'ranks/checkpoint-100', 100],
  ['lightning', 'run/epoch=0-step=10.ckpt', 10, LIGHTNING],
  ['lightning', 'run/epoch=0-step=20.ckpt', 20, LIGHTNING],
  ['lightning', 'sharded/epoch=0-step=10.ckpt', 10, LIGHTNING],
  ['lightning', 'sharded/epoch=0-step=20.ckpt', 20, LIGHTNING],
  ['torch-bin', '100', 100],
  ['torch-bin-sharded', '200', 200],
  ['torch-pt', '100.pt', 100],
  ['torch-pt', '200.pt', 200],
  ['fsdp-rank-pt', 'global_step_100', 100],
  ['fsdp-rank-pt', 'global_step_200/actor', 200],
  ['deepspeed-zero1', 'global_step100', 100],
  ['deepspeed-moe', 'global_step100', 100],
  ['deepspeed-moe', 'global_step200', 200],
  ['deepspeed-zero1', 'global_step200/mp_rank_00_model_states.pt', 200],
];

const golden = goldensIn(folder);

it.each(CHECKPOINTS.map((own) => [`${own[0]} ${own[1]}`, own] as const))(
  '%s: every tensor is what its writer reads',
  async (_, [name, path, step, beside = []]) => {
    const home = golden(name);
    const oracle = oracleOf(home, path, step);
    const checkpoint = await openCheckpoint(join(home, path));
    expect(await differences(checkpoint, oracle, beside)).toEqual([]);
    expect(oracle.size).toBeGreaterThanOrEqual(5);
    if (name === 'accelerate' || name === 'lightning') expect(checkpoint.step).toBe(step);
  },
);

it('of step 201, which torchtitan casts whole as it ends, every value is that of step 200 rounded to bfloat16', async () => {
  const home = golden('torchtitan');
  const checkpoint = await openCheckpoint(join(home, 'checkpoint/step-201'));
  const before = readOracle(join(home, 'oracle/200.safetensors'));
  const reader = new ByteReader();
  const { tensors } = checkpoint.shards[0]!;
  for (const [row, name] of tensors.names.entries()) {
    const values = decodeFloats('BF16', await readTensor(reader, checkpoint, { shard: 0, row }));
    const rounded = floatsOf(before.get(name)!).map((value) => bf16(value));
    expect(Array.from(values), name).toEqual(Array.from(rounded));
  }
  await reader.close();
  expect(tensors.count).toBe(13);
});

/** Rounds to the nearest bfloat16, ties to even. */
function bf16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  bits[0] = ((bits[0]! + 0x7fff + ((bits[0]! >>> 16) & 1)) & 0xffff0000) >>> 0;
  return new Float32Array(bits.buffer)[0]!;
}

it.each(['megatron-0.10', 'megatron-0.12', 'megatron-0.15'])(
  '%s says in common.pt where it stands, and its optimizer is not the model',
  async (name) => {
    const checkpoint = await openCheckpoint(join(golden(name), 'iter_0000200'));
    expect([checkpoint.step, checkpoint.tokens]).toEqual([200, 200 * 8 * 32]);
    const { tensors } = checkpoint.shards[0]!;
    const model = tensors.names.filter((_, row) => sectionOf(tensors, row) === 'model');
    expect(model).toEqual(tensors.names.filter((tensor) => /^(?:embedding|decoder|output_layer)\./.test(tensor)));
    expect(model).toHaveLength(12);
    expect(tensors.count).toBe(name === 'megatron-0.12' ? 48 : 12);
  },
);

it('DeepSpeed keeps experts in files of their own: without one of them it is no checkpoint', async () => {
  const step = join(folder, 'experts');
  cpSync(join(golden('deepspeed-moe'), 'global_step100'), step, { recursive: true });
  const main = join(step, 'mp_rank_00_model_states.pt');
  await expect(openCheckpoint(main)).rejects.toMatchObject({
    code: 'E_SHARD_MISSING',
    message: `${main}: holds the model without its experts, which have files of their own beside it`,
  });
  const lost = join(step, 'layer_0_expert_2_mp_rank_00_model_states.pt');
  rmSync(lost);
  await expect(openCheckpoint(step)).rejects.toMatchObject({ code: 'E_SHARD_MISSING', details: { file: lost } });
});

it.each([0, 1])("without accelerate's file of rank %i there is no checkpoint, though no name says how many there are", async (rank) => {
  const step = join(folder, `ranks-${rank}`);
  cpSync(join(golden('accelerate'), 'ranks/checkpoint-100'), step, { recursive: true });
  const lost = join(step, `pytorch_model_fsdp_0_rank${rank}.bin`);
  rmSync(lost);
  await expect(openCheckpoint(step)).rejects.toMatchObject({ code: 'E_SHARD_MISSING', details: { file: lost } });
});
