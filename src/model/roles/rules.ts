import { ADAPTER_WORDS } from './adapters.ts';
import type { Role } from './types.ts';

/**
 * The rules by which a tensor's name gets its role, in the order in which they are tried: the first that fits
 * decides.
 *
 * They are regular expressions over dotted names whose whole-number components are written `#`
 * (`model.layers.#.mlp.experts.#.w1.weight`), with `<` for the start of a component and `>` for its end:
 * `<gate>` is neither `gate_proj` nor `shared_expert_gate`. Order matters as much as the patterns; the notes
 * say why.
 */
export interface Rule {
  readonly role: Role;
  readonly name: string;
  /** What the projection is read from: a table below, the name's last word, a word of its own, or nothing. */
  readonly projection?: 'attn' | 'mlp' | 'last' | { readonly is: string };
  /** Holds only for… `integer`: tables and masks; `matrices`: a stack of matrices (3 axes, and no kernels of a
   * convolution) of a model that has experts. */
  readonly only?: 'integer' | 'matrices' | 'maybe-router' | 'inference-bias';
  /** The layer in the name is one of its own, not of the language model. */
  readonly layerless?: true;
}

/** A wrapper around a whole model, as `paligemma_with_expert.gemma_expert.model.layers.0`, is no expert of a layer. */
const OF_A_LAYER = String.raw`(?!.*\.(layers?|h|blocks?)\.#)`;
const FFN = String.raw`(mlps?|ffn|ff|feed_forward|feedforward|FeedForward|DenseReluDense|mixer|moe|\w*_moe|moe_\w+|\w*moe_block|\w*_mlp|\w*_ffn|(?:mlp|ffn)_\w+|cond_ffn|MoE)`;
const LAYER = String.raw`(layers?|h|blocks?|decoder)\.#(\.pp_block|\.transformer_layer|\.mtp_model_layer)?`;
const NORM = String.raw`(\w*norm\d*|rms(_\w+)?|\w*norm_(f|#|\w{1,16})|\w*norm\w*_\d|ln_\w+|\w*_ln|ln\d*|\w*LayerNorm|\w*_norm_\w*|\w*layer_?norm_\w+)`;

// biome-ignore format: a table, a rule a line.
export const RULES: readonly Rule[] = [
  // Buffers keep their bytes. Before towers, which have them too; a full component, for `ln_attn.bias` is no
  // mask.
  { role: 'rope_buffer', name: '<(inv_freq|original_inv_freq|freqs|freqs_cis|cos_cached|sin_cached|cos_cache|sin_cache|rope_freqs|rope_factors_\\w+)>' },
  { role: 'buffer', name: '<(running_mean|running_var|num_batches_tracked|relative_position_index)$', layerless: true },
  { role: 'buffer', name: String.raw`<(position_ids|token_type_ids|masked_bias|_extra_state\d*|slope_rate|(query|key|diagonal)_decay|causal_mask|attn_mask)(/|$)` },
  { role: 'buffer', name: '<(attn|attention)\\.bias$' },
  { role: 'router_buffer', name: '<tid2eid$', projection: { is: 'token_to_expert_table' } },
  { role: 'router_buffer', name: String.raw`<(expert_activation\w*|\w*gate_stats\w*|\w*tokens_per_expert|ga_steps)$`, projection: { is: 'stats' } },

  // Towers reuse every other name; what joins them to the language model comes first, for it may lie inside.
  { role: 'projector', name: String.raw`(<(visual|vision\w*)\.(\w+\.)*|^(model\.)?)\w*merger\w*>`, layerless: true },
  { role: 'projector', name: String.raw`<((?!vocab_)\w*projector|qformer|query_tokens|language_projection|image_to_text_projection|view_sep\w*|resampler\w*|perceiver_resampler|connector|vision_proj\w*|audio_proj\w*|visual_projection|aligner|vision_language_adapter|patch_merger|embed_vision|embed_audio|modality_projection|img_projection\w*|image_newline)>`, layerless: true },
  { role: 'audio', name: String.raw`<(audio_\w+|speech_\w+|sound_\w+|acoustic_\w+|semantic_tokenizer\w*|audio)>`, layerless: true },
  { role: 'vision', name: String.raw`<(visual|vision|vit|vpm|\w*vision_\w+|image_encoder|img_encoder|img_processor|(image|video)_tower|(image|img)_embed\w*|vq_?model|visual_\w+|patch_(embed\w*|conv)|cls_token)>`, layerless: true },
  { role: 'buffer', name: '', only: 'integer' },

  // AltUp of Gemma 3n has a `modality_router`, which chooses no experts.
  { role: 'residual_mix', name: '<altup>' },

  // Mixture of experts. `shared_experts` contains `experts`, and `shared_expert_gate` both.
  { role: 'router_correction_bias', name: String.raw`<(\w*(correction|balanc|aux_?free|loss_free)\w*bias(es)?|bias_(for|of)_\w*balanc\w*|expert_bias(es)?(_E)?|score_bias|router_bias|routing_bias|exp_probs_b(\.bias)?)$` },
  { role: 'router_correction_bias', name: '<ffn\\.gate\\.bias$' },
  { role: 'router_correction_bias', name: '<(mlp|feed_forward|moe)\\.gate\\.bias$', only: 'inference-bias' },
  { role: 'shared_expert_gate', name: String.raw`<(shared?_(experts?|mlp|ffn)_gate|shared?_experts?\.(gate|gate_weight|router)|coefficient|ffn_gate_inp_shexp)(\.weight|\.bias)?$` },
  { role: 'router_other', name: String.raw`<(router|gate)\.(\w+\.)*(scale|\w+_scale)$`, projection: 'last' },
  { role: 'shared_expert', name: String.raw`<((shared?|common|always_on|global)_experts?|experts?_shared|\w+_shexp|shared_mlp|shared_ffn|shared_feed_forward|mlp\.mlp|w_\w*_shared_\w+|w_swiglu_FD)>`, projection: 'mlp' },
  { role: 'norm', name: String.raw`<((router(_\w+)?|gate)(\.\w+)*|experts)\.\w*norm(\.\w+)?$` },
  // A gated norm has a small MLP of its own (A.X K2).
  { role: 'norm', name: String.raw`<\w*(layernorm|layer_norm|_norm)\.(W_(up|down)|mlp\.fc\d)(\.(weight|bias))?$` },
  { role: 'router_bias', name: String.raw`<(${FFN}|${LAYER})\.(gate|router|gating)(\.\w+)?\.bias$`, projection: { is: 'bias' }, only: 'maybe-router' },
  { role: 'router_bias', name: String.raw`<((router(_\w+)?|gating)(\.\w+)*\.(\w+_)?bias|ffn_gate_inp\.bias)$`, projection: { is: 'bias' } },
  { role: 'router', name: String.raw`<(router|ffn_gate_inp|gating|router_\w+|\w+_router|gate\.wg|gate_network|gating_network|expert_gate|moe_gate|w_noise)>`, projection: { is: 'weight' } },
  { role: 'router', name: String.raw`<(${FFN}|${LAYER})\.(gate|switch)(\.(weight|weight_\d+|\w+\.weight))?$`, projection: { is: 'weight' }, only: 'maybe-router' },
  { role: 'expert', name: String.raw`<(\w*experts|expert|experts?_?\d+|\w+_expert${OF_A_LAYER}|expert_weights|moe_w_\w+|ffn_\w+_exps|ffn_(gate|up|down)\.#)>`, projection: 'mlp' },
  { role: 'expert', name: String.raw`<block\.#\.mlp\.mlp[12]_(weight|bias)(\.weight)?$`, projection: 'mlp' },
  { role: 'expert', name: String.raw`<block_sparse_moe\.(w\d|input_linear|output_linear)>`, projection: 'mlp' },

  // State spaces, linear attention, RWKV. One `mixer` may hold a Mamba, an attention or an MLP: its leaf
  // decides.
  { role: 'ssm', name: String.raw`<(mamba|mamba2|ssm|linear_attn|linear_attention|gated_delta_?net|delta_net|retention|[ms]lstm(_\w+)?|temporal_block(?!\.[qkvo]_proj>)|short_?conv|conv)\.(?!.*input_layernorm)`, projection: 'last' },
  { role: 'ssm', name: String.raw`<(ssm_\w+|A_log|A_logs|D|dt_bias|x_proj|dt_proj|\w*conv1d|f_[ab]_proj|g_[ab]_proj|b_proj|o_norm)(\.weight|\.bias)?$`, projection: 'last' },
  { role: 'ssm', name: String.raw`<mixer\.(in_proj|out_proj|norm|in_proj_\w+)(\.weight|\.bias)?$`, projection: 'last' },
  { role: 'ssm', name: String.raw`<(att|blocks\.#\.attention|time_mix|time_mixing)\.(receptance|key|value|gate|output|ln_x|time_\w+|x_\w|[rk]_k|k_a)(\.weight|\.bias)?$`, projection: 'last' },
  { role: 'ssm', name: String.raw`<(blocks\.#\.(feed_forward|ffn)|channel_mix)\.(receptance|key|value|time_\w+|x_\w)(\.weight|\.bias)?$`, projection: 'last' },
  { role: 'ssm', name: String.raw`<(att|time_mix|time_mixing)\.[wavg]\d$`, projection: 'last' },

  // Experts that only their rank gives away: after the state spaces, whose convolutions are stacks of
  // matrices too.
  { role: 'expert', name: String.raw`<${LAYER}\.(\w+\.)*${FFN}\.(w\d\w*|v1|wi\w*|wo|fc\d|\w*(gate|up|down|gate_up|in|out)_proj|(input|output)_linear)(\.weight)?$`, projection: 'mlp', only: 'matrices' },

  // Norms before the blocks they lie in. The label of Falcon's `ln_attn` is attention.
  { role: 'attn', name: '<(indexer|compressor)>', projection: 'last' },
  { role: 'attn', name: '<ln_attn>', projection: 'last' },
  { role: 'attn_norm', name: String.raw`<((attn_)?(q|k|v|qk|kv|query|key|q_a|kv_a|q_lora|kv_lora)_?(norm|layernorm|layer_norm|ln))(\.norms\.#)?(\.(weight|bias|scale|gamma))?$`, projection: 'last' },
  { role: 'norm', name: String.raw`<${NORM}(\.#)?(\.pp_block)?(\.(weight|bias|scale|gamma|beta|g))?$` },
  { role: 'norm', name: '<layer_norm_(weight|bias)$' },

  { role: 'residual_mix', name: String.raw`<(lambdas?(_\d)?|hc_\w+|\w+_hc|laurel|\w*residual|\w*residual_(scale|gate|alpha|lambda|mix|weight)s?|\w*hidden_states_(scale|bias)|\w+_input(?=\.query)|layer_scalar|layer_scale\w*|altup\w*|\w*hyper_connection\w*|resid_lambdas?|x0_lambdas?)>` },
  { role: 'mtp_proj', name: '<mtp\\.fc>', projection: { is: 'eh_proj' } },
  { role: 'mtp_proj', name: String.raw`<(mtp_linear_proj|mtp_\w+\.#\.input_proj)>`, projection: 'last', layerless: true },
  { role: 'mtp_proj', name: '<(eh_proj|e_proj|h_proj)>', projection: 'last' },
  { role: 'per_layer_embedding', name: String.raw`<(\w*per_layer\w*)>` },
  { role: 'position_embedding', name: String.raw`<(wpe|embed_positions|position_embeddings?|pos_embed\w*|pos_emb|position_embd|positional_embedding|positions_embed)>` },
  { role: 'attn', name: '<relative_attention_bias>', projection: { is: 'rel_pos_bias' } },
  { role: 'attn', name: String.raw`<(\w*self_attn|\w*attn|\w*attention|\w*Attention|att|att_proj|attn_\w+|\w*attn_gate|to_(q|k|v|kv|qkv|out)|[qkvo]_proj|qkv_proj|c_attn|[Ww]qkv|query_key_value)>`, projection: 'attn' },
  { role: 'mlp', name: String.raw`<(${FFN}|\w*mlp_gate)>`, projection: 'mlp' },
  { role: 'mlp', name: String.raw`<(fc[12]|\w*(up|down|gate|gate_up)_proj|dense_h_to_4h|dense_4h_to_h|c_fc|ff_proj|intermediate\.dense|w[123]|wi|wi_\d)>`, projection: 'mlp' },
  { role: 'mlp', name: String.raw`<${LAYER}\.(ff_out|output\.dense)>`, projection: 'mlp' },
  { role: 'other', name: String.raw`<layers\.#\.linear\.weight$` },
  { role: 'other', name: String.raw`<(logit_(scale|bias)|text_projection(\.weight)?|mask_(emb|token)|\w+_init)$`, projection: 'last' },
  { role: 'other', name: '<(pooler|score|scorer|classifier|classification_head|qa_outputs|v_head|value_head|reward_head|embedding_hidden_mapping_in|embeddings_project|embedding_projection|project_in|project_out)>', projection: 'last' },
  { role: 'lm_head', name: String.raw`<(\w*predictions|\w*lm_head|output_projection|lm_loss|vocab_(projector|transform)|pred_layer|embed_out|output_layer|unembedding|unembed|head|logits_proj|to_logits|final_logits_bias)>` },
  { role: 'lm_head', name: String.raw`^(\w+\.)?(output|ff_out|decoder|proj_out)\.(weight|bias)$` },
  { role: 'embedding', name: String.raw`<(embed_tokens|tokens_embed|embed|emb|embd|embed_in|(\w+_)?(tok|token|word|input|segment)_?(emb|embd|embed|embedding)s?|embeddings?|\w*word_embeddings?|token_type_embeddings?|wte|shared|(?<=^transformer\.)w)(\.(weight|pp_block\.weight))?$` },

  // What is called like a layer of a library of layers is trained, whatever it is for; an LSTM's matrices too.
  { role: 'other', name: String.raw`<(weight|bias)_(ih|hh|hr)(_l\d+(_reverse)?)?$`, projection: 'last' },
  { role: 'other', name: String.raw`<(\w*_)?(linear|dense|proj|projection|conv|regression|embed|embedding|transformation)s?_?\d*(\.dense)?\.(weight|bias)$`, projection: 'last' },
];

/** A tensor that belongs to another one: `$1` of `name`, put into `base`, is the name of that one. */
export interface Companion {
  readonly role: 'quant_scale' | 'quant_meta' | 'lora' | 'optimizer' | 'codes' | 'weight';
  readonly name: string;
  readonly base: string;
  readonly projection?: string;
  /** Only where what it belongs to is a matrix: `norm.scale` is a norm, `router.scale` multiplies. */
  readonly ofMatrix?: true;
  /**
   * Learned parameters are called so too: where a checkpoint holds no codes, they are what the rest of the
   * name says (`vectors`: unless they are one number).
   */
  readonly learned?: true | 'vectors';
  /** Only where there are adapters in the checkpoint. */
  readonly besideAdapters?: true;
}

/**
 * Tried before the rules, for all of these embed the whole name of a weight. `codes` are the weight itself,
 * quantised, and `weight` is it below an adapter, which is never left out with the adapter.
 */
// biome-ignore format: a table, a rule a line.
export const COMPANIONS: readonly Companion[] = [
  { role: 'optimizer', name: String.raw`^(?:chained_\d+\.)?(?:optimizer|optim)\.(?:state\.)?(exp_avg_sq|exp_avg|fp32_param|max_exp_avg_sq|momentum_buffer)\.(.+)$`, base: '$2', projection: '$1' },
  { role: 'optimizer', name: String.raw`^(?:(?:chained_\d+\.)?(?:optimizer|optim)\.)?(?:state\.)?(.+)\.(exp_avg_sq|exp_avg|fp32_param|max_exp_avg_sq|momentum_buffer)$`, base: '$1', projection: '$2' },
  { role: 'optimizer', name: String.raw`<(?:\w*fp32_flat_groups|single_partition_of_fp32_groups)>`, base: '', projection: 'fp32_param' },
  { role: 'optimizer', name: '^rng_state', base: '', projection: 'rng' },
  { role: 'optimizer', name: String.raw`^(?:optimizer\.)?state\.#\.step$`, base: '', projection: 'step' },
  { role: 'optimizer', name: '^(?:global_steps?|lr_scheduler>|scheduler>|optimizer_state_dict>|optimizer>|optim>|opt_state>)', base: '', projection: 'scalar' },

  { role: 'weight', name: String.raw`^(?:base_model\.model\.)?(.+)\.base_layer\.(\w+)$`, base: '$1.$2' },
  { role: 'lora', name: String.raw`^(?:base_model\.model\.)?(.+)\.(lora_magnitude)_vector(?:\.\w+)*$`, base: '$1.weight', projection: 'magnitude' },
  { role: 'lora', name: String.raw`^(?:base_model\.model\.)?(.+?)\.(${ADAPTER_WORDS})(?:\.\w+)*$`, base: '$1.weight', projection: '$2' },
  { role: 'lora', name: String.raw`^(?:base_model\.model\.)?(.+)\.modules_to_save(?:\.\w+)*\.(weight|bias)$`, base: '$1.$2', projection: 'full' },
  { role: 'lora', name: String.raw`^base_model\.model\.(.+)$`, base: '$1', projection: 'full', besideAdapters: true },

  { role: 'quant_scale', name: String.raw`^(.+)\.(?:[kvq]_scale|[kvq]_proj\.output_scale|kv_scale)$`, base: '$1.weight', projection: 'kv_cache', learned: 'vectors' },
  // Modules of whole blocks have no matrix of their own that is quantised: what multiplies their output is learned.
  { role: 'quant_scale', name: String.raw`^(.+)\.(?:input|activation|(?<!<(?:mlp|ffn|feed_forward)\.)output)_scale$`, base: '$1.weight', learned: 'vectors' },
  { role: 'quant_scale', name: String.raw`^(.+)\.(?:weight|input|activation|(?<!<(?:mlp|ffn|feed_forward)\.)output)_(?:scale(?:_inv|_\d)?|global_scale)$`, base: '$1.weight' },
  { role: 'quant_scale', name: String.raw`^(.+)\.scales$`, base: '$1.weight', learned: true },
  { role: 'quant_scale', name: String.raw`^(.+)\.(?:qscale_weight|qscale_act|SCB|weight\.(?:nested_)?absmax)$`, base: '$1.weight' },
  { role: 'quant_scale', name: '^(.+)_scales$', base: '$1', learned: true },
  { role: 'quant_scale', name: '^(.+)_(?:scale_inv|weight_scale|weight_scale_inv|input_scale)$', base: '$1' },
  // Parameters of fused experts have no `.weight`.
  { role: 'quant_scale', name: String.raw`^(.+\.experts\.(?:gate|up|down|w\d)\w*)_scale$`, base: '$1', ofMatrix: true, learned: true },
  { role: 'quant_scale', name: String.raw`^(.+)\.scale$`, base: '$1.weight', ofMatrix: true, learned: true },
  { role: 'quant_meta', name: String.raw`^(.+)\.(?:weight_shape|weight_g_idx|g_idx|qzeros|(?:weight|input)_zero_point|weight\.(?:nested_)?quant_map|weight\.quant_state\..+)$`, base: '$1.weight' },
  { role: 'codes', name: String.raw`^(.+)\.(?:qweight|weight_packed)$`, base: '$1.weight' },
  { role: 'codes', name: '^(.+)[._]blocks$', base: '$1' },
];

/** Multi-token prediction by name; where the layers are counted on from the model's, only its depth tells. */
export const MTP = String.raw`<(mtp|mtp_\w+|nextn|eh_proj|enorm|hnorm|shared_head)>`;

/** Components before a layer's number; the first of them counts, what follows is a sub-layer. */
export const LAYER_CONTAINERS = String.raw`<(?:\w*layers?|h|\w*blocks?|blk|decoder|encoder|mtp)\.#`;

/** Components before an expert's number. */
export const EXPERT_CONTAINERS = String.raw`<(?:\w*experts?(?:\.\w*(?:gate|up|down|w[123]|fc[12])\w*)?|ffn_(?:gate|up|down))\.#`;

/** Matrices of attention, by the word that names them. */
export const ATTENTION: Readonly<Record<string, string>> = {
  q: 'q q_proj wq w_q query query_proj q_lin linear_q to_q',
  k: 'k k_proj wk w_k key key_proj k_lin linear_k to_k',
  v: 'v v_proj wv w_v value value_proj v_lin linear_v to_v',
  o: 'o o_proj wo w_o out output out_proj dense c_proj linear_proj w_out attn_out proj out_lin to_out',
  qkv: 'qkv qkv_proj W_pack wqkv to_qkv c_attn query_key_value linear_qkv att_proj in_proj in_proj_weight in_proj_bias',
  kv: 'kv kv_proj wkv to_kv linear_kv',
  q_a: 'q_a q_a_proj wq_a linear_q_down_proj',
  q_b: 'q_b q_b_proj wq_b linear_q_up_proj',
  kv_a: 'kv_a kv_a_proj kv_a_proj_with_mqa kv_a_mqa wkv_a wkv_a_with_mqa linear_kv_down_proj',
  kv_b: 'kv_b kv_b_proj wkv_b linear_kv_up_proj',
  o_a: 'o_a o_a_proj wo_a',
  o_b: 'o_b o_b_proj wo_b',
  sinks: 'sinks sink attention_sink attention_sink_bias softmax_offset',
  gate: 'gate gate_proj g_proj linear_gate',
};

/** Matrices of an MLP or expert. w1, w3, w2 are gate, up, down; without a gate the first is `up`. */
export const FEED_FORWARD: Readonly<Record<string, string>> = {
  gate: 'gate gate_proj w1 w1_EFD w_gate wi_0 fc_1 c_fc_0 linear w_in moe_w_in_eD_F w_in_shared_FD',
  up: 'up up_proj w3 w3_EFD v1 w_up wi wi_1 fc1 fc_2 fc_in linear_in c_fc c_fc_1 dense_h_to_4h linear_v lin1 intermediate.dense moe_w_swiglu_eD_F w_swiglu_FD key',
  down: 'down down_proj merged_down_proj w2 w2_EDF w_down wo fc2 fc_out linear_out c_proj proj dense_4h_to_h linear_1 lin2 linear_fc2 mlp2 output_linear ff_out output.dense moe_w_out_eF_D w_out w_out_shared_DF value',
  gate_up: 'gate_up gate_up_proj Wi merged_gate_up_proj gate_and_up_proj linear_fc1 mlp1 input_linear w13 ff_proj wi_fused',
  gate_up_adapter: 'gate_up_proj_adapter_list',
};

/**
 * A pattern of the rules as a regular expression: `<` and `>` are start and end of a component. Lookbehinds
 * keep their meaning.
 */
export function compile(pattern: string): RegExp {
  return new RegExp(pattern.replaceAll(/(?<!\(\?|\\)<(?![=!])/g, '(?:^|\\.)').replaceAll(/(?<!\\)>/g, '(?=\\.|$)'));
}
