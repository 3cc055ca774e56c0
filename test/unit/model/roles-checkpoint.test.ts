import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { OpenCache } from '../../../src/checkpoints/containers/open-cache.ts';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { SECTIONS } from '../../../src/checkpoints/tensors/section.ts';
import { ColumnTable } from '../../../src/checkpoints/tensors/table.ts';
import { checkpointRoles, tensorName } from '../../../src/model/roles/checkpoint-roles.ts';
import { namingContext } from '../../../src/model/roles/context.ts';
import { configNumber } from '../../../src/model/roles/model-config.ts';
import { tiedPairs } from '../../../src/model/roles/tied.ts';
import { temporaryFolder, writeCheckpoint } from '../../support/checkpoints.ts';
import { writeNanotron } from '../../support/run-trees.ts';
import { writeSparse } from '../../support/sparse-checkpoint.ts';

const temporary = temporaryFolder();
afterAll(() => temporary.remove());
let made = 0;
const written = (shapes: Record<string, readonly number[]>, config: unknown) =>
  openCheckpoint(writeSparse(join(temporary.path, String(made++)), shapes, config), { cache });
const cache = new OpenCache();

test('roles of a checkpoint, with what its config.json says', async () => {
  const shapes = { 'model.layers.2.mlp.gate.weight': [4, 8], 'model.layers.1.mlp.gate.weight': [4, 8], mystery: [2] };
  const roles = await checkpointRoles(
    await written(shapes, { text_config: { num_hidden_layers: 2, num_experts: 4, num_nextn_predict_layers: 1 }, model_type: 'some_vl' }),
  );
  expect(roles.context).toEqual({ layers: 2, experts: 4, family: 'some_vl', codes: false });
  expect(roles.of(0, 0)).toMatchObject({ role: 'router', layer: 2, mtp: true, family: 'some_vl' });
  expect(roles.of(0, 1)).toMatchObject({ role: 'router', layer: 1, mtp: false });
  expect(roles.of(0, 2)).toMatchObject({ role: null });
  // A layer too many is no layer of prediction where nothing speaks of one: HRM counts one of its two modules.
  const plain = await checkpointRoles(await written(shapes, { num_hidden_layers: 2, num_experts: 4 }));
  expect(plain.of(0, 0)).toMatchObject({ role: 'router', layer: 2, mtp: false });
  // The same header without experts in the configuration: a gated MLP.
  const dense = await checkpointRoles(await written(shapes, { num_hidden_layers: 2, model_type: 'plain' }));
  expect(dense.of(0, 0)).toMatchObject({ role: 'mlp', projection: 'gate' });
});

test('equal headers are classified once', async () => {
  const shapes = { 'model.layers.0.mlp.up_proj.weight': [4, 8] };
  const [a, b] = [await written(shapes, { model_type: 'x' }), await written(shapes, { model_type: 'x' })];
  expect(a.shards[0]!.tensors).toBe(b.shards[0]!.tensors);
  expect((await checkpointRoles(a)).of(0, 0)).toBe((await checkpointRoles(b)).of(0, 0));
});

test('a checkpoint of which no rule knows a name, and whose config.json cannot be read, has no context', async () => {
  const { config, context, of } = await checkpointRoles(await written({ alpha: [3], 'beta.gamma_x': [2] }, 'no JSON'));
  expect([0, 1].map((row) => of(0, row).role)).toEqual([null, null]);
  expect({ config, context }).toEqual({
    config: null,
    context: { layers: null, experts: null, family: null, codes: false },
  });
});

test('nanotron calls every tensor `data`: the path of its file names it', async () => {
  const rank = 'pp-rank-0-of-1_tp-rank-0-of-2';
  const folder = writeNanotron(join(temporary.path, 'nanotron'), 1000, {
    [`model/decoder/3/pp_block/attn/qkv_proj/model_weight_${rank}.safetensors`]: [1, 2],
    [`model/decoder/3/pp_block/mlp/experts/model_merged_down_proj_${rank}_exp-rank-0-of-1.safetensors`]: [1, 2],
    [`model/decoder/3/pp_block/mlp/router/model_weight_${rank}.safetensors`]: [1, 2],
    'model/final_layer_norm/pp_block/model_weight.safetensors': [1],
    [`model/token_position_embeddings/pp_block/token_embedding/model_weight_${rank}.safetensors`]: [1, 2],
  });
  const checkpoint = await openCheckpoint(folder);
  const roles = await checkpointRoles(checkpoint);
  const told = checkpoint.shards.map((_, s) => {
    const { role, layer, expert, projection } = roles.of(s, 0);
    return [tensorName(checkpoint, s, 0), role, layer, expert, projection];
  });
  expect(told.sort()).toEqual([
    ['model.decoder.3.pp_block.attn.qkv_proj.weight', 'attn', 3, null, 'qkv'],
    ['model.decoder.3.pp_block.mlp.experts.merged_down_proj', 'expert', 3, 'all', 'down'],
    ['model.decoder.3.pp_block.mlp.router.weight', 'router', 3, null, 'weight'],
    ['model.final_layer_norm.pp_block.weight', 'norm', null, null, null],
    ['model.token_position_embeddings.pp_block.token_embedding.weight', 'embedding', null, null, null],
  ]);
});

test('embedding and output head of one shape, and what is said of them', async () => {
  const shapes = {
    'model.embed_tokens.weight': [10, 4],
    'lm_head.weight': [10, 4],
    'model.layers.4.embed_tokens.weight': [10, 4],
    'model.layers.4.shared_head.head.weight': [10, 4],
    'model.layers.4.eh_proj.weight': [4, 8],
  };
  const pairsOf = async (config: unknown, changed: Record<string, readonly number[]> = {}) => {
    const checkpoint = await written({ ...shapes, ...changed }, config);
    return tiedPairs(checkpoint, await checkpointRoles(checkpoint)).map((p) => [p.embedding.name, p.head.name, p.configured]);
  };
  const layers = { num_hidden_layers: 4 };
  const names = ['model.embed_tokens.weight', 'lm_head.weight'];
  expect(await pairsOf({ ...layers, tie_word_embeddings: true })).toEqual([[...names, true]]);
  expect(await pairsOf(layers)).toEqual([[...names, null]]);
  // The whole model's word counts before that of a part.
  expect(await pairsOf({ ...layers, tie_word_embeddings: false, text_config: { tie_word_embeddings: true } })).toEqual([[...names, false]]);
  expect(await pairsOf(layers, { 'lm_head.weight': [12, 4] })).toEqual([]);
});

test('numbers of a configuration: by any of their names, the language model first', () => {
  expect(configNumber({ num_experts: 4, text_config: { num_experts: 8 } }, ['num_local_experts', 'num_experts'])).toBe(8);
  expect(configNumber({ num_experts: [4, 4] }, ['num_experts'])).toBeNull();
  expect(configNumber({ thinker_config: { text_config: { num_hidden_layers: 3 } }, num_hidden_layers: 9 }, ['num_hidden_layers'])).toBe(3);
  expect(configNumber(null, ['num_experts'])).toBeNull();
});

test('names may speak of experts where the configuration does not', () => {
  const config = { model_type: 'x', n_exp: 4 };
  expect(namingContext(config, ['layers.0.ffn.experts.0.w1']).experts).toBeNull();
  expect(namingContext(config, ['layers.0.ffn.gate.weight']).experts).toBe(0);
});

test('what a container keeps apart from the model is training state, whatever its name', async () => {
  const shapes = { 'model.embed_tokens.weight': [4, 8], 'model.norm.weight': [8] };
  const checkpoint = await written(shapes, { model_type: 'apart' });
  const roles = await checkpointRoles(checkpoint);
  const { tensors } = checkpoint.shards[0]!;
  expect(tensors.sections).toBeNull();
  const sections = Uint8Array.from(tensors.names, (name) => SECTIONS.indexOf(name === 'model.norm.weight' ? 'optimizer' : 'model'));
  const told = { ...checkpoint, shards: [{ ...checkpoint.shards[0]!, tensors: new ColumnTable({ ...tensors, sections }) }] };
  const [embed, norm] = [tensors.rowOf('model.embed_tokens.weight'), tensors.rowOf('model.norm.weight')];
  expect([roles.of(0, embed).role, roles.of(0, norm).role]).toEqual(['embedding', 'norm']);
  const apart = await checkpointRoles(told);
  expect([apart.of(0, embed).role, apart.of(0, norm).role]).toEqual(['embedding', 'optimizer']);
});

test("scales of fused experts belong to their codes; what is called like a scale in a block and belongs to none is nobody's", async () => {
  const mlp = 'model.layers.0.mlp';
  const tensors = [
    { name: `${mlp}.experts.gate_up_proj`, dtype: 'F8_E4M3' as const, shape: [2, 8, 4] },
    ...[`${mlp}.experts.gate_up_proj_scale`, `${mlp}.experts.down_proj_scale`, `${mlp}.gate_scale`, `${mlp}.gate_scales`].map((name) => ({
      ...{ name, dtype: 'F32' as const, shape: [2, 8] },
    })),
    { name: 'model.layers.0.self_attn.q_l2_clip.scale', dtype: 'F32' as const, shape: [8] },
  ];
  const path = writeCheckpoint(join(temporary.path, 'fp8'), [tensors], 1);
  const roles = await checkpointRoles(await openCheckpoint(path, { cache }));
  expect(tensors.map((_, row) => roles.of(0, row).role)).toEqual(['expert', 'quant_scale', null, null, null, 'attn']);
  expect(roles.of(0, 1)).toMatchObject({ of: 'expert', projection: 'gate_up' });
});
