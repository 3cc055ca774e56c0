import { expect, it } from 'vitest';
import { inOrderOf, keysOfModel, stateTensor, weightOf } from '../../../src/model/roles/optimizer-state.ts';

it.each([
  ['optimizer.state.exp_avg.decoder.layers.0.mlp.linear_fc1.weight', 'first moment', 'decoder.layers.0.mlp.linear_fc1.weight'],
  ['chained_1.optimizer.state.fp32_param.output_layer.weight', 'master', 'output_layer.weight'],
  ['optimizer.state.param.embedding.word_embeddings.weight', 'master', 'embedding.word_embeddings.weight'],
  ['optim.state.blocks.0.attention.w_q.weight.exp_avg_sq', 'second moment', 'blocks.0.attention.w_q.weight'],
  ['app.optim.state.layers.0.w.weight.step', 'step', 'layers.0.w.weight'],
  ['optimizer.state.layers.0.step.weight.momentum_buffer', 'first moment', 'layers.0.step.weight'],
  ['optim.param_groups.norm.weight.lr', 'other', null],
  ['optim.state.norm.weight.preconditioner', 'unknown', 'norm.weight'],
  ['train_state.step', 'training', null],
  ['lr_scheduler.last_epoch', 'training', null],
])('%s is a %s', (name, kind, of) => {
  expect(stateTensor(name)).toEqual({ kind, of, flat: false, uniform: false });
});

it('buffers of many weights are of none', () => {
  const name = 'optimizer.distributed.dp_group_idx_0.gbuf_idx_0.dtype_(torch.bfloat16, torch.bfloat16).bucket_idx_0.exp_avg_sq';
  expect(stateTensor(name)).toEqual({ kind: 'second moment', of: null, flat: true, uniform: false });
});

it.each([
  ['optimizer.zero_pp_rank_1.single_partition_of_fp32_groups.0', 'master', true],
  ['optimizer.zero_pp_rank_1.base_optimizer_state.state.0.exp_avg', 'first moment', true],
  ['optimizer.zero_pp_rank_12.base_optimizer_state.0.exp_avg_sq', 'second moment', true],
  ['optimizer.zero_pp_rank_0.base_optimizer_state.state.0.step', 'step', false],
  ['optimizer.zero_pp_rank_0.base_optimizer_state.state.0.GG', 'unknown', true],
  ['optimizer.zero_pp_rank_0.loss_scaler.cur_scale', 'other', false],
])('%s of ZeRO is %s, and of one kind as it lies', (name, kind, flat) => {
  expect(stateTensor(name)).toEqual({ kind, of: null, flat, uniform: kind !== 'other' });
});

it('finds weights below what the model calls them', () => {
  const names = new Set(['app.model.norm.weight', 'output.weight']);
  const find = (name: string): string | undefined => (names.has(name) ? name : undefined);
  expect(weightOf({ of: 'norm.weight' }, find)).toBe('app.model.norm.weight');
  expect(weightOf({ of: 'output.weight' }, find)).toBe('output.weight');
  expect(weightOf({ of: 'norm' }, find)).toBeNull();
});

it('finds weights below a key of their own, where there is one of that name', () => {
  const names = ['net.norm.weight', 'net.output.weight', 'ema.norm.weight'];
  const keys = keysOfModel(names);
  const find = (name: string): string | undefined => names.find((one) => one === name);
  expect(weightOf({ of: 'output.weight' }, find, keys)).toBe('net.output.weight');
  expect(weightOf({ of: 'norm.weight' }, find, keys)).toBeNull();
  expect(keysOfModel(Array.from({ length: 9 }, (_, i) => `${i}.weight`))).toEqual([]);
});

it('pieces are in the order of a weight that is cut along its rows', () => {
  expect(inOrderOf([40, 8], [40, 8])).toBe(true);
  expect(inOrderOf([40, 8], [2, 1, 160])).toBe(true);
  expect(inOrderOf([1, 24, 8], [1, 4, 1, 48])).toBe(true);
  expect(inOrderOf([1, 8, 12], [1, 1, 2, 48])).toBe(false);
  expect(inOrderOf([8, 4], [4, 8])).toBe(false);
  expect(inOrderOf([8], [4, 2])).toBe(true);
  expect(inOrderOf([8, 4], [3, 1, 10])).toBe(false);
});
