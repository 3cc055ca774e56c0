import { expect, it } from 'vitest';
import { compareConfigs } from '../../../src/model/kinship/differences.ts';
import { ROWS } from '../../../src/model/kinship/rows.ts';
import { CONFIG_PAIRS, unseenChanges } from '../../support/config-pairs.ts';

const compare = (a: object, b: object) => compareConfigs(JSON.stringify(a), JSON.stringify(b));
const differing = (a: object, b: object) => compare(a, b).differing.map(({ key, a, b }) => `${key}: ${a}, ${b}`);
const V4 = { model_type: 'llama', transformers_version: '4.57.1', hidden_size: 64, num_attention_heads: 4, num_hidden_layers: 4 };
const V5 = { ...V4, transformers_version: '5.24.0' };

it('one model saved by version 4 of transformers and again by version 5 is one model: 45 families', () => {
  expect(new Set(CONFIG_PAIRS.map(({ family }) => family)).size).toBeGreaterThanOrEqual(45);
  for (const { name, older, newer } of CONFIG_PAIRS) {
    expect([name, compareConfigs(older, newer), compareConfigs(newer, older)]).toEqual([name, SAME, SAME]);
  }
});
const SAME = { differing: [], assumed: [], told: [] };

const REAL = new Set([
  'rope_theta',
  'rotary_emb_base',
  'factor',
  'num_attention_heads',
  'rms_norm_eps',
  'layer_norm_eps',
  'sliding_window',
  'tie_word_embeddings',
  'num_experts_per_tok',
  'rope_local_base_freq',
]);
// Every key of every file is a campaign (test/campaign/config-changes.test.ts).
it('a change of what the model computes is one in either form, named with both values', () => {
  for (const pair of CONFIG_PAIRS) expect([pair.name, ...unseenChanges(pair, REAL)]).toEqual([pair.name]);
});

it('positions: a scaling that appears, a base of one kind of layers, another length', () => {
  const yarn = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 4096 };
  const flat = { ...V4, rope_theta: 10000, rope_scaling: null };
  expect(differing({ ...V5, rope_parameters: { rope_theta: 10000, ...yarn } }, flat)).toEqual([
    'rope_parameters.factor: 4, absent',
    'rope_parameters.original_max_position_embeddings: 4096, absent',
    'rope_parameters.rope_type: "yarn", "default"',
  ]);
  // In the names of the newest file.
  expect(differing({ ...V4, rope_theta: 20000 }, flat)).toEqual(['rope_theta: 20000, 10000']);
  expect(
    differing({ ...flat, rope_scaling: { type: 'linear', factor: 2 } }, { ...flat, rope_scaling: { rope_type: 'linear', factor: 4 } }),
  ).toEqual(['rope_scaling.factor: 2, 4']);
  const gemma = { ...V4, rope_theta: 1e6, rope_local_base_freq: 10000 };
  const layered = (local: number) => ({
    ...V5,
    rope_parameters: {
      full_attention: { rope_theta: 1e6, rope_type: 'default' },
      sliding_attention: { rope_theta: local, rope_type: 'default' },
    },
  });
  expect(differing(layered(10000), gemma)).toEqual([]);
  expect(differing(layered(20000), gemma)).toEqual(['rope_parameters.sliding_attention.rope_theta: 20000, 10000']);
  // The length that a scaling starts from is the configuration's where it is not said.
  const long = (length?: number) => ({
    ...V4,
    max_position_embeddings: 4096,
    rope_scaling: { ...yarn, original_max_position_embeddings: length },
  });
  expect(differing(long(), long(4096))).toEqual([]);
  expect(differing(long(), long(2048))).toHaveLength(1);
  expect(differing({ ...V5, rope_parameters: { rope_theta: 10000, rope_type: 'default' } }, V4)).toEqual([]);
  expect(differing({ ...V5, rope_parameters: { rope_theta: 500000, rope_type: 'default' } }, V4)).toHaveLength(1);
});

it('values of no kind that a configuration has are compared like others', () => {
  const odd = { toString: 1, __proto__: null };
  for (const key of ['rope_type', 'model_type', 'rope_theta']) {
    const a = { ...V4, rope_scaling: { [key]: odd, factor: 2 }, [key]: odd };
    expect(differing(a, a)).toEqual([]);
    expect(differing(a, V4).length).toBeGreaterThan(0);
  }
});

it('null is absent, and is no other value', () => {
  expect(compare({ ...V4, pad_token_id: null, logits_cap: null, list: [], object: {} }, V4)).toEqual(SAME);
  expect(differing({ ...V5, logits_cap: 30 }, { ...V4, logits_cap: null })).toEqual(['logits_cap: 30, null']);
});

it('a key of one version alone is assumed to say what the other means, and told; of one version it is a difference', () => {
  const { differing: none, assumed } = compare({ ...V5, new_scale: 2 }, V4);
  expect([none, assumed]).toEqual([[], [{ key: 'new_scale', a: '2', b: 'absent' }]]);
  expect(differing({ ...V4, new_scale: 2 }, V4)).toEqual(['new_scale: 2, absent']);
});

it('floats that JSON has no number for are one value in both spellings', () => {
  const text = (limit: string) => `{"time_step_limit": [0.0, ${limit}], "scale": ${limit}}`;
  expect(compareConfigs(text('{"__float__": "Infinity"}'), text('Infinity'))).toEqual(SAME);
  expect(compareConfigs(text('{"__float__": "-Infinity"}'), text('Infinity')).differing).toHaveLength(2);
  // Like nothing that transformers writes.
  expect(compareConfigs(text('{"__float__": "Infinity", "x": 1}'), text('Infinity')).differing).toHaveLength(2);
});

it('a text model inside and outside of a multimodal one', () => {
  const inner = { hidden_size: 64, rms_norm_eps: 1e-6, num_key_value_heads: 2 };
  const nested = (eps: number) => ({
    ...V5,
    model_type: 'qwen2_vl',
    text_config: { ...inner, rms_norm_eps: eps, rope_parameters: { rope_theta: 1e6, rope_type: 'default' } },
  });
  const flat = { ...V4, ...inner, model_type: 'qwen2_vl', rope_theta: 1e6 };
  expect(differing(nested(1e-6), flat)).toEqual([]);
  expect(differing(nested(1e-5), flat)).toHaveLength(2);
});

it('kinds of layers as a pattern and one by one', () => {
  const layers = (...types: string[]) => ({ ...V5, layer_types: types });
  const [full, slide] = ['full_attention', 'sliding_attention'];
  expect(differing(layers(slide, full, slide, full), { ...V4, sliding_window_pattern: 2 })).toEqual([]);
  expect(differing(layers(slide, slide, slide, full), { ...V4, sliding_window_pattern: 2 })).toHaveLength(1);
  expect(
    differing(layers('linear_attention', full, full, full), { ...V4, layer_types: ['mamba', 'attention', 'attention', 'attention'] }),
  ).toEqual([]);
  // A long list shows where.
  const long = (at: number) => ({ ...V5, layer_types: Array.from({ length: 40 }, (_, i) => (i === at ? full : slide)) });
  expect(differing(long(3), long(40))).toEqual(['layer_types[3]: "full_attention", "sliding_attention"']);
});

it('every row says why', () => {
  for (const { why } of ROWS) expect(why.length).toBeGreaterThan(7);
});

const one = (key: string, ...values: [unknown, unknown]) => {
  const [a, b] = values.map((value) => ({ ...V4, ...(value === undefined ? {} : { [key]: value }) }));
  return compare(a!, b!);
};

it.each([
  ['architectures', ['LlamaForCausalLM'], ['FSDPLlamaForCausalLM']],
  ['architectures', ['LlamaForCausalLM'], undefined],
  ['torch_dtype', 'bfloat16', 'float32'],
  ['router_aux_loss_coef', 0.001, 0.01],
  ['initializer_range', 0.02, 0.01],
  ['attention_dropout', 0.1, 0],
  ['resid_pdrop', 0.1, undefined],
  ['rope_scaling', { rope_type: 'linear', factor: 1 }, null],
])('what training or the wrapping changed is no difference: %s %j, %j', (key, a, b) => {
  expect([one(key, a, b), one(key, b, a)]).toEqual([SAME, SAME]);
});

it.each([
  ['architectures', ['LlamaForCausalLM'], ['MistralForCausalLM']],
  ['rope_scaling', { rope_type: 'linear', factor: 2 }, null],
  ['rope_scaling', { rope_type: 'dynamic', factor: 2 }, null],
  ['image_token_id', 5, 6],
])('a change of the model is one: %s %j, %j', (key, a, b) => {
  expect(one(key, a, b).differing.length).toBeGreaterThan(0);
});

it.each([
  ['eos_token_id', 2, 3],
  ['eos_token_id', 2, [2, 3]],
  ['pad_token_id', 0, 2],
  ['bos_token_id', 1, 0],
])('where generation begins and ends is told: %s %j, %j', (key, a, b) => {
  expect(one(key, a, b)).toEqual({ differing: [], assumed: [], told: [{ key, a: JSON.stringify(a), b: JSON.stringify(b) }] });
  expect(one(key, a, undefined)).toEqual(SAME);
});

it('what follows from lengths may be written out: the factor of longrope, the length of dynamic', () => {
  const long = (rest: object) => ({
    ...V4,
    max_position_embeddings: 4096,
    original_max_position_embeddings: 1024,
    rope_scaling: { type: 'longrope', short_factor: [1], long_factor: [2], ...rest },
  });
  expect(differing(long({}), long({ factor: 4 }))).toEqual([]);
  expect(differing(long({}), long({ factor: 2 }))).toHaveLength(1);
  const dynamic = (rest: object) => ({ ...V4, max_position_embeddings: 4096, rope_scaling: { type: 'dynamic', factor: 2, ...rest } });
  expect(differing(dynamic({}), dynamic({ original_max_position_embeddings: 4096 }))).toEqual([]);
  expect(differing(dynamic({}), dynamic({ original_max_position_embeddings: 2048 }))).toHaveLength(1);
});

it('a key of one patch version alone is a difference', () => {
  const of = (version: string, more = {}) => ({ ...V4, transformers_version: version, ...more });
  for (const other of ['4.46.1', '4.46.0.dev0', '4.46']) {
    expect(compare(of('4.46.0', { logits_scaling: 8 }), of(other)).differing).toHaveLength(1);
  }
  expect(compare(of('4.46.0', { logits_scaling: 8 }), of('4.47.0'))).toMatchObject({ differing: [], assumed: [{}] });
});

it('the rotated part of a head that the code of a vision tower means is one with what a file writes out', () => {
  const of = (config: object, more: object) => ({ ...config, model_type: 'glm4v', vision_config: { patch_size: 14, ...more } });
  const newer = { model_type: 'glm4v_vision', rope_parameters: { rope_theta: 10000, rope_type: 'axial' } };
  expect(differing(of(V4, { model_type: 'glm4v' }), of(V5, newer))).toEqual([]);
  const other = { ...newer, rope_parameters: { ...newer.rope_parameters, rope_theta: 20000 } };
  expect(differing(of(V4, { model_type: 'glm4v' }), of(V5, other))).toHaveLength(1);
});
