import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { verify } from '../../src/analysis/verify/verify.ts';
import { dtypeByCode } from '../../src/base/dtype.ts';
import { decodeFloats } from '../../src/base/numbers/decode.ts';
import { average, plan } from '../../src/merge/average.ts';
import { openCheckpoint } from '../../src/safetensors.ts';
import { type FixtureTensor, temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());
const at = (...parts: string[]) => join(folder.path, ...parts);

const bf16 = (name: string, ...shape: number[]): FixtureTensor => ({ name, dtype: 'BF16', shape });
const f32 = (name: string, ...values: number[]): FixtureTensor => ({
  ...{ name, dtype: 'F32', shape: [values.length] },
  data: new Uint8Array(Float32Array.from(values).buffer),
});
const MODEL = [0, 1].flatMap((l) => [
  bf16(`model.layers.${l}.self_attn.q_proj.weight`, 64, 64),
  bf16(`model.layers.${l}.self_attn.o_proj.weight`, 64, 64),
  bf16(`model.layers.${l}.mlp.up_proj.weight`, 128, 64),
]);

/** Checkpoints 900 and 1000, of the model and what `more` gives for each; merged with equal weights. */
async function merged(more: (member: number) => readonly FixtureTensor[], config: object = {}, options: object = {}) {
  const inputs = [0, 1].map((i) => {
    const sides = { 'config.json': JSON.stringify({ model_type: 'mine', num_hidden_layers: 2, hidden_size: 64, ...config }) };
    return writeCheckpoint(at(`checkpoint-${900 + 100 * i}`), [[...MODEL, ...more(i)]], i + 1, sides);
  });
  const { warnings } = await average({ inputs, output: at('out'), method: 'sma', ...options });
  expect((await verify(at('out'), { full: true })).recomputed.mode).toBe('full');
  return { warnings, values: await valuesOf(at('out')) };
}

async function valuesOf(path: string): Promise<Record<string, number[]>> {
  const { shards } = await openCheckpoint(path);
  return Object.fromEntries(
    shards.flatMap(({ path, header: { tensors, dataStart } }) => {
      const file = readFileSync(path);
      return tensors.names.flatMap((name, row) => {
        const { name: dtype } = dtypeByCode(tensors.dtypes[row]!);
        if (dtype !== 'F32') return [];
        return [[name, [...decodeFloats(dtype, file.subarray(dataStart + tensors.begin[row]!, dataStart + tensors.end[row]!))]]];
      });
    }),
  );
}

it('floats of unknown names are averaged, and one warning names them; tables and bounds are copied', async () => {
  const { warnings, values } = await merged((i) => [
    f32('lerope.alpha', 0.5 + i / 4),
    f32('masked_spec_embed', i, 0.5),
    ...[0, 1].map((l) => f32(`model.layers.${l}.novel.gain`, 1 + i / 8, 1)),
    f32('model.ranges', Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY),
    f32('model.slots', 3, 1, 2),
  ]);
  expect(warnings.map(({ code }) => code)).toEqual(['W_UNKNOWN_NAMES']);
  expect(warnings[0]!.message).toContain('4 float tensors are averaged');
  expect(warnings[0]!.message).toContain('lerope.alpha, masked_spec_embed, model.layers.*.novel.gain (2)');
  expect(values).toEqual({
    'lerope.alpha': [0.625],
    masked_spec_embed: [0.5, 0.5],
    'model.layers.0.novel.gain': [1.0625, 1],
    'model.layers.1.novel.gain': [1.0625, 1],
    'model.ranges': [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
    'model.slots': [3, 1, 2],
  });
});

it('a table keeps its bytes and its dtype whatever the weights and the dtype of the rest', async () => {
  const bounds = () => [f32('model.clip', Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, 7)];
  const { warnings, values } = await merged(bounds, {}, { method: undefined, weights: [-0.5, 1.75], dtype: 'BF16' });
  expect(warnings.map(({ code }) => code)).toEqual(['W_WEIGHT_SUM']);
  expect(values['model.clip']).toEqual([Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, 7]);
});

const CLIP = 'model.layers.0.self_attn.q_l2_clip.scale';
const clip = (i: number) => f32(CLIP, 1 + i / 2, 1.25);

it('a learned scale is averaged where nothing is quantised', async () => {
  const { warnings, values } = await merged((i) => [clip(i)]);
  expect(warnings).toEqual([]);
  expect(values[CLIP]).toEqual([1.25, 1.25]);
});

it('a learned scale is averaged beside quantised weights that are not its own', async () => {
  const codes: FixtureTensor = { name: 'model.layers.0.mlp.gate_proj.weight', dtype: 'F8_E4M3', shape: [128, 64] };
  const { values } = await merged((i) => [clip(i), codes, f32(`${codes.name}_scale_inv`, 0.5)]);
  expect(values[CLIP]).toEqual([1.25, 1.25]);
});

it('embedding and head that config.json calls one and that differ are both averaged, with a warning', async () => {
  const head = (i: number) =>
    [f32('model.embed_tokens.weight', 1, 2), f32('lm_head.weight', 1, 3 + i)].map((t) => ({ ...t, shape: [1, 2] }));
  const { warnings, values } = await merged(head, { tie_word_embeddings: true });
  expect(warnings.map(({ code }) => code)).toEqual(['W_TIED']);
  expect(warnings[0]!.message).toContain(
    'checkpoint-900 and 1 more member hold two that differ, model.embed_tokens.weight and lm_head.weight',
  );
  expect(values).toMatchObject({ 'model.embed_tokens.weight': [1, 2], 'lm_head.weight': [1, 3.5] });
});

it('names that quantisers use are learned parameters in a model of floats', async () => {
  const inputs = (i: number) => [
    bf16(`model.layers.0.self_attn.W_q`, 64, 64),
    f32('quantizer.codebooks', 0.5 + i, 0.25),
    f32('quantizer.centroids', 0.5 + i, 0.75),
    f32('model.layers.0.self_attn.k_scale', 0.5 + i, 0.25),
  ];
  const { values } = await merged(inputs);
  expect(values).toMatchObject({
    'quantizer.codebooks': [1, 0.25],
    'quantizer.centroids': [1, 0.75],
    'model.layers.0.self_attn.k_scale': [1, 0.25],
  });
});

it('a parameter under two names that nothing maps is refused, and both names are said', async () => {
  const written = (i: number, name: string) =>
    writeCheckpoint(
      at(`checkpoint-${i}`),
      [[...MODEL, bf16(`model.layers.0.self_attn.${name}`, 3, 5), bf16(`model.layers.0.${name}`, 7)]],
      i,
    );
  const error = await plan({ inputs: [written(1, 'old_thing'), written(2, 'new_thing')], output: at('out') }).catch((e: unknown) => e);
  expect(error).toMatchObject({
    details: {
      conflicts: expect.arrayContaining([
        expect.objectContaining({
          code: 'E_TENSOR_MISSING',
          tensor: 'model.layers.0.self_attn.new_thing',
          message: expect.stringContaining('which holds model.layers.0.self_attn.old_thing of the same shape'),
        }),
      ]),
    },
  });
});

it('a model under the names of its own files and of transformers is one model', async () => {
  const mlp = (kind: string) => [...MODEL, f32(`model.layers.0.${kind}.weight`, 0.5, 0.25)];
  const inputs = [
    writeCheckpoint(at('checkpoint-9'), [mlp('post_mlp_layernorm')], 1),
    writeCheckpoint(at('checkpoint-10'), [mlp('mlp.post_mlp_layernorm')], 1),
  ];
  const { warnings } = await average({ inputs, output: at('out') });
  expect(warnings.map(({ code }) => code)).toEqual(['W_OTHER_LAYOUT']);
  expect(await valuesOf(at('out'))).toEqual({ 'model.layers.0.mlp.post_mlp_layernorm.weight': [0.5, 0.25] });
});
