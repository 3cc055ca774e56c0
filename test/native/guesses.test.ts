import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../src/base/errors.ts';
import { type AverageOptions, average, plan } from '../../src/merge/average.ts';
import { parsePolicy } from '../../src/recipe/policy/parse.ts';
import { type FixtureTensor, generator, temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';

const EXPERTS = 4;
const HIDDEN = 8;
const CONFIG = { model_type: 'qwen3_moe', num_hidden_layers: 2, num_experts: EXPERTS, num_experts_per_tok: 2, hidden_size: HIDDEN };

const bf16 = (name: string, ...shape: number[]): FixtureTensor => ({ name, dtype: 'BF16', shape });
const f32 = (name: string, values: readonly number[], shape: readonly number[] = [values.length]): FixtureTensor => ({
  ...{ name, dtype: 'F32', shape },
  data: new Uint8Array(Float32Array.from(values).buffer),
});
const layer = (l: number): FixtureTensor[] => [
  bf16(`model.layers.${l}.self_attn.q_proj.weight`, HIDDEN, HIDDEN),
  bf16(`model.layers.${l}.mlp.gate.weight`, EXPERTS, HIDDEN),
  ...Array.from({ length: EXPERTS }, (_, e) => bf16(`model.layers.${l}.mlp.experts.${e}.up_proj.weight`, 6, HIDDEN)),
];
const MODEL = [bf16('model.embed_tokens.weight', 16, HIDDEN), ...layer(0), ...layer(1), bf16('lm_head.weight', 16, HIDDEN)];
const CODES: FixtureTensor = { name: 'model.layers.0.self_attn.k_proj.weight', dtype: 'F8_E4M3', shape: [HIDDEN, HIDDEN] };
const FP8 = [...MODEL, CODES, f32(`${CODES.name}_scale_inv`, [0.5], [1, 1])];
/** The same numbers in every member, so that what is moved can be found. */
const settled = (tensors: readonly FixtureTensor[]) =>
  tensors.map((tensor): FixtureTensor => {
    const next = generator([...tensor.name].reduce((h, c) => (h * 31 + c.charCodeAt(0)) | 0, 7));
    const values = Uint16Array.from({ length: tensor.shape.reduce((a, b) => a * b, 1) }, () => (next() & 0x807f) | 0x3f00);
    return { ...tensor, data: new Uint8Array(values.buffer) };
  });
const renamed = (tensors: readonly FixtureTensor[], name: (old: string) => string) => tensors.map((t) => ({ ...t, name: name(t.name) }));
const without = (part: string) => MODEL.filter(({ name }) => !name.includes(part));
const replaced = (name: string, shape: number[]) => MODEL.map((t) => (t.name === name ? bf16(name, ...shape) : t));
const rotated = settled(MODEL).map((t) => {
  if (!t.name.endsWith('.gate.weight'))
    return { ...t, name: t.name.replace(/experts\.(\d)/, (_, e) => `experts.${(Number(e) + 1) % EXPERTS}`) };
  const row = HIDDEN * 2;
  return { ...t, data: Uint8Array.from([...t.data!.subarray(-row), ...t.data!.subarray(0, -row)]) };
});

type Options = Omit<AverageOptions, 'inputs' | 'output'>;
const named = (...texts: string[]): Options => ({ policies: texts.map((text) => parsePolicy(text)) });
const unknown: Options = { allowUnknown: true };

/**
 * Every check that goes by names, by keys of config.json or by how much values look alike, and so may be wrong;
 * and what a user can do who knows better. Members `a` (older) and `b`; where one is given, it is both.
 */
interface Guess {
  readonly code: ErrorCode;
  readonly what: string;
  readonly b: readonly FixtureTensor[];
  readonly a?: readonly FixtureTensor[];
  readonly config?: object;
  readonly configA?: object;
  readonly options?: Options;
  readonly ways: readonly Options[];
}

const zeroPoint = bf16('model.layers.0.zorp.zero_point', 4);
const counter = 'model.zorp.seen';
const freq = 'model.rotary_emb.freqs';
const mean = 'model.bn.running_mean';
const stray = bf16('model.layers.0.self_attn.q_proj.weight_zero_point', HIDDEN);
const orphan = f32('model.layers.0.self_attn.q_proj.weight_scale_inv', [0.5], [1, 1]);
const adapter = bf16('base_model.model.q_proj.lora_A.weight', 2, 8);
const mtp = bf16('model.layers.2.eh_proj.weight', HIDDEN, 2 * HIDDEN);

// biome-ignore format: a table, a guess a line.
const GUESSES: readonly Guess[] = [
  { code: 'E_UNKNOWN_TENSOR', what: 'a name that says quantised', b: [...MODEL, zeroPoint], ways: [unknown, named(`name=${zeroPoint.name}:use=average`), named(`name=${zeroPoint.name}:use=newest`)] },
  { code: 'E_UNKNOWN_TENSOR', what: 'whole numbers', a: [...MODEL, f32(counter, [3, 5, 7, 9, 2, 4, 6, 8])], b: [...MODEL, f32(counter, [4, 6, 8, 10, 3, 5, 7, 9])], ways: [unknown, named(`name=${counter}:use=average`), named(`name=${counter}:use=newest`)] },
  { code: 'E_UNKNOWN_TENSOR', what: 'a zero point of plain floats among quantised weights', b: [...FP8, stray], ways: [unknown, named(`name=${stray.name}:use=average`), named(`name=${stray.name}:use=newest`)] },
  { code: 'E_BUFFERS_DIFFER', what: 'frequencies that are learned', a: [...MODEL, f32(freq, [1, 0.5])], b: [...MODEL, f32(freq, [1, 0.4])], ways: [named('role=buffers:use=newest'), named(`name=${freq}:use=average`)] },
  { code: 'E_INTEGERS_DIFFER', what: 'integers', a: [...MODEL, { name: 'model.ids', dtype: 'I64', shape: [1], data: new Uint8Array(8).fill(1) }], b: [...MODEL, { name: 'model.ids', dtype: 'I64', shape: [1], data: new Uint8Array(8).fill(2) }], ways: [named('name=model.ids:use=newest')] },
  { code: 'E_POLICY', what: 'statistics that are to be averaged', b: [...MODEL, f32(mean, [0.5, 0.25])], options: named('role=buffers:use=average'), ways: [named(`name=${mean}:use=average`), {}] },
  { code: 'E_NO_WEIGHTS', what: 'adapters', b: [adapter], ways: [named(`name=*:use=average`)] },
  { code: 'E_EXPERT_MISSING', what: 'an expert that is not there', b: without('layers.1.mlp.experts.2.'), ways: [unknown] },
  { code: 'E_EXPERT_EXTRA', what: 'an expert too many', b: [...MODEL, bf16('model.layers.0.mlp.experts.4.up_proj.weight', 6, HIDDEN)], ways: [unknown] },
  { code: 'E_EXPERT_SHAPE', what: 'an expert of another size', b: replaced('model.layers.0.mlp.experts.2.up_proj.weight', [7, HIDDEN]), ways: [unknown] },
  { code: 'E_ROUTER_SHAPE', what: 'a router of another size', b: replaced('model.layers.1.mlp.gate.weight', [EXPERTS + 1, HIDDEN]), ways: [unknown] },
  { code: 'E_ROUTER_MISSING', what: 'experts without a router', b: [...MODEL, ...layer(2).filter(({ name }) => !name.includes('gate'))], config: { ...CONFIG, num_hidden_layers: 3 }, ways: [unknown] },
  { code: 'E_HALF_FUSED', what: 'experts in two forms', b: [...MODEL, bf16('model.layers.1.mlp.experts.up_proj', EXPERTS, 6, HIDDEN)], ways: [unknown] },
  { code: 'E_LAYER_MISSING', what: 'a hole between layers', b: [...without('layers.1.'), ...layer(2)], config: { ...CONFIG, num_hidden_layers: 3 }, ways: [unknown] },
  { code: 'E_CONFIG_TENSORS', what: 'fewer layers in config.json', b: [...MODEL, ...layer(2)], ways: [unknown] },
  { code: 'E_CONFIG_TENSORS', what: 'more experts in config.json', b: MODEL, config: { ...CONFIG, num_experts: 8 }, ways: [unknown] },
  { code: 'E_SCALE_ORPHAN', what: 'a scale of plain floats among quantised weights', b: [...FP8, orphan], ways: [unknown, named(`name=${orphan.name}:use=drop`), named(`name=${orphan.name}:use=newest`)] },
  { code: 'E_QUANTISATION_CONFIG', what: 'floats of which config.json says that they are quantised', b: MODEL, config: { ...CONFIG, quantization_config: { quant_method: 'fp8' } }, ways: [unknown] },
  { code: 'E_TIED', what: 'policies on one of two that config.json calls one', b: MODEL, config: { ...CONFIG, tie_word_embeddings: true }, options: named('role=lm_head:use=newest'), ways: [{ ...unknown, ...named('role=lm_head:use=newest') }, named('role=lm_head|embedding:use=newest')] },
  { code: 'E_MTP_DIFFERS', what: 'a layer of prediction in one only', a: MODEL, b: [...MODEL, mtp], config: { ...CONFIG, num_nextn_predict_layers: 1 }, ways: [named('role=mtp:use=newest'), named('role=mtp:use=drop')] },
  { code: 'E_PERMUTED', what: 'experts that look moved', a: settled(MODEL), b: rotated, ways: [{ allowPermuted: true }] },
  { code: 'E_LAYERS_SWAPPED', what: 'layers that look moved', a: settled(MODEL), b: renamed(settled(MODEL), (name) => name.replace(/layers\.([01])/, (_, l) => `layers.${1 - Number(l)}`)), ways: [{ allowPermuted: true }] },
  { code: 'E_CONFIG_DIFFERS', what: 'another top-k', b: MODEL, configA: { ...CONFIG, num_experts_per_tok: 1 }, ways: [{ allowConfigs: true }] },
];

const temporary = temporaryFolder();
afterAll(() => temporary.remove());
let made = 0;

function members({ a, b, config = CONFIG, configA = config }: Guess): string[] {
  const run = join(temporary.path, String(made++));
  return [a ?? b, b].map((tensors, i) => {
    const sides = { 'config.json': JSON.stringify(i === 0 ? configA : config) };
    // Experts and layers that are moved are told by what stays; all else differs from member to member.
    return writeCheckpoint(join(run, `checkpoint-${i + 1}`), [tensors], i + 1, sides);
  });
}

describe('every check that is a guess can be overruled', () => {
  it.each(GUESSES.map((guess) => [guess.code, guess.what, guess] as const))('%s: %s', async (code, _, guess) => {
    const inputs = members(guess);
    const error = await plan({ inputs, output: join(temporary.path, 'refused'), ...guess.options }).catch((e: unknown) => e);
    expect(error).toMatchObject({ details: { conflicts: expect.arrayContaining([expect.objectContaining({ code })]) } });
    for (const [w, way] of guess.ways.entries()) {
      const { warnings } = await average({ inputs, output: join(temporary.path, `merged-${made}-${w}`), ...way });
      // What is overruled wholesale is told; a policy that names a tensor says what it is.
      if (way.allowUnknown && code !== 'E_TIED')
        expect(warnings.map((warning) => warning.code)).toContain(code === 'E_UNKNOWN_TENSOR' ? 'W_UNKNOWN_NAMES' : 'W_DOUBTS');
    }
  });
});

it('numbers that somebody wrote to try a merge are no tables: of names that are all unknown, values say nothing', async () => {
  const ones = Array.from({ length: 12 }, (_, i) => i);
  const toy = (factor: number) => [
    f32(
      'w',
      ones.map((x) => x * factor),
      [3, 4],
    ),
    f32('x', [1, 3]),
  ];
  const inputs = members({ code: 'E_UNKNOWN_TENSOR', what: 'a toy', a: toy(1), b: toy(3), config: {}, ways: [] });
  const { warnings } = await average({ inputs, output: join(temporary.path, 'toy') });
  expect(warnings.map(({ code }) => code)).toContain('W_UNKNOWN_NAMES');
});

it('of several kinds that options clear, the help names all of these, and they do', async () => {
  const cast = MODEL.map((t) => (t.name === 'lm_head.weight' ? f32(t.name, new Array(16 * HIDDEN).fill(0.5), t.shape) : t));
  const guess = { code: 'E_MIXED_DTYPES', what: '', a: cast, b: MODEL, ways: [] } as const;
  const inputs = members({ ...guess, configA: { ...CONFIG, num_experts_per_tok: 1 }, config: { ...CONFIG, num_experts_per_tok: 2 } });
  const output = join(temporary.path, 'several');
  await expect(plan({ inputs, output })).rejects.toMatchObject({
    code: 'E_CONFLICTS',
    help: expect.stringContaining('`allowMixedDtypes` `allowConfigs` together allow it'),
  });
  await average({ inputs, output, allowMixedDtypes: true, allowConfigs: true });
});
