import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { inspect } from '../../src/analysis/inspect/inspect.ts';
import { verify } from '../../src/analysis/verify/verify.ts';
import type { DtypeName } from '../../src/base/dtype.ts';
import { MergeError } from '../../src/base/errors.ts';
import { encodeFloat, FLOAT_BYTES } from '../../src/base/numbers/float.ts';
import { type AverageOptions, average, plan } from '../../src/merge/average.ts';
import { openCheckpoint } from '../../src/safetensors.ts';
import { type FixtureTensor, temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';
import { ONE_LAYER, ONE_LAYER_CONFIG } from '../support/one-layer.ts';

const folder = temporaryFolder();
afterAll(folder.remove);
let count = 0;

const tensor = (name: string, dtype: DtypeName, shape: readonly number[], data?: Uint8Array): FixtureTensor => ({
  ...{ name, dtype, shape },
  ...(data !== undefined && { data }),
});
const bf16 = (value: number) => new Uint8Array(Float32Array.of(value).buffer).slice(2);
const Q = 'model.layers.0.self_attn.q_proj';

/** Three members at steps 1, 2, 3, each with what `more` adds or changes. */
function members(
  more: (tensors: readonly FixtureTensor[], i: number) => readonly FixtureTensor[],
  config: object = ONE_LAYER_CONFIG,
): string[] {
  count++;
  return [0, 1, 2].map((i) =>
    writeCheckpoint(join(folder.path, String(count), `step-${1001 + i}`), [more(ONE_LAYER, i)], i + 1, {
      'config.json': JSON.stringify(config),
    }),
  );
}

async function merged(inputs: readonly string[], options: Partial<AverageOptions> = {}) {
  const out = join(folder.path, String(count), 'out');
  const { warnings } = await average({ inputs, output: out, force: true, ...options });
  expect((await verify(out, { sample: 1 })).ok).toBe(true);
  const told = warnings.filter(({ code }) => code !== 'W_WEIGHT_SUM' && code !== 'W_OLDEST_HEAVIEST');
  return { warnings: told.map(({ code, message }) => `${code} ${message}`), tensors: await bytesOf(out) };
}

async function bytesOf(path: string): Promise<Map<string, Buffer>> {
  const { shards } = await openCheckpoint(path);
  return new Map(
    shards.flatMap(({ path: file, header: { tensors, dataStart } }) => {
      const bytes = readFileSync(file);
      return tensors.names.map((name, row): [string, Buffer] => [
        name,
        bytes.subarray(dataStart + tensors.begin[row]!, dataStart + tensors.end[row]!),
      ]);
    }),
  );
}

const refusal = async (inputs: readonly string[]): Promise<MergeError> => {
  const error = await plan({ inputs, output: join(folder.path, 'never') }).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(MergeError);
  return error as MergeError;
};

describe("TransformerEngine's states", () => {
  it.each(['U8', 'BF16', 'F32'] as const)(
    '%s: the newest, with one warning, whatever their length and wherever they are',
    async (dtype) => {
      const inputs = members((tensors, i) => [
        ...tensors,
        tensor(`${Q}._extra_state`, dtype, [4 + i]),
        ...(i === 0 ? [] : [tensor('model.layers.0.mlp._extra_state', dtype, [4])]),
      ]);
      const { warnings, tensors } = await merged(inputs);
      expect(warnings).toEqual([expect.stringMatching(/^W_ACTIVATION_SCALES 2 tensors \(the first is .*q_proj\._extra_state\)/)]);
      expect(tensors.get(`${Q}._extra_state`)).toEqual((await bytesOf(inputs[2]!)).get(`${Q}._extra_state`));
    },
  );

  it('copied without a word where they are the same', async () => {
    const { warnings } = await merged(
      members((tensors) => [...tensors, tensor(`${Q}._extra_state`, 'U8', [4], Uint8Array.of(1, 2, 3, 4))]),
    );
    expect(warnings).toEqual([]);
  });

  it('left out where the newest has none', async () => {
    const { warnings, tensors } = await merged(
      members((tensors, i) => (i === 2 ? tensors : [...tensors, tensor(`${Q}._extra_state`, 'U8', [4])])),
    );
    expect(warnings).toEqual([expect.stringContaining('W_LEFT_OUT')]);
    expect(tensors.has(`${Q}._extra_state`)).toBe(false);
  });
});

describe('bounds at infinity', () => {
  const NAMES = ['input_min', 'input_max', 'output_min', 'output_max'].map((bound) => `model.vision_tower.layers.0.mlp.up_proj.${bound}`);
  const ends = (i: number) => [-Infinity, Infinity][i % 2]!;

  it('that are the same in all members are copied, whatever the weights', async () => {
    const inputs = members((tensors) => [...tensors, ...NAMES.map((name, b) => tensor(name, 'BF16', [], bf16(ends(b))))]);
    for (const weights of [undefined, [-0.5, 0.5, 1]]) {
      const { warnings, tensors } = await merged(inputs, weights === undefined ? {} : { weights });
      expect(warnings).toEqual([]);
      for (const [b, name] of NAMES.entries()) expect(Uint8Array.from(tensors.get(name)!)).toEqual(bf16(ends(b)));
    }
  });

  it('by another name, too; and the newest where they differ', async () => {
    const inputs = members((tensors, i) => [
      ...tensors,
      tensor('model.layers.0.self_attn.ceiling', 'BF16', [1], bf16(Infinity)),
      tensor(NAMES[0]!, 'BF16', [], bf16(i === 2 ? -3 : -Infinity)),
    ]);
    const { warnings, tensors } = await merged(inputs, { weights: [-0.5, 0.5, 1] });
    expect(warnings).toEqual([expect.stringMatching(/^W_ACTIVATION_SCALES tensor .*input_min/)]);
    expect(Uint8Array.from(tensors.get('model.layers.0.self_attn.ceiling')!)).toEqual(bf16(Infinity));
    expect(Uint8Array.from(tensors.get(NAMES[0]!)!)).toEqual(bf16(-3));
  });

  it('and NaN is a fault like any other', async () => {
    const { warnings } = await merged(
      members((tensors) => [...tensors, tensor('model.layers.0.layer_scalar', 'BF16', [1], bf16(Number.NaN))]),
    );
    expect(warnings).toEqual([
      expect.stringContaining('W_NONFINITE'),
      expect.stringContaining('W_NONFINITE'),
      expect.stringContaining('W_NONFINITE'),
    ]);
  });
});

describe('constant buffers that only some members have', () => {
  const BUFFERS = [
    tensor('model.layers.0.self_attn.rotary_emb.inv_freq', 'F32', [4]),
    tensor('model.layers.0.attn.masked_bias', 'F32', []),
    tensor('model.embeddings.position_ids', 'I64', [1, 4]),
    tensor('model.layers.0.attn.relative_position_index', 'I64', [4, 4]),
    tensor('model.layers.0.attn.relative_coords_table', 'F32', [4, 2]),
    tensor('model.embed_tokens.embed_scale', 'F32', [], new Uint8Array(Float32Array.of(8).buffer)),
    tensor('model.embed_positions._float_tensor', 'F32', [1]),
    tensor('model.embed_positions.weights', 'F32', [4, 2]),
    tensor('model.layers.0.attn.causal_mask', 'BOOL', [4, 4], new Uint8Array(16)),
    tensor('model.alibi', 'BF16', [4, 2]),
  ];
  it.each([
    ['the oldest', (i: number) => i === 0],
    ['the newest', (i: number) => i === 2],
    ['the newest two', (i: number) => i > 0],
  ])('%s: left out, with one warning', async (_who, has) => {
    const { warnings, tensors } = await merged(members((own, i) => (has(i) ? [...own, ...BUFFERS] : own)));
    expect(warnings).toEqual([expect.stringMatching(/^W_LEFT_OUT \d+ tensors \(the first is .*\): constant buffers/)]);
    expect([...tensors.keys()].sort()).toEqual(ONE_LAYER.map(({ name }) => name).sort());
  });

  it('a table that a model needs is missed', async () => {
    const inputs = members((own, i) => (i === 0 ? own : [...own, tensor('model.layers.0.mlp.lookup', 'I64', [4], new Uint8Array(32))]));
    expect((await refusal(inputs)).code).toBe('E_TENSOR_MISSING');
  });
});

describe('constant buffers in several dtypes', () => {
  const NAMES = ['model.rotary_emb.inv_freq', 'model.layers.0.attn.causal_mask', 'model.layers.0.attn.slope_rate'];
  const frequencies = (base: number) => Float32Array.from({ length: 16 }, (_, i) => (i === 0 ? -1e9 : base ** (-i / 16)));
  const made = (dtype: 'F32' | 'BF16' | 'F16', base: number, name: string) => {
    const values = frequencies(base);
    const data = new Uint8Array(values.length * FLOAT_BYTES[dtype]);
    for (const [i, value] of values.entries()) encodeFloat(dtype, dtype === 'F16' && i === 0 ? -1 : value, new DataView(data.buffer), i);
    return tensor(name, dtype, [16], data);
  };
  const inDtypes = (...dtypes: ('F32' | 'BF16' | 'F16')[]) =>
    members((own, i) => [...own, ...NAMES.map((name) => made(dtypes[i]!, 10_000, name))]);

  it.each([
    ['F32', 'F32', 'BF16'],
    ['F32', 'BF16', 'F32'],
    ['BF16', 'F32', 'F32'],
  ] as const)('%s, %s and %s, the same but for rounding: from the newest', async (...dtypes) => {
    const inputs = inDtypes(...dtypes);
    const { warnings, tensors } = await merged(inputs);
    expect(warnings).toEqual([]);
    const newest = await bytesOf(inputs[2]!);
    for (const name of NAMES) expect(tensors.get(name)).toEqual(newest.get(name));
  });

  it('in the dtype of a layout that is not the newest: converted', async () => {
    const inputs = inDtypes('F32', 'BF16', 'BF16');
    const like = inputs[0]!;
    expect((await plan({ inputs, output: join(folder.path, 'never'), like }).catch((e: unknown) => e)) as MergeError).toMatchObject({
      code: 'E_MIXED_DTYPES',
    });
    const { tensors } = await merged(inputs, { like, allowMixedDtypes: true });
    expect(tensors.get(NAMES[0]!)).toHaveLength(64);
  });

  it.each([undefined, true])('of another base they differ, as in one dtype (mixed dtypes allowed: %s)', async (allowMixedDtypes) => {
    const inputs = members((own, i) => [...own, made(i === 0 ? 'F32' : 'BF16', i === 0 ? 500_000 : 10_000, NAMES[0]!)]);
    const error = await plan({ inputs, output: join(folder.path, 'never'), ...(allowMixedDtypes && { allowMixedDtypes }) }).catch(
      (e: unknown) => e,
    );
    expect(error).toMatchObject({ code: 'E_BUFFERS_DIFFER', message: expect.stringContaining('not the same but for rounding') });
  });
});

describe('names of wrappers', () => {
  const wrapped = (prefix: string) => (tensors: readonly FixtureTensor[]) => tensors.map((t) => ({ ...t, name: `${prefix}${t.name}` }));

  it.each(['_orig_mod.', '_forward_module.', '_checkpoint_wrapped_module.', 'module.', 'base_model.model.', 'module._orig_mod.'])(
    '%s in all members: merged, and said',
    async (prefix) => {
      const inputs = members(wrapped(prefix));
      const { warnings, tensors } = await merged(inputs);
      expect(warnings).toEqual([expect.stringMatching(/^W_WRAPPED_NAMES .*all 5 tensors begin with .*save_file/)]);
      expect(warnings[0]).toContain(
        prefix.startsWith('module._') ? "removeprefix('module.').removeprefix('_orig_mod.')" : `removeprefix('${prefix}')`,
      );
      expect(tensors.has(`${prefix}lm_head.weight`)).toBe(true);
      expect((await inspect(inputs[0]!)).warnings).toMatchObject([{ code: 'W_WRAPPED_NAMES' }]);
    },
  );

  it('inside of names', async () => {
    const { warnings } = await merged(
      members((own) => own.map((t) => ({ ...t, name: t.name.replace('layers.0.', 'layers.0._orig_mod.') }))),
    );
    expect(warnings).toEqual([expect.stringMatching(/^W_WRAPPED_NAMES .*names of tensors hold _orig_mod\./)]);
  });

  it.each(['_orig_mod.', '_forward_module.', 'base_model.model.'])('%s in some members: found by what it stands for', async (prefix) => {
    const { warnings, tensors } = await merged(members((own, i) => (i === 0 ? wrapped(prefix)(own) : own)));
    expect(warnings).toEqual([expect.stringContaining('W_OTHER_LAYOUT')]);
    expect([...tensors.keys()].sort()).toEqual(ONE_LAYER.map(({ name }) => name).sort());
  });
});

describe("PEFT's wrapper", () => {
  const adapters = ['A', 'B'].map((ab) => tensor(`base_model.model.${Q}.lora_${ab}.default.weight`, 'BF16', [4, 4]));
  const inWrapper = (base: string) =>
    members((own) => [
      ...own.map((t) => ({ ...t, name: `base_model.model.${t.name.replace(`${Q}.weight`, `${Q}.${base}`)}` })),
      ...adapters,
    ]);

  it.each(['base_layer.weight', 'weight'])('with base weights as %s: refused as what it is', async (base) => {
    const inputs = inWrapper(base);
    const error = await refusal(inputs);
    expect(error).toMatchObject({ code: 'E_LAYOUT_FORM', help: expect.stringContaining('merge_and_unload()') });
    expect(error.message).toMatch(/PEFT's wrapper: 1 of its weights .* adapters \(LoRA, 2 tensors\).*; and so are 2 more/);
    expect((await inspect(inputs[0]!)).summary.problems).toMatchObject([{ code: 'E_LAYOUT_FORM' }]);
    expect((await inspect(inputs[0]!)).warnings).toEqual([]);
  });

  it('adapters alone are adapters', async () => {
    const head = tensor('base_model.model.lm_head.weight', 'BF16', [8, 4]);
    expect(await refusal(members(() => [...adapters, head]))).toMatchObject({
      code: 'E_NO_WEIGHTS',
      message: expect.stringContaining('all 3 tensors are adapters'),
    });
  });
});

describe('a language model without a head', () => {
  const headless = (own: readonly FixtureTensor[]) => own.filter(({ name }) => name !== 'lm_head.weight');

  it('is said, by inspect too', async () => {
    const inputs = members(headless);
    expect((await merged(inputs)).warnings).toEqual([expect.stringMatching(/^W_NO_HEAD .*LlamaForCausalLM.*random numbers/)]);
    expect((await inspect(inputs[0]!)).warnings).toMatchObject([{ code: 'W_NO_HEAD' }]);
  });

  it.each([
    ['tied', { ...ONE_LAYER_CONFIG, tie_word_embeddings: true }],
    [
      'of which the configuration does not say, in a family that ties',
      { ...ONE_LAYER_CONFIG, model_type: 'gemma2', tie_word_embeddings: undefined },
    ],
    ['that is no language model', { ...ONE_LAYER_CONFIG, architectures: ['LlamaModel'] }],
    ['without a configuration of architectures', { ...ONE_LAYER_CONFIG, architectures: undefined }],
  ])('%s: nothing is said', async (_what, config) => {
    expect((await merged(members(headless, config))).warnings).toEqual([]);
  });

  it.each(['llama', 'gpt_neox', 'qwen3_moe'])('%s, of which the configuration does not say: its family does not tie', async (family) => {
    const config = { ...ONE_LAYER_CONFIG, model_type: family, tie_word_embeddings: undefined };
    expect((await merged(members(headless, config))).warnings).toEqual([expect.stringMatching(/^W_NO_HEAD .*tie_word_embeddings is not/)]);
  });

  const VISION = { ...ONE_LAYER_CONFIG, architectures: ['Qwen3VLForConditionalGeneration'], vision_config: {} };
  it.each([
    ['untied as a whole', { ...VISION, text_config: {} }, true],
    ['untied by its language model', { ...VISION, tie_word_embeddings: undefined, text_config: { tie_word_embeddings: false } }, true],
    ['tied as a whole', { ...VISION, tie_word_embeddings: true, text_config: { tie_word_embeddings: false } }, false],
    ['of an encoder and a decoder', { ...VISION, is_encoder_decoder: true, text_config: {} }, false],
    ['of one part', VISION, false],
    ['for retrieval', { ...VISION, architectures: ['ColQwen2ForRetrieval'], text_config: {} }, false],
  ])('of images and texts, %s', async (_what, config, said) => {
    const names = (own: readonly FixtureTensor[]) =>
      headless(own).map((t) => ({ ...t, name: t.name.replace('model.', 'model.language_model.') }));
    const { warnings } = await inspect(members(names, config)[0]!);
    expect(warnings.map(({ code }) => code)).toEqual(said ? ['W_NO_HEAD'] : []);
  });

  it('that embeds texts: nothing is said', async () => {
    const path = writeCheckpoint(join(folder.path, 'embedding'), [headless(ONE_LAYER)], 1, {
      'config.json': JSON.stringify(ONE_LAYER_CONFIG),
      'modules.json': '[]',
    });
    expect((await inspect(path)).warnings).toEqual([]);
  });
});

describe('a language model without its embedding or its last norm', () => {
  const without =
    (...parts: string[]) =>
    (own: readonly FixtureTensor[]) =>
      own.filter(({ name }) => !parts.some((part) => name.includes(part)));
  const withNorms = (own: readonly FixtureTensor[]) => [...own, tensor('model.layers.0.input_layernorm.weight', 'BF16', [4])];

  it.each([
    ['the embedding', ['embed_tokens'], /^W_PART_MISSING .* has no input embedding, and .*LlamaForCausalLM.*random numbers/],
    ['the last norm', ['model.norm'], /^W_PART_MISSING .* has no norm after its last layer, and/],
    ['both', ['model.norm', 'embed_tokens'], /^W_PART_MISSING .* has no input embedding and no norm after its last layer/],
  ])('%s: said, by inspect too', async (_what, parts, message) => {
    const inputs = members((own) => without(...parts)(withNorms(own)));
    expect((await merged(inputs)).warnings).toEqual([expect.stringMatching(message)]);
    expect((await inspect(inputs[0]!)).warnings).toMatchObject([{ code: 'W_PART_MISSING' }]);
  });

  it('that is under the name of the head: said of none', async () => {
    const inputs = members((own) => without('embed_tokens')(withNorms(own)), { ...ONE_LAYER_CONFIG, tie_word_embeddings: true });
    expect((await merged(inputs)).warnings).toEqual([]);
  });

  it.each([
    ['no language model', { ...ONE_LAYER_CONFIG, architectures: ['LlamaForSequenceClassification'] }, ['embed_tokens', 'lm_head']],
    ['a model whose norms have no weights', ONE_LAYER_CONFIG, ['norm']],
    ['one that normalises at the end of each layer', { ...ONE_LAYER_CONFIG, do_layer_norm_before: false }, ['model.norm']],
    ['the last part of a pipeline', { ...ONE_LAYER_CONFIG, num_hidden_layers: 2 }, ['embed_tokens']],
  ])('%s: nothing is said', async (_what, config, parts) => {
    const [first] = members((own) => without(...parts)(withNorms(own)), config);
    expect((await inspect(first!)).warnings).toEqual([]);
  });
});

describe('quantised forms that are not merged', () => {
  it('MLX is named, with what undoes it', async () => {
    const inputs = members((own) => [
      ...own.filter(({ name }) => name !== `${Q}.weight`),
      tensor(`${Q}.weight`, 'U32', [4, 1]),
      tensor(`${Q}.scales`, 'BF16', [4, 1]),
      tensor(`${Q}.biases`, 'BF16', [4, 1]),
    ]);
    const error = await refusal(inputs);
    expect(error.code).toBe('E_QUANTISED_UNSUPPORTED');
    expect(error.details.conflicts![0]!.message).toMatch(/MLX .*mlx_lm\.convert --dequantize/);
    expect((await inspect(inputs[0]!)).summary.problems).toMatchObject([{ message: expect.stringContaining('MLX') }]);
  });
});
