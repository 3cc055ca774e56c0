import { join } from 'node:path';
import type { ErrorCode } from '../../src/base/errors.ts';
import { type FixtureTensor, generator, writeCheckpoint } from './checkpoints.ts';
import type { HostileCase } from './hostile-case.ts';

type Tensors = readonly FixtureTensor[];
type Edit = (tensors: Tensors) => Tensors;
type Config = Readonly<Record<string, unknown>>;

const EXPERTS = 4;
const HIDDEN = 8;
const INNER = 6;
const MOE: Config = { model_type: 'qwen3_moe', num_hidden_layers: 2, num_experts: EXPERTS, num_experts_per_tok: 2, hidden_size: HIDDEN };
const DEEPSEEK: Config = { ...MOE, model_type: 'deepseek_v3', num_nextn_predict_layers: 1, first_k_dense_replace: 0 };

const bf16 = (name: string, ...shape: number[]): FixtureTensor => ({ name, dtype: 'BF16', shape });
const layerOf = (l: number): FixtureTensor[] => [
  bf16(`model.layers.${l}.input_layernorm.weight`, HIDDEN),
  bf16(`model.layers.${l}.self_attn.q_proj.weight`, HIDDEN, HIDDEN),
  bf16(`model.layers.${l}.post_attention_layernorm.weight`, HIDDEN),
  bf16(`model.layers.${l}.mlp.gate.weight`, EXPERTS, HIDDEN),
  ...Array.from({ length: EXPERTS }, (_, e) => expert(l, e)).flat(),
];
const expert = (l: number, e: number): FixtureTensor[] => [
  bf16(`model.layers.${l}.mlp.experts.${e}.gate_proj.weight`, INNER, HIDDEN),
  bf16(`model.layers.${l}.mlp.experts.${e}.up_proj.weight`, INNER, HIDDEN),
  bf16(`model.layers.${l}.mlp.experts.${e}.down_proj.weight`, HIDDEN, INNER),
];
const fused = (l: number): FixtureTensor[] => [
  bf16(`model.layers.${l}.mlp.experts.gate_up_proj`, EXPERTS, 2 * INNER, HIDDEN),
  bf16(`model.layers.${l}.mlp.experts.down_proj`, EXPERTS, HIDDEN, INNER),
];
const MODEL: Tensors = [bf16('model.embed_tokens.weight', 16, HIDDEN), ...layerOf(0), ...layerOf(1), bf16('lm_head.weight', 16, HIDDEN)];
const correction = (l: number, rows = EXPERTS): FixtureTensor => ({
  name: `model.layers.${l}.mlp.gate.e_score_correction_bias`,
  dtype: 'F32',
  shape: [rows],
});

const without =
  (part: string): Edit =>
  (tensors) =>
    tensors.filter(({ name }) => !name.includes(part));
const withTensors =
  (...more: FixtureTensor[]): Edit =>
  (tensors) => [...tensors, ...more];
const changed =
  (name: string, change: Partial<FixtureTensor>): Edit =>
  (tensors) =>
    tensors.map((t) => (t.name === name ? { ...t, ...change } : t));
const both =
  (...edits: Edit[]): Edit =>
  (tensors) =>
    edits.reduce((now, edit) => edit(now), tensors);
const same: Edit = (tensors) => tensors;

/** The same numbers in both checkpoints, by the tensor's name; so that what is moved can be found. */
const withData: Edit = (tensors) =>
  tensors.map((tensor) => {
    const next = generator([...tensor.name].reduce((h, c) => (h * 31 + c.charCodeAt(0)) | 0, 7));
    const values = Uint16Array.from({ length: tensor.shape.reduce((a, b) => a * b, 1) }, () => (next() & 0x807f) | 0x3f00);
    return { ...tensor, data: new Uint8Array(values.buffer) };
  });
/** Every expert in the place of the next one, with its row of the router. */
const rotatedExperts: Edit = (tensors) =>
  tensors.map((tensor) => {
    if (tensor.name.endsWith('.gate.weight')) {
      const last = tensor.data!.length - HIDDEN * 2;
      return { ...tensor, data: Uint8Array.from([...tensor.data!.subarray(last), ...tensor.data!.subarray(0, last)]) };
    }
    return { ...tensor, name: tensor.name.replace(/experts\.(\d)/, (_, e) => `experts.${(Number(e) + 1) % EXPERTS}`) };
  });
const swappedLayers: Edit = (tensors) =>
  tensors.map((tensor) => ({ ...tensor, name: tensor.name.replace(/layers\.([01])/, (_, l) => `layers.${1 - Number(l)}`) }));

/** FP8 in blocks of 128 as DeepSeek stores it: one block, all codes 1.0, and the scale. */
const SCALED = 'model.layers.0.self_attn.q_proj.weight';
const codes = (value = 0x38): Partial<FixtureTensor> => ({
  dtype: 'F8_E4M3',
  shape: [128, 128],
  data: new Uint8Array(128 * 128).fill(value),
});
const scale = (value: number, ...shape: number[]): FixtureTensor => ({
  name: `${SCALED}_scale_inv`,
  dtype: 'F32',
  shape,
  data: new Uint8Array(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => value).buffer),
});
const FP8_CONFIG: Config = { ...MOE, quantization_config: { quant_method: 'fp8', weight_block_size: [128, 128] } };
const FP8 = both(changed(SCALED, codes()), withTensors(scale(0.5, 1, 1)));
const integers = (name: string, value: number): FixtureTensor => ({ name, dtype: 'I64', shape: [4], data: new Uint8Array(32).fill(value) });

/** What `a` (older) and `b` (newer, so the layout) are, and what must be said. */
interface Pair {
  readonly code: ErrorCode;
  readonly place: string;
  readonly exit?: number;
  readonly a?: Edit;
  readonly b?: Edit;
  readonly config?: Config;
  /** Of `a`, where it is another. */
  readonly configA?: Config;
  readonly args?: readonly string[];
  readonly file?: string;
  readonly tensor?: string;
  readonly says?: string;
}

const all = (edit: Edit): Pick<Pair, 'a' | 'b'> => ({ a: edit, b: edit });
const policy = (...texts: string[]): readonly string[] => texts.flatMap((text) => ['--policy', text]);
const expertOf = (l: number, e: number, p = 'gate_proj'): string => `model.layers.${l}.mlp.experts.${e}.${p}.weight`;

// biome-ignore format: a table, a case a line or two.
const PAIRS: readonly Pair[] = [
  // Experts and routers.
  { code: 'E_EXPERT_MISSING', place: 'average: a hole in both', ...all(without('layers.1.mlp.experts.2.')), says: 'layer 1' },
  { code: 'E_EXPERT_MISSING', place: 'average: the last one in the older', a: without('layers.0.mlp.experts.3.'), file: 'a', says: 'layer 0' },
  { code: 'E_EXPERT_MISSING', place: 'plan: one matrix of one expert', ...all(without(expertOf(1, 1, 'up_proj'))), says: 'experts.1.up_proj' },
  { code: 'E_EXPERT_EXTRA', place: 'average: one more than the router knows', ...all(withTensors(...expert(1, EXPERTS))), says: 'experts.4' },
  { code: 'E_EXPERT_EXTRA', place: 'average: in the older only', a: withTensors(...expert(0, EXPERTS)), file: 'a', says: 'experts.4' },
  { code: 'E_EXPERT_SHAPE', place: 'average: one expert of another size', ...all(changed(expertOf(0, 2), { shape: [INNER + 1, HIDDEN] })), tensor: expertOf(0, 2) },
  { code: 'E_ROUTER_SHAPE', place: 'average: router with a row too many', ...all(changed('model.layers.1.mlp.gate.weight', { shape: [EXPERTS + 1, HIDDEN] })), tensor: 'model.layers.1.mlp.gate.weight' },
  { code: 'E_ROUTER_SHAPE', place: 'plan: correction bias of another length', ...all(withTensors(correction(0), correction(1, EXPERTS - 1))), config: DEEPSEEK, tensor: correction(1).name },
  { code: 'E_ROUTER_MISSING', place: 'average: experts without a router', ...all(both(withTensors(...layerOf(2)), without('layers.2.mlp.gate.weight'))), config: { ...MOE, num_hidden_layers: 3 }, says: 'layer 2' },
  { code: 'E_HALF_FUSED', place: 'average: one layer in both forms', ...all(withTensors(...fused(1))), says: 'layer 1' },
  { code: 'E_HALF_FUSED', place: 'plan: the older in both forms', a: withTensors(...fused(0)), file: 'a', says: 'layer 0' },
  { code: 'E_CONFIG_TENSORS', place: 'average: experts of config.json', config: { ...MOE, num_experts: 8 }, says: '8 experts' },
  { code: 'E_LAYER_MISSING', place: 'average: a hole between layers', ...all(both(withTensors(...layerOf(2)), without('layers.1.'))), config: { ...MOE, num_hidden_layers: 3 } },
  { code: 'E_LAYER_MISSING', place: 'plan: layers of config.json', config: { ...MOE, num_hidden_layers: 4 }, says: '4' },
  { code: 'E_CONFIG_DIFFERS', place: 'average: top-k', configA: { ...MOE, num_experts_per_tok: 1 }, says: 'num_experts_per_tok' },
  { code: 'E_CONFIG_DIFFERS', place: 'plan: another family', configA: { ...MOE, model_type: 'olmoe' }, says: 'olmoe' },

  { code: 'E_PERMUTED', place: 'average: experts in another order', a: withData, b: both(withData, rotatedExperts), says: '--allow-permuted' },
  { code: 'E_LAYERS_SWAPPED', place: "average: two layers in each other's places", a: withData, b: both(withData, swappedLayers), says: 'layer 0 is where layer 1 was' },

  // Layouts.
  { code: 'E_LAYOUT_FORM', place: 'average: transposed experts against single ones', config: { ...MOE, model_type: 'llama4_text' }, a: both(without('.experts.'), withTensors(...[0, 1].flatMap((l) => [bf16(`model.layers.${l}.mlp.experts.gate_up_proj`, EXPERTS, HIDDEN, 2 * INNER), bf16(`model.layers.${l}.mlp.experts.down_proj`, EXPERTS, INNER, HIDDEN)]))), says: 'transposed' },
  { code: 'E_LAYOUT_FORM', place: "average: Mistral's own queries", config: { model_type: 'mistral', num_hidden_layers: 2 }, a: () => [bf16('layers.0.attention.wq.weight', 8, 8), bf16('layers.1.attention.wq.weight', 8, 8)], b: () => [bf16('model.layers.0.self_attn.q_proj.weight', 8, 8), bf16('model.layers.1.self_attn.q_proj.weight', 8, 8)], says: 'RoPE' },

  // Multi-token prediction, ties, buffers, tables, unknown names.
  { code: 'E_MTP_DIFFERS', place: 'average: in the newest only', config: DEEPSEEK, b: withTensors(bf16('model.layers.2.eh_proj.weight', HIDDEN, 2 * HIDDEN), bf16('model.layers.2.enorm.weight', HIDDEN)), says: 'role=mtp' },
  { code: 'E_MTP_DIFFERS', place: 'average: in the oldest only', config: DEEPSEEK, a: withTensors(bf16('model.layers.2.eh_proj.weight', HIDDEN, 2 * HIDDEN), bf16('model.layers.2.enorm.weight', HIDDEN)), says: 'role=mtp' },
  { code: 'E_TIED', place: 'average: policies on one of two', config: { ...MOE, tie_word_embeddings: true }, args: policy('role=lm_head:use=newest'), says: 'role=embedding|lm_head' },
  { code: 'E_TIED', place: 'average: a dtype for one of two', config: { ...MOE, tie_word_embeddings: true }, args: policy('role=lm_head:dtype=F32'), says: 'role=embedding|lm_head' },
  { code: 'E_INTEGERS_DIFFER', place: 'average: expert table by token', a: withTensors(integers('model.layers.0.mlp.gate.tid2eid', 1)), b: withTensors(integers('model.layers.0.mlp.gate.tid2eid', 2)), tensor: 'model.layers.0.mlp.gate.tid2eid' },
  { code: 'E_BUFFERS_DIFFER', place: 'average: RoPE frequencies', ...all(withTensors({ name: 'model.rotary_emb.inv_freq', dtype: 'F32', shape: [4] })), tensor: 'model.rotary_emb.inv_freq' },
  { code: 'E_UNKNOWN_TENSOR', place: 'average: a name that only quantised weights have', ...all(withTensors(bf16('model.layers.0.zorp.absmax', 4))), tensor: 'model.layers.0.zorp.absmax', says: '--allow-unknown' },
  { code: 'E_NO_WEIGHTS', place: 'average: an adapter alone', a: () => [bf16('base_model.model.q_proj.lora_A.weight', 2, 8)], b: () => [bf16('base_model.model.q_proj.lora_A.weight', 2, 8)], says: 'LoRA' },

  // Policies.
  { code: 'E_OPTION', exit: 2, place: 'average --policy: unknown role', args: policy('role=roter:use=newest'), says: 'router' },
  { code: 'E_OPTION', exit: 2, place: 'average --policy: unknown key', args: policy('rol=router:use=newest'), says: 'role' },
  { code: 'E_OPTION', exit: 2, place: 'average --policy: unknown treatment', args: policy('role=router:use=newst'), says: 'newest' },
  { code: 'E_OPTION', exit: 2, place: 'average --policy: a range that runs backwards', args: policy('layers=3-1:use=newest'), says: '3-1' },
  { code: 'E_OPTION', exit: 2, place: 'plan --policy: no treatment', args: policy('role=router'), says: 'role=router' },
  { code: 'E_OPTION', exit: 2, place: 'plan --policy: two of one selector', args: policy('role=router:use=newest', 'role=router:use=oldest'), says: 'role=router' },
  { code: 'E_OPTION', exit: 2, place: 'average --router: no such use', args: ['--router', 'mean'], says: 'mean' },
  { code: 'E_POLICY_UNUSED', exit: 2, place: 'average --policy: a name', args: policy('name=model.layers.9.*:use=newest'), says: 'model.layers.9.*' },
  { code: 'E_POLICY_UNUSED', exit: 2, place: 'plan --policy: a role', args: policy('role=shared_expert:use=newest'), says: 'shared_expert' },
  { code: 'E_POLICY_UNUSED', exit: 2, place: 'average --router: a dense model', ...all(without('.mlp.')), config: { model_type: 'llama', num_hidden_layers: 2 }, args: ['--router', 'newest'], says: 'router newest' },
  { code: 'E_POLICY_SHADOWED', exit: 2, place: 'average --policy: behind a wider one', args: policy('role=routers:use=newest', 'role=router,layers=0:use=oldest'), says: 'role=router,layers=0' },
  { code: 'E_POLICY', exit: 2, place: 'average --policy: a step that nobody has', args: policy('role=router:use=77'), says: '77' },
  { code: 'E_POLICY', exit: 2, place: 'average --policy: everything dropped', args: policy('name=*:use=drop'), says: 'nothing is left' },
  { code: 'E_POLICY', exit: 2, place: 'average --policy: average of integers', ...all(withTensors(integers('model.position_ids', 1))), args: policy('name=model.position_ids:use=average'), tensor: 'model.position_ids' },
  { code: 'E_WEIGHTS', exit: 2, place: 'average --policy: one weight for two members', args: policy('role=router:weights=1'), says: 'role=router' },
  { code: 'E_NOT_EQUAL', place: 'average --policy: equal that are not', args: policy('name=lm_head.weight:use=equal'), tensor: 'lm_head.weight' },
  { code: 'E_RECIPE', exit: 2, place: 'run: a policy of a recipe', args: ['recipe'], says: '4:37' },

  // Quantised weights.
  { code: 'E_SCALE_MISSING', place: 'average: codes without a scale beside scaled ones', ...all(both(FP8, changed('model.layers.1.self_attn.q_proj.weight', codes()))), config: FP8_CONFIG, tensor: 'model.layers.1.self_attn.q_proj.weight' },
  { code: 'E_SCALE_SHAPE', place: 'average: scale of another number of blocks', ...all(both(changed(SCALED, codes()), withTensors(scale(0.5, 2, 1)))), config: FP8_CONFIG, tensor: `${SCALED}_scale_inv` },
  { code: 'E_SCALE_ORPHAN', place: 'average: scale of a weight that is not quantised', ...all(both(FP8, withTensors({ ...scale(1, 1, 1), name: 'model.layers.1.self_attn.q_proj.weight_scale_inv' }))), config: FP8_CONFIG, says: 'layers.1.self_attn.q_proj' },
  { code: 'E_MIXED_QUANTISATION', place: 'average: FP8 against BF16', a: changed(SCALED, { shape: [128, 128] }), b: FP8, config: FP8_CONFIG, configA: MOE, tensor: SCALED, says: '--allow-mixed-dtypes' },
  { code: 'E_NONFINITE_BLOCK', place: 'average: NaN among the codes', a: both(changed(SCALED, codes(0x7f)), withTensors(scale(0.5, 1, 1))), b: FP8, config: FP8_CONFIG, tensor: SCALED },
  { code: 'E_SCALE_VALUE', place: 'average: an infinite scale', a: both(changed(SCALED, codes()), withTensors(scale(Number.POSITIVE_INFINITY, 1, 1))), b: FP8, config: FP8_CONFIG, tensor: `${SCALED}_scale_inv` },
  ...[
    ['GPTQ', ['qweight', 'qzeros', 'scales', 'g_idx']],
    ['AWQ', ['qweight', 'qzeros', 'scales']],
  ].map(([family, names]): Pair => ({
    code: 'E_QUANTISED_UNSUPPORTED', place: `average: ${family}`, says: family as string,
    config: { ...MOE, quantization_config: { quant_method: (family as string).toLowerCase(), bits: 4 } },
    ...all(both(without(SCALED), withTensors(...(names as string[]).map((name) => integers(`model.layers.0.self_attn.q_proj.${name}`, 1))))),
  })),
  { code: 'E_QUANTISED_UNSUPPORTED', place: 'average: bitsandbytes', says: 'bitsandbytes', config: { ...MOE, quantization_config: { quant_method: 'bitsandbytes', load_in_4bit: true } }, ...all(both(changed(SCALED, { dtype: 'U8', shape: [32, 1], data: new Uint8Array(32) }), withTensors({ name: `${SCALED}.absmax`, dtype: 'F32', shape: [1] }, { name: `${SCALED}.quant_map`, dtype: 'F32', shape: [16] }))) },
  { code: 'E_DTYPE_NEEDED', exit: 2, place: 'average: MXFP4 without a dtype', says: 'bf16', config: { model_type: 'gpt_oss', num_hidden_layers: 1, num_local_experts: 2, hidden_size: 32, quantization_config: { quant_method: 'mxfp4' } }, ...all(() => [
    bf16('model.layers.0.mlp.router.weight', 2, 32),
    { name: 'model.layers.0.mlp.experts.gate_up_proj_blocks', dtype: 'U8', shape: [2, 32, 1, 16], data: new Uint8Array(1024) },
    { name: 'model.layers.0.mlp.experts.gate_up_proj_scales', dtype: 'U8', shape: [2, 32, 1], data: new Uint8Array(64).fill(127) },
  ]) },
];

export const HOSTILE_MOE: readonly HostileCase[] = PAIRS.map((pair) => ({
  code: pair.code,
  exit: pair.exit ?? 3,
  place: pair.place,
  what: 'a mixture of experts, its policies or its quantisation',
  make: (folder) => {
    const { a = same, b = same, config = MOE, args = [], file, tensor, says } = pair;
    writeCheckpoint(join(folder, 'a'), [a(MODEL)], 1, { 'config.json': JSON.stringify(pair.configA ?? config) });
    writeCheckpoint(join(folder, 'b'), [b(MODEL)], 2, {
      'config.json': JSON.stringify(config),
      'recipe.yaml': 'inputs: [../a, .]\noutputs:\n  - path: ../out\n    policies: [{ role: router, use: newst }]\n',
    });
    const command = pair.place.slice(0, pair.place.search(/[: ]/));
    const words = command === 'run' ? ['run', join('b', 'recipe.yaml')] : [command, 'a', 'b', '-o', 'out', ...args];
    return { args: words, ...(file && { file }), ...(tensor && { tensor }), ...(says && { says }) };
  },
}));
