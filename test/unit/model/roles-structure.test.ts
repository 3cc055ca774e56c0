import { describe, expect, test } from 'vitest';
import type { DtypeName } from '../../../src/base/dtype.ts';
import { structureConflicts } from '../../../src/model/roles/structure.ts';
import { opened, type TinyModel, tinyModels } from '../../support/tiny-models.ts';

const conflictsOf = (model: Pick<TinyModel, 'config' | 'tensors'>) => structureConflicts(...opened(model));

const models = tinyModels();

describe('a model as transformers saves it', () => {
  test.each(models)('$family: every name known, nothing wrong', (model) => {
    const [checkpoint, roles] = opened(model);
    const unknown = checkpoint.shards.flatMap(({ tensors }, s) => tensors.names.filter((_, row) => roles.of(s, row).role === null));
    expect(unknown).toEqual([]);
    expect(conflictsOf(model)).toEqual([]);
    // LongCat's experts that do nothing have no weights, which only its configuration tells.
    if (model.family !== 'longcat_flash') expect(conflictsOf({ ...model, config: {} })).toEqual([]);
  });
});

type Tensors = Record<string, { dtype: DtypeName; shape: readonly number[] }>;
/** What is done to a model, and the codes and tensors (or words of the message) that are told of it. */
type Fault = readonly [
  what: string,
  family: string,
  broken: (tensors: Tensors, config: Record<string, unknown>) => void,
  told: string,
  also?: string,
];

const reshape = (name: string, shape: number[]) => (tensors: Tensors) => {
  expect(tensors[name], name).toBeDefined();
  tensors[name] = { ...tensors[name]!, shape };
};
const drop = (pattern: RegExp) => (tensors: Tensors) => {
  const names = Object.keys(tensors).filter((name) => pattern.test(name));
  expect(names).not.toEqual([]);
  for (const name of names) delete tensors[name];
};
const copy = (from: RegExp, to: string) => (tensors: Tensors) => {
  const names = Object.keys(tensors).filter((name) => from.test(name));
  expect(names).not.toEqual([]);
  for (const name of names) tensors[name.replace(from, to)] = tensors[name]!;
};
const setting = (key: string, value: unknown) => (_: Tensors, config: Record<string, unknown>) => {
  expect(config).toHaveProperty(key);
  config[key] = value;
};
const M = 'model.layers';
const moe = 'block_sparse_moe';

// biome-ignore format: a table, a fault a line.
const faults: readonly Fault[] = [
  ['an expert in the middle is gone', 'mixtral', drop(/layers\.1\.\w+\.experts\.2\./), `E_EXPERT_MISSING ${M}.1.${moe}.experts.2.w1.weight`],
  ['the last expert is gone', 'mixtral', drop(/layers\.1\.\w+\.experts\.3\./), `E_EXPERT_MISSING ${M}.1.${moe}.experts.3.w1.weight`],
  ['the last two are gone', 'olmoe', drop(/layers\.0\.mlp\.experts\.[23]\./), 'E_EXPERT_MISSING experts 2 to 3 of layer 0'],
  ['one matrix of one expert is gone', 'qwen2_moe', drop(/layers\.2\.mlp\.experts\.1\.up_proj/), `E_EXPERT_MISSING ${M}.2.mlp.experts.1.up_proj.weight`],
  ['one matrix of all experts of a layer is gone', 'mixtral', drop(/layers\.1\.\w+\.experts\.\d\.w2/), `E_EXPERT_MISSING ${M}.1.${moe}.experts.0.w2.weight`],
  ['the fused down projection of a layer is gone', 'gpt_oss', drop(/layers\.1\.mlp\.experts\.down_proj$/), `E_EXPERT_MISSING ${M}.1.mlp.experts.down_proj`],
  ['a layer has its router and no expert', 'mixtral', drop(/layers\.0\.\w+\.experts\./), `E_EXPERT_MISSING ${M}.0.${moe}.gate.weight`],
  ['an expert too many', 'mixtral', copy(/layers\.1\.(\w+)\.experts\.3\./, 'layers.1.$1.experts.4.'), `E_EXPERT_EXTRA ${M}.1.${moe}.experts.4.w1.weight`],
  ['an expert far beyond', 'olmoe', copy(/layers\.1\.mlp\.experts\.3\./, 'layers.1.mlp.experts.900000000.'), `E_EXPERT_EXTRA ${M}.1.mlp.experts.900000000.down_proj.weight`],
  ['one expert has what no other has', 'olmoe', copy(/layers\.1\.mlp\.experts\.3\.up_proj/, 'layers.1.mlp.experts.3.side_proj'), `E_EXPERT_EXTRA ${M}.1.mlp.experts.3.side_proj.weight`],
  ['an expert of another width', 'deepseek_v3', reshape(`${M}.2.mlp.experts.1.gate_proj.weight`, [20, 16]), `E_EXPERT_SHAPE ${M}.2.mlp.experts.1.gate_proj.weight`],
  ['the last expert of another width', 'mixtral', reshape(`${M}.2.${moe}.experts.3.w2.weight`, [16, 20]), `E_EXPERT_SHAPE ${M}.2.${moe}.experts.3.w2.weight`],
  ['numbered words: an expert is gone', 'switch_transformers', drop(/^decoder\.block\.1\..*expert_1\./), 'E_EXPERT_MISSING decoder.block.1.layer.2.mlp.experts.expert_1.wi.weight'],
  ['fused experts are too few', 'gpt_oss', reshape(`${M}.1.mlp.experts.gate_up_proj`, [3, 16, 48]), `E_EXPERT_MISSING ${M}.1.mlp.experts.gate_up_proj`],
  ['fused biases are too few', 'gpt_oss', reshape(`${M}.1.mlp.experts.down_proj_bias`, [3, 16]), `E_EXPERT_MISSING ${M}.1.mlp.experts.down_proj_bias`],
  ['fused experts are too many', 'llama4_text', reshape(`${M}.1.feed_forward.experts.down_proj`, [5, 24, 16]), `E_EXPERT_EXTRA ${M}.1.feed_forward.experts.down_proj`],
  ['attention has its own experts, too few', 'jetmoe', reshape(`${M}.1.self_attention.experts.input_linear.weight`, [3, 16, 16]), `E_EXPERT_MISSING ${M}.1.self_attention.experts.input_linear.weight`],
  ['stacked rows are no multiple', 'dbrx', reshape('transformer.blocks.1.ffn.experts.mlp.w1', [47, 16]), 'E_EXPERT_SHAPE transformer.blocks.1.ffn.experts.mlp.w1'],
  ['a router has too many rows', 'mixtral', reshape(`${M}.0.${moe}.gate.weight`, [5, 16]), `E_ROUTER_SHAPE ${M}.0.${moe}.gate.weight`],
  ['a router has too few rows', 'nemotron_h', reshape('backbone.layers.1.mixer.gate.weight', [3, 16]), 'E_ROUTER_SHAPE backbone.layers.1.mixer.gate.weight'],
  ['zero experts are not counted', 'longcat_flash', reshape(`${M}.0.mlp.router.classifier.weight`, [5, 16]), `E_ROUTER_SHAPE ${M}.0.mlp.router.classifier.weight`],
  ['a correction bias is too short', 'deepseek_v3', reshape(`${M}.1.mlp.gate.e_score_correction_bias`, [3]), `E_ROUTER_SHAPE ${M}.1.mlp.gate.e_score_correction_bias`],
  ['a correction bias elsewhere is too long', 'ernie4_5_moe', reshape(`${M}.1.mlp.moe_statics.e_score_correction_bias`, [1, 5]), `E_ROUTER_SHAPE ${M}.1.mlp.moe_statics.e_score_correction_bias`],
  ['a learned bias is too long', 'gpt_oss', reshape(`${M}.2.mlp.router.bias`, [5]), `E_ROUTER_SHAPE ${M}.2.mlp.router.bias`],
  ['a router is gone', 'olmoe', drop(/layers\.1\.mlp\.gate\.weight/), `E_ROUTER_MISSING ${M}.1.mlp.gate.weight`],
  ['a layer is fused by half', 'mixtral', copy(/layers\.1\.(\w+)\.experts\.0\.w1\.weight/, 'layers.1.$1.experts.gate_up_proj'), `E_HALF_FUSED ${M}.1.${moe}.experts.gate_up_proj`],
  ['the first layers are gone', 'llama', drop(/layers\.0\./), 'E_LAYER_MISSING layer 0 of model.layers'],
  ['a layer in the middle is gone', 'gpt2', drop(/h\.1\./), 'E_LAYER_MISSING layer 1 of transformer.h'],
  ['the last layers are gone', 'gemma2', drop(/layers\.[12]\./), 'E_LAYER_MISSING layers 1 to 2 of model.layers'],
  ['a layer of the decoder is gone', 't5', drop(/^decoder\.block\.1\./), 'E_LAYER_MISSING layer 1 of decoder.block'],
  ['more layers than the configuration has', 'llama', copy(/layers\.2\./, 'layers.3.'), 'E_CONFIG_TENSORS layer 3 in model.layers'],
  ['two layers of prediction for one', 'deepseek_v3', (t) => { copy(/layers\.2\./, 'layers.3.')(t); copy(/layers\.2\./, 'layers.4.')(t); }, 'E_CONFIG_TENSORS layer 4 in model.layers'],
  ['fewer layers configured', 'dbrx', setting('n_layers', 2), 'E_CONFIG_TENSORS layer 2 in transformer.blocks'],
  ['more experts configured', 'mixtral', setting('num_local_experts', 8), 'E_CONFIG_TENSORS config.json says 8 experts, and every mixture of experts in the tensors has 4'],
  ['fewer experts configured, fused', 'gpt_oss', setting('num_local_experts', 2), 'E_CONFIG_TENSORS config.json says 2 experts'],
  ['one layer has fewer experts and a router for them', 'olmoe', (t) => { drop(/layers\.1\.mlp\.experts\.3\./)(t); reshape(`${M}.1.mlp.gate.weight`, [3, 16])(t); }, `E_CONFIG_TENSORS ${M}.1.mlp.gate.weight`],
];

const cases = faults.map(([what, family, broken, ...told]) => ({ what, family, broken, told }));
test.each(cases)('$what ($family)', ({ family, broken, told }) => {
  const lines = told.filter((line) => line !== undefined);
  const model = tinyModels().find((candidate) => candidate.family === family)!;
  broken(model.tensors as Tensors, model.config);
  const conflicts = conflictsOf(model);
  expect(conflicts.map(({ code }) => code)).toEqual(lines.map((line) => line.split(' ')[0]));
  for (const [i, line] of lines.entries()) {
    const rest = line.slice(line.indexOf(' ') + 1);
    const { message, tensor } = conflicts[i]!;
    if (rest.includes(' ')) expect(message).toContain(rest);
    else expect(tensor).toBe(rest);
  }
});

describe('what is no fault', () => {
  const of = (family: string) => tinyModels().find((candidate) => candidate.family === family)!;

  test('layers of multi-token prediction, by index and by name, there or not', () => {
    const deepseek = of('deepseek_v3');
    expect(deepseek.config.num_nextn_predict_layers).toBe(1);
    expect(conflictsOf(deepseek)).toEqual([]);
    copy(/layers\.2\./, 'layers.3.')(deepseek.tensors as Tensors);
    expect(conflictsOf(deepseek)).toEqual([]);
    const qwen = of('qwen3_next');
    copy(/^model\.layers\.2\./, 'mtp.layers.0.')(qwen.tensors as Tensors);
    expect(conflictsOf(qwen)).toEqual([]);
  });

  test('experts of two widths, one kind after the other, with a router for each (Ernie)', () => {
    const { tensors, config } = of('mixtral');
    const t = tensors as Tensors;
    for (const layer of [0, 1, 2]) {
      for (const expert of [2, 3]) reshape(`${M}.${layer}.${moe}.experts.${expert}.w1.weight`, [7, 16])(t);
      reshape(`${M}.${layer}.${moe}.gate.weight`, [16, 2])(t);
      t[`${M}.${layer}.${moe}.gate.weight_1`] = { dtype: 'F32', shape: [16, 2] };
      t[`${M}.${layer}.${moe}.moe_statics.e_score_correction_bias`] = { dtype: 'F32', shape: [2, 2] };
    }
    expect(conflictsOf({ tensors, config: { ...config, num_local_experts: [2, 2] } })).toEqual([]);
  });

  test("routers that score the shared experts too (Inkling), but not another family's", () => {
    const { tensors, config } = of('deepseek_v3');
    for (const layer of [1, 2]) reshape(`${M}.${layer}.mlp.gate.weight`, [6, 16])(tensors as Tensors);
    expect(conflictsOf({ tensors, config: { ...config, model_type: 'inkling_text', n_shared_experts: 2 } })).toEqual([]);
    expect(conflictsOf({ tensors, config: { ...config, n_shared_experts: 2 } }).map(({ code }) => code)).toEqual([
      'E_ROUTER_SHAPE',
      'E_ROUTER_SHAPE',
    ]);
  });

  test('a router stored the other way round, known by the hidden size', () => {
    const { tensors, config } = of('olmoe');
    for (const layer of [0, 1, 2]) reshape(`${M}.${layer}.mlp.gate.weight`, [16, 4])(tensors as Tensors);
    expect(conflictsOf({ tensors, config })).toEqual([]);
  });

  test('layers counted from 1, and a part that begins anywhere', () => {
    const { tensors, config } = of('llama');
    copy(/layers\.2\./, 'layers.3.')(tensors as Tensors);
    drop(/layers\.0\./)(tensors as Tensors);
    expect(conflictsOf({ tensors, config })).toEqual([]);
    drop(/layers\.1\./)(tensors as Tensors);
    expect(conflictsOf({ tensors, config: {} })).toEqual([]);
  });

  test('a part of a model without a configuration', () => {
    const { tensors } = of('mixtral');
    drop(/layers\.[02]\.|embed|head/)(tensors as Tensors);
    expect(conflictsOf({ tensors, config: {} })).toEqual([]);
  });

  test('layers whose experts are chosen by a table (DeepSeek-V4)', () => {
    const { tensors, config } = of('deepseek_v3');
    const t = tensors as Tensors;
    drop(/layers\.1\.mlp\.gate/)(t);
    t[`${M}.1.mlp.gate.tid2eid`] = { dtype: 'I32', shape: [40, 2] };
    expect(conflictsOf({ tensors, config })).toEqual([]);
  });

  test('files of ranks, which hold slices', () => {
    const [checkpoint, roles] = opened(of('mixtral'));
    expect(structureConflicts({ ...checkpoint, namesPerFile: true }, roles)).toEqual([]);
  });
});
