import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { inspect } from '../../../src/analysis/inspect/inspect.ts';
import { plan } from '../../../src/merge/average.ts';
import { temporaryFolder, writeCheckpoint } from '../../support/checkpoints.ts';
import { writeSparse } from '../../support/sparse-checkpoint.ts';

const temporary = temporaryFolder();
afterAll(() => temporary.remove());

test('the demo mixture of experts: roles, layers, experts, sizes by hand', async () => {
  const { summary, tensors } = await inspect(join(import.meta.dirname, '../../../demo/runs/moe/checkpoint-6000'));
  expect(summary).toMatchObject({ family: 'olmoe', layers: 2, mtpLayers: 0, experts: { count: 8, perToken: 2 } });
  expect(summary).toMatchObject({ totalParameters: 189_952, activeParameters: 189_952 - 2 * 6 * 3 * 64 * 48 });
  expect(summary.roles.expert).toEqual({ tensors: 48, parameters: 48 * 64 * 48, bytes: 2 * 48 * 64 * 48, dtypes: ['BF16'] });
  expect(summary.roles.router).toEqual({ tensors: 2, parameters: 2 * 8 * 64, bytes: 2 * 2 * 8 * 64, dtypes: ['BF16'] });
  expect(summary.roles.unknown).toBeUndefined();
  expect(Object.values(summary.roles).reduce((sum, { parameters }) => sum + parameters, 0)).toBe(summary.parameters);
  const expert = tensors.find(({ name }) => name === 'model.layers.1.mlp.experts.7.up_proj.weight');
  expect(expert).toMatchObject({ role: 'expert', layer: 1, expert: 7, mtp: false });
});

test('multi-token prediction has its inner role; a tensor of all experts is of none; the unknown is called so', async () => {
  const shapes = {
    'model.layers.0.mlp.experts.gate_up_proj': [4, 16, 8],
    'model.layers.1.mlp.gate.weight': [4, 8],
    'model.layers.1.eh_proj.weight': [8, 16],
    'mystery.weight': [3],
  };
  const config = { model_type: 'x', num_hidden_layers: 1, num_experts: 4, num_experts_per_tok: 2 };
  const { summary, tensors } = await inspect(writeSparse(join(temporary.path, 'mtp'), shapes, config));
  const of = (name: string) => tensors.find((tensor) => tensor.name === name);
  expect(of('model.layers.0.mlp.experts.gate_up_proj')).toMatchObject({ role: 'expert', layer: 0, expert: null, mtp: false });
  expect(of('model.layers.1.mlp.gate.weight')).toMatchObject({ role: 'router', layer: 1, mtp: true });
  expect(of('mystery.weight')).toMatchObject({ role: null, layer: null, expert: null, mtp: false });
  expect(summary).toMatchObject({ layers: 1, mtpLayers: 1, roles: { unknown: { tensors: 1, parameters: 3 } } });
});

test('what is wrong is told, and so is how it is quantised; nothing fails', async () => {
  const expert = (number: number, width = 8) => ({ [`model.layers.0.mlp.experts.${number}.up_proj.weight`]: [width, 8] });
  const shapes = {
    ...expert(0),
    ...expert(2),
    ...expert(3),
    'model.layers.0.mlp.gate.weight': [5, 8],
    'lm_head.weight': [4, 8],
    'model.embed.weight': [4, 8],
  };
  const config = { model_type: 'x', num_hidden_layers: 1, num_experts: 4, tie_word_embeddings: true };
  const { summary } = await inspect(writeSparse(join(temporary.path, 'broken'), shapes, config));
  expect(summary.problems.map(({ code, tensor }) => [code, tensor])).toEqual([
    ['E_EXPERT_MISSING', 'model.layers.0.mlp.experts.1.up_proj.weight'],
    ['E_ROUTER_SHAPE', 'model.layers.0.mlp.gate.weight'],
  ]);
  expect(summary.expertLayers).toEqual([{ stack: 'model.layers', layer: 0, mtp: false, experts: 4 }]);
  expect(summary.tied).toEqual({ configured: true, pairs: [{ embedding: 'model.embed.weight', head: 'lm_head.weight', same: true }] });
  expect(summary.quantisation).toBeNull();
});

test('quantised weights: the form, with its blocks, and parameters without the scales', async () => {
  const name = 'model.layers.0.mlp.up_proj.weight';
  const tensors = [
    { name, dtype: 'F8_E4M3' as const, shape: [256, 384], data: new Uint8Array(256 * 384) },
    { name: `${name}_scale_inv`, dtype: 'F32' as const, shape: [2, 3] },
    { name: 'model.norm.weight', dtype: 'BF16' as const, shape: [384] },
  ];
  const config = { quantization_config: { quant_method: 'fp8', weight_block_size: [128, 128] } };
  const folder = writeCheckpoint(join(temporary.path, 'fp8'), [tensors], 1, { 'config.json': JSON.stringify(config) });
  const { summary } = await inspect(folder);
  expect(summary.quantisation).toEqual({
    method: 'fp8',
    forms: [{ form: 'F8_E4M3 codes, an F32 scale for each 128x128 block', tensors: 1 }],
  });
  expect(summary.totalParameters).toBe(256 * 384 + 384);
  expect(summary.roles.quant_scale).toMatchObject({ tensors: 1, dtypes: ['F32'] });
});

test('a configuration that nothing can load is a problem, and so it is for a merge', async () => {
  const tensors = [{ name: 'model.norm.weight', dtype: 'BF16' as const, shape: [4] }];
  for (const [i, text] of ['{"num_experts": 4,', '[1]', ''].entries()) {
    const [a, b] = ['{}', text].map((config, m) =>
      writeCheckpoint(join(temporary.path, `unreadable-${i}-${m}`), [tensors], m, { 'config.json': config }),
    );
    const conflict = { code: 'E_CONFIG_UNREADABLE', message: `${join(b!, 'config.json')} is no JSON object` };
    expect((await inspect(b!)).summary.problems).toEqual([expect.objectContaining(conflict)]);
    expect((await inspect(a!)).summary.problems).toEqual([]);
    await expect(plan({ inputs: [a!, b!], output: join(temporary.path, 'out') })).rejects.toMatchObject(conflict);
    await plan({ inputs: [b!, a!], output: join(temporary.path, 'out'), allowConfigs: true });
  }
});
