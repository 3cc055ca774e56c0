import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { DtypeName } from '../../../src/base/dtype.ts';
import { modelSize } from '../../../src/model/roles/model-size.ts';
import { temporaryFolder, writeCheckpoint } from '../../support/checkpoints.ts';
import { writeSparse } from '../../support/sparse-checkpoint.ts';

const runs = join(import.meta.dirname, '../../../demo/runs');
const temporary = temporaryFolder();
afterAll(() => temporary.remove());
let made = 0;
const sizeOf = (shapes: Record<string, number[]>, config: unknown) =>
  modelSize(writeSparse(join(temporary.path, String(made++)), shapes, config));

test('the demo models: total as demo/README.md says, active by hand', async () => {
  expect(await modelSize(join(runs, 'dense/checkpoint-6000'))).toEqual({ total: 155_072, active: 155_072, experts: null, notes: [] });
  // 2 layers of 8 experts with 3 matrices of 64 x 48, of which 2 act: 6 of 8 rest.
  const active = 189_952 - 2 * 6 * 3 * 64 * 48;
  expect(await modelSize(join(runs, 'moe/checkpoint-6000'))).toEqual({
    total: 189_952,
    active,
    experts: { count: 8, perToken: 2 },
    notes: [],
  });
});

test('Mixtral 8x7B: 46.7B, 12.9B of them active', async () => {
  const shapes: Record<string, number[]> = {
    'model.embed_tokens.weight': [32000, 4096],
    'model.norm.weight': [4096],
    'lm_head.weight': [32000, 4096],
  };
  for (let l = 0; l < 32; l++) {
    const layer = `model.layers.${l}`;
    for (const norm of ['input_layernorm', 'post_attention_layernorm']) shapes[`${layer}.${norm}.weight`] = [4096];
    for (const p of ['q', 'o']) shapes[`${layer}.self_attn.${p}_proj.weight`] = [4096, 4096];
    for (const p of ['k', 'v']) shapes[`${layer}.self_attn.${p}_proj.weight`] = [1024, 4096];
    shapes[`${layer}.block_sparse_moe.gate.weight`] = [8, 4096];
    for (let e = 0; e < 8; e++) {
      const expert = `${layer}.block_sparse_moe.experts.${e}`;
      for (const w of ['w1', 'w3']) shapes[`${expert}.${w}.weight`] = [14336, 4096];
      shapes[`${expert}.w2.weight`] = [4096, 14336];
    }
  }
  const size = await sizeOf(shapes, { num_local_experts: 8, num_experts_per_tok: 2, tie_word_embeddings: false });
  // The figures that Mistral and the Hub publish.
  expect(size).toEqual({ total: 46_702_792_704, active: 12_879_925_248, experts: { count: 8, perToken: 2 }, notes: [] });
});

test.each(['numbered', 'fused'])('Qwen3-30B-A3B, experts %s: 30.5B, 3.3B of them active', async (layout) => {
  const shapes: Record<string, number[]> = {
    'model.embed_tokens.weight': [151936, 2048],
    'model.norm.weight': [2048],
    'lm_head.weight': [151936, 2048],
  };
  for (let l = 0; l < 48; l++) {
    const layer = `model.layers.${l}`;
    for (const norm of ['input_layernorm', 'post_attention_layernorm']) shapes[`${layer}.${norm}.weight`] = [2048];
    for (const norm of ['q_norm', 'k_norm']) shapes[`${layer}.self_attn.${norm}.weight`] = [128];
    shapes[`${layer}.self_attn.q_proj.weight`] = [4096, 2048];
    shapes[`${layer}.self_attn.o_proj.weight`] = [2048, 4096];
    for (const p of ['k', 'v']) shapes[`${layer}.self_attn.${p}_proj.weight`] = [512, 2048];
    shapes[`${layer}.mlp.gate.weight`] = [128, 2048];
    if (layout === 'fused') {
      shapes[`${layer}.mlp.experts.gate_up_proj`] = [128, 2048, 2 * 768];
      shapes[`${layer}.mlp.experts.down_proj`] = [128, 768, 2048];
    } else {
      for (let e = 0; e < 128; e++) {
        for (const p of ['gate', 'up']) shapes[`${layer}.mlp.experts.${e}.${p}_proj.weight`] = [768, 2048];
        shapes[`${layer}.mlp.experts.${e}.down_proj.weight`] = [2048, 768];
      }
    }
  }
  const size = await sizeOf(shapes, { num_experts: 128, num_experts_per_tok: 8 });
  expect(size.total).toBe(30_532_122_624); // the Hub's figure
  // 8 of 128 experts, each three matrices of 768 x 2048, in 48 layers.
  expect(size.active).toBe(30_532_122_624 - 48 * 120 * 3 * 768 * 2048);
});

test('shared experts, routers and the output head of tied embeddings', async () => {
  const shapes = {
    'model.embed_tokens.weight': [10, 4],
    'lm_head.weight': [10, 4],
    'model.layers.0.mlp.gate.weight': [4, 4],
    'model.layers.0.mlp.shared_experts.up_proj.weight': [8, 4],
    'model.layers.0.mlp.experts.0.up_proj.weight': [5, 4],
    'model.layers.0.mlp.experts.1.up_proj.weight': [5, 4],
    'model.layers.0.mlp.experts.2.up_proj.weight': [5, 4],
    'model.layers.0.mlp.experts.3.up_proj.weight': [5, 4],
  };
  const experts = { n_routed_experts: 4, num_experts_per_tok: 1 };
  expect(await sizeOf(shapes, { text_config: experts })).toMatchObject({ total: 40 + 40 + 16 + 32 + 80, active: 40 + 40 + 16 + 32 + 20 });
  expect(await sizeOf(shapes, { ...experts, tie_word_embeddings: true })).toMatchObject({ total: 168, active: 108 });
});

test('what is left open is said, and how many parameters are active is not known then', async () => {
  const shapes = { 'layers.0.experts.0.w': [6], 'layers.0.experts.1.w': [6], 'embed.weight': [4] };
  for (const config of [null, 'not JSON', {}, { num_experts: 2 }, { num_experts: 2, num_experts_per_tok: 3 }]) {
    const size = await sizeOf(shapes, config);
    expect(size).toMatchObject({ total: 16, active: null, experts: { count: 2, perToken: null } });
    expect(size.notes.at(-1)).toContain('does not say how many act on a token');
    expect(size.notes.some((note) => note.includes('no config.json'))).toBe(config === null || config === 'not JSON');
  }
  const unknown = await sizeOf({ 'layers.0.mystery.stack': [4, 3, 2] }, { num_local_experts: 4, num_experts_per_tok: 1 });
  expect(unknown).toMatchObject({ total: 24, active: null, experts: { count: 4, perToken: 1 } });
  expect(unknown.notes).toEqual([expect.stringContaining('no tensor looks like one')]);
  // Doge's configuration names experts that a model may go without: all names are known, and none is an
  // expert's.
  const dense = { 'model.layers.0.mlp.up_proj.weight': [4, 3] };
  expect(await sizeOf(dense, { num_experts: 8, num_experts_per_tok: 2 })).toEqual({ total: 12, active: 12, experts: null, notes: [] });
  expect(await sizeOf({ w: [3] }, { num_experts: 1, num_experts_per_tok: 1 })).toEqual({ total: 3, active: 3, experts: null, notes: [] });
});

test('experts in one tensor, by their place', async () => {
  const config = { num_local_experts: 4, num_experts_per_tok: 1 };
  expect(await sizeOf({ 'layers.0.moe.input_linear.weight': [4, 3, 2] }, config)).toMatchObject({ total: 24, active: 6 });
  // Without a configuration, as beside most checkpoints of trainers: how many act is nobody's guess.
  const stacked = { 'layers.0.moe.experts.w1': [4, 6, 3], 'layers.0.moe.experts.w2': [4, 3, 6], 'layers.0.moe.router.weight': [4, 3] };
  for (const shapes of [stacked, { 'layers.0.moe.experts.w1': [4, 6, 3] }]) expect((await sizeOf(shapes, null)).active).toBeNull();
  expect((await sizeOf(stacked, null)).experts).toEqual({ count: 4, perToken: null });
});

test('packed codes count as the weights they stand for, their scales not at all', async () => {
  const experts = 'model.layers.0.mlp.experts';
  const packed = (shapes: Record<string, number[]>, dtype: DtypeName, config: object) =>
    modelSize(writeSparse(join(temporary.path, String(made++)), shapes, config, dtype));
  // MXFP4: two codes in a byte.
  const mxfp4 = { [`${experts}.gate_up_proj_blocks`]: [4, 8, 2, 16], [`${experts}.gate_up_proj_scales`]: [4, 8, 2] };
  expect(await packed(mxfp4, 'U8', { num_local_experts: 4, num_experts_per_tok: 1 })).toMatchObject({ total: 4 * 8 * 64, active: 8 * 64 });
  const gptq = { 'model.layers.0.mlp.up_proj.qweight': [2, 6], 'model.layers.0.mlp.up_proj.g_idx': [16] };
  expect(await packed(gptq, 'I32', { quantization_config: { quant_method: 'gptq', bits: 8 } })).toMatchObject({ total: 2 * 4 * 6 });
  expect(await packed(gptq, 'I32', { quantization_config: { bits: 4 } })).toMatchObject({ total: 2 * 8 * 6 });
});

test('FP4 in bytes of any dtype counts twice, INT8 once', async () => {
  const base = 'model.layers.0.mlp.up_proj';
  const sizeWith = async (codes: DtypeName, scale: [name: string, dtype: DtypeName, shape: number[]]) => {
    const tensors = [
      { name: `${base}.weight`, dtype: codes, shape: [8, 32] },
      { name: `${base}.${scale[0]}`, dtype: scale[1], shape: scale[2] },
    ];
    return (await modelSize(writeCheckpoint(join(temporary.path, String(made++)), [tensors], 1))).total;
  };
  // DeepSeek's own files hold FP4 in I8, with a power of two for 32 values; NVFP4 has one for 16.
  expect(await sizeWith('I8', ['scale', 'F8_E8M0', [8, 2]])).toBe(8 * 64);
  expect(await sizeWith('I8', ['weight_scale', 'F8_E4M3', [8, 4]])).toBe(8 * 64);
  expect(await sizeWith('U8', ['weight_scale', 'U8', [8, 2]])).toBe(8 * 64);
  expect(await sizeWith('I8', ['weight_scale', 'BF16', [8, 1]])).toBe(8 * 32);
  expect(await sizeWith('I8', ['weight_scale', 'F32', [8, 2]])).toBe(8 * 32);
});

test('tied embeddings that are stored twice count once, and twice where they differ', async () => {
  const same = Buffer.alloc(40 * 4, 7);
  const other = Buffer.alloc(40 * 4, 8);
  const sizeWith = async (head: Buffer) => {
    const folder = join(temporary.path, String(made++));
    const dtype = 'F32' as const;
    const tensors = [
      { name: 'model.embed_tokens.weight', dtype, shape: [10, 4], data: same },
      { name: 'lm_head.weight', dtype, shape: [10, 4], data: head },
    ];
    return (await modelSize(writeCheckpoint(folder, [tensors], 1, { 'config.json': '{"tie_word_embeddings": true}' }))).total;
  };
  expect(await sizeWith(same)).toBe(40);
  expect(await sizeWith(other)).toBe(80);
});

test('integer buffers are no parameters', async () => {
  const folder = writeSparse(join(temporary.path, 'integers'), { position_ids: [512] }, {}, 'I64');
  expect(await modelSize(folder)).toMatchObject({ total: 0, active: 0 });
});
