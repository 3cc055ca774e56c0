import { isJsonObject, type JsonObject } from '../../base/json/parse.ts';

/** What a trainer's own configuration says, in the words of transformers. */
export interface FrameworkConfig {
  /** The configuration, as far as it is known. */
  readonly config: JsonObject;
  /** What of it is not known, so that nobody should load a model by it: half sentences. */
  readonly unknown: readonly string[];
  /** Why the model is none that transformers has under these names: half sentences. */
  readonly foreign: readonly string[];
}

type Fields = Readonly<Record<string, unknown>>;

const objectOf = (value: unknown): Fields => (isJsonObject(value) ? value : {});
const count = (value: unknown): number | null => (Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : null);
const number = (value: unknown): number | null => (typeof value === 'number' && Number.isFinite(value) ? value : null);
/** Off in every spelling: not there, null, false, 0, an empty text. */
const off = (value: unknown): boolean => value === undefined || value === null || value === false || value === 0 || value === '';

/** Notes what is not known of entries that a model cannot do without. */
function missing(entries: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(entries).flatMap(([key, value]) => (value === null || value === undefined ? [`\`${key}\` is not in it`] : []));
}

/** Types of blocks of OLMo-core, and the models of transformers that are built so. */
const OLMO_BLOCKS: Readonly<Record<string, true>> = { reordered_norm: true };

/**
 * config.json of OLMo-core, which its `ConfigSaverCallback` writes beside each step; null where it is none.
 * As OLMo-core's own conversion has it (`nn/hf/config.py` of 3.0).
 */
export function olmoCoreConfig(given: JsonObject): FrameworkConfig | null {
  const model = objectOf(given.model);
  const block = objectOf(model.block);
  // Before version 3 it was called attention.
  const attention = objectOf(block.sequence_mixer ?? block.attention);
  if (count(model.d_model) === null || count(attention.n_heads) === null) return null;
  const [rope, norm, forward] = [objectOf(attention.rope), objectOf(block.layer_norm), objectOf(block.feed_forward)];
  const foreign: string[] = [];
  const is = (place: string, value: unknown, ...known: readonly unknown[]): void => {
    if (!known.includes(value ?? null)) foreign.push(`\`${place}\` is ${JSON.stringify(value)}`);
  };
  if (OLMO_BLOCKS[String(block.name)] !== true)
    foreign.push(`\`block.name\` is ${JSON.stringify(block.name ?? 'default')}, and OLMo 2 and 3 are reordered_norm`);
  is('model.name', model.name, 'default', null);
  is('rope.name', rope.name, 'default', 'fused', null);
  is('rope.partial_rotary_factor', rope.partial_rotary_factor, 1, null);
  is('rope.no_global_rope', rope.no_global_rope, false, null);
  is('attention.bias', attention.bias, false);
  is('attention.use_head_qk_norm', attention.use_head_qk_norm, false, null);
  is('attention.scalable_softmax', attention.scalable_softmax, false, null);
  is('attention.attention_sinks', attention.attention_sinks, false, null);
  is('attention.clip_qkv', attention.clip_qkv, null);
  is('attention.gate', attention.gate, null);
  is('feed_forward.activation', forward.activation, 'silu', null);
  is('layer_norm.name', norm.name, 'rms', 'fused_rms');
  is('block_overrides', model.block_overrides, null);
  if (attention.qk_norm === undefined || attention.qk_norm === null) foreign.push('`attention.qk_norm` is off, and OLMo 2 and 3 have it');
  if (attention.rope === undefined || attention.rope === null) foreign.push('`attention.rope` is off');

  const [layers, heads, hidden] = [count(model.n_layers), count(attention.n_heads), count(model.d_model)];
  const sliding = objectOf(attention.sliding_window);
  const pattern = Array.isArray(sliding.pattern) ? (sliding.pattern as number[]) : [];
  const windows = pattern.length === 0 || layers === null ? [] : windowsOf(sliding, pattern, layers);
  const sizes = [...new Set(windows.filter((size) => size !== -1))];
  const sequence =
    [objectOf(given.train_module).max_sequence_length, objectOf(given.dataset).sequence_length, objectOf(given.model).max_sequence_length]
      .map(count)
      .find((n) => n !== null) ?? null;
  const tokenizer = objectOf(objectOf(given.dataset).tokenizer);
  const known = {
    vocab_size: count(model.vocab_size),
    hidden_size: hidden,
    intermediate_size: count(forward.hidden_size),
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: count(attention.n_kv_heads) ?? heads,
    max_position_embeddings: sequence,
    rope_theta: number(rope.theta),
    rms_norm_eps: number(norm.eps),
  };
  const unknown = missing(known);
  if (!off(rope.scaling)) unknown.push('`rope.scaling` is set');
  if (sizes.length > 1) unknown.push('`sliding_window` has several sizes');
  const [eps, ofHeads] = [number(norm.eps), number(objectOf(attention.qk_norm).eps)];
  if (ofHeads !== null && ofHeads !== eps) unknown.push('`qk_norm.eps` is another than `layer_norm.eps`');
  const olmo3 = sizes.length > 0;
  const each = count(attention.head_dim);
  if (each !== null && hidden !== null && heads !== null && each * heads !== hidden) foreign.push(`\`attention.head_dim\` is ${each}`);
  return {
    config: {
      architectures: [olmo3 ? 'Olmo3ForCausalLM' : 'Olmo2ForCausalLM'],
      model_type: olmo3 ? 'olmo3' : 'olmo2',
      ...withoutNull(known),
      hidden_act: 'silu',
      attention_bias: false,
      tie_word_embeddings: model.tie_word_embeddings === true,
      ...(olmo3 && {
        sliding_window: sizes[0]!,
        layer_types: windows.map((size) => (size === -1 ? 'full_attention' : 'sliding_attention')),
      }),
      bos_token_id: count(tokenizer.bos_token_id),
      eos_token_id: number(tokenizer.eos_token_id),
      pad_token_id: number(tokenizer.pad_token_id),
    },
    unknown,
    foreign,
  };
}

/** The window of each layer, -1 for all: as OLMo-core's `SlidingWindowAttentionConfig` lays its pattern out. */
function windowsOf(sliding: Fields, pattern: readonly number[], layers: number): number[] {
  const first = sliding.force_full_attention_on_first_layer !== false;
  const last = sliding.force_full_attention_on_last_layer !== false;
  return Array.from({ length: layers }, (_, layer) => {
    if ((first && layer === 0) || (last && layer === layers - 1)) return -1;
    return pattern[(first ? layer - 1 : layer) % pattern.length]!;
  });
}

/** Arguments of Megatron that make another model than transformers has, where they are on. */
const FOREIGN_ARGUMENTS = [
  'rotary_interleaved',
  'apply_layernorm_1p',
  'layernorm_zero_centered_gamma',
  'add_bias_linear',
  'multi_latent_attention',
  'apply_residual_connection_post_layernorm',
  'attention_output_gate',
  'moe_shared_expert_intermediate_size',
  'moe_router_enable_expert_bias',
  'moe_router_num_groups',
  'moe_router_topk_scaling_factor',
  'moe_mlp_glu_interleave_size',
  'moe_latent_size',
  'mtp_num_layers',
  'heterogeneous_layers_config_path',
  'hybrid_override_pattern',
  'qk_l2_norm',
  'gated_linear_unit_offset',
  'activation_func_clamp_value',
] as const;
/** Arguments that change the angles or what is attended to, and that are not taken over. */
const UNKNOWN_ARGUMENTS = [
  'use_rope_scaling',
  'rope_scaling',
  'window_size',
  'rotary_seq_len_interpolation_factor',
  'no_rope_freq',
  'softmax_scale',
] as const;

/**
 * The arguments of Megatron-LM, which it saves with each checkpoint, as `argparse` has them; null where they
 * are none. Names and meanings of Megatron-core 0.19.
 */
export function megatronConfig(args: JsonObject): FrameworkConfig | null {
  const [layers, hidden, heads] = [count(args.num_layers), count(args.hidden_size), count(args.num_attention_heads)];
  if (layers === null || hidden === null || heads === null) return null;
  const foreign: string[] = [];
  for (const key of FOREIGN_ARGUMENTS) if (!off(args[key])) foreign.push(`\`${key}\` is ${JSON.stringify(args[key])}`);
  const must = (key: string, ...known: readonly unknown[]): void => {
    if (!known.includes(args[key] ?? null))
      foreign.push(`\`${key}\` is ${JSON.stringify(args[key] ?? null)}, and not ${JSON.stringify(known[0])}`);
  };
  must('normalization', 'RMSNorm');
  must('swiglu', true);
  must('position_embedding_type', 'rope');
  must('rotary_percent', 1, null);
  const experts = count(args.num_experts);
  const [qkNorm, qkvBias] = [args.qk_layernorm === true, args.add_qkv_bias === true];
  if (experts !== null) {
    must('moe_router_score_function', 'softmax', null);
    const every = args.moe_layer_freq;
    const all = every === undefined || every === null || every === 1 || (Array.isArray(every) && every.every((one) => one === 1));
    if (!all) foreign.push('`moe_layer_freq` leaves layers without experts');
  }
  if (qkvBias && (qkNorm || experts !== null)) foreign.push('`add_qkv_bias` is on beside `qk_layernorm` or experts');
  const groups =
    args.group_query_attention === true || count(args.num_query_groups) !== null ? (count(args.num_query_groups) ?? heads) : heads;
  const each = count(args.kv_channels) ?? (hidden % heads === 0 ? hidden / heads : null);
  const model = experts !== null ? (qkNorm ? 'qwen3_moe' : 'mixtral') : qkNorm ? 'qwen3' : qkvBias ? 'qwen2' : 'llama';
  if (model === 'mixtral' && args.moe_router_pre_softmax === true)
    foreign.push('`moe_router_pre_softmax` is on, and Mixtral takes the softmax of the chosen');
  const known = {
    vocab_size: count(args.vocab_size) ?? count(args.padded_vocab_size),
    hidden_size: hidden,
    intermediate_size: model === 'mixtral' ? (count(args.moe_ffn_hidden_size) ?? count(args.ffn_hidden_size)) : count(args.ffn_hidden_size),
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: groups,
    head_dim: each,
    max_position_embeddings: count(args.max_position_embeddings) ?? count(args.seq_length),
    rope_theta: number(args.rotary_base),
    rms_norm_eps: number(args.norm_epsilon ?? args.layernorm_epsilon),
  };
  const ofExperts = {
    num_experts_per_tok: count(args.moe_router_topk),
    ...(model === 'mixtral'
      ? { num_local_experts: experts }
      : { num_experts: experts, moe_intermediate_size: count(args.moe_ffn_hidden_size) ?? count(args.ffn_hidden_size) }),
  };
  const untied = args.untie_embeddings_and_output_weights;
  const tie = typeof untied === 'boolean' ? { tie_word_embeddings: !untied } : {};
  const unknown = missing({ ...known, ...(experts !== null && ofExperts), untie_embeddings_and_output_weights: untied });
  for (const key of UNKNOWN_ARGUMENTS) if (!off(args[key])) unknown.push(`\`${key}\` is ${JSON.stringify(args[key])}`);
  return {
    config: {
      architectures: [ARCHITECTURES[model]],
      model_type: model,
      ...withoutNull(known),
      hidden_act: 'silu',
      ...tie,
      ...(experts !== null && withoutNull(ofExperts)),
      ...(model === 'qwen3_moe' && {
        norm_topk_prob: args.moe_router_pre_softmax !== true,
        decoder_sparse_step: 1,
        mlp_only_layers: [],
      }),
      ...(model.startsWith('qwen') && { use_sliding_window: false }),
      ...(model === 'mixtral' && { sliding_window: null }),
      bos_token_id: null,
      eos_token_id: null,
    },
    unknown,
    foreign,
  };
}

const ARCHITECTURES = {
  llama: 'LlamaForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
  qwen3: 'Qwen3ForCausalLM',
  qwen3_moe: 'Qwen3MoeForCausalLM',
  mixtral: 'MixtralForCausalLM',
} as const;

function withoutNull(entries: Readonly<Record<string, number | null>>): JsonObject {
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== null));
}
