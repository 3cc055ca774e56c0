import { isJsonObject, type JsonObject } from '../../base/json/parse.ts';
import { QUANTISATION_KEYS } from '../quantised/config.ts';

/**
 * When files that differ in a key are of one model.
 *
 * - `ignored`: whatever it says.
 * - `either`: where only one of the two has it.
 * - `absent`: where one has it not, and the other one of these values.
 * - `derived`: as `absent`, with values that follow from the rest of the file without it; where nothing
 *   follows, nothing is known.
 * - `same`: where both have it, and these texts mean the same.
 * - `told`: whatever it says, but two values are worth a word; absent is nothing.
 */
export type ConfigRule =
  | 'ignored'
  | 'either'
  | 'told'
  | { readonly absent: readonly unknown[] }
  | { readonly derived: (config: JsonObject, place: KeyPlace) => readonly unknown[] }
  | { readonly same: (a: string, b: string, place: KeyPlace) => boolean };

/** Where in a file a key stands. */
export interface KeyPlace {
  /** In a configuration inside another. */
  readonly nested: boolean;
  /** All of the file that lacks the key. */
  readonly file: JsonObject;
}

export interface ConfigRow {
  /** Names of keys at any depth, or what they match. */
  readonly keys: readonly string[] | RegExp;
  readonly rule: ConfigRule;
  /** Why this is no difference. */
  readonly why: string;
}

const number = (config: JsonObject, keys: readonly string[]): number | null => {
  const found = keys.map((key) => config[key]).find((value) => typeof value === 'number');
  return typeof found === 'number' ? found : null;
};

function headDims(config: JsonObject): readonly unknown[] {
  const [hidden, heads] = [number(config, ['hidden_size', 'n_embd', 'd_model']), number(config, ['num_attention_heads', 'n_head'])];
  // DeepSeek's attention names the rotated part of a head so.
  return [...(hidden !== null && heads !== null ? [hidden / heads] : []), config.qk_rope_head_dim].filter((value) => value !== undefined);
}

/**
 * The keys in which files of one run differ though nothing about the model does: what one version of a
 * library writes and another does not. The first row that has a key counts.
 */
export const ROWS: readonly ConfigRow[] = [
  {
    keys: [
      'transformers_version',
      '_name_or_path',
      'name_or_path',
      '_commit_hash',
      'unsloth_version',
      'unsloth_fixed',
      'transformers.js_config',
    ],
    rule: 'ignored',
    why: 'which library wrote the file, and where the copy was loaded from',
  },
  { keys: QUANTISATION_KEYS, rule: 'ignored', why: 'compared with the tensors instead (merge/plan/quantised)' },
  {
    keys: /^_?(attn|experts)_implementation|^use_(flash_attn|flash_attention(_2)?|sdpa|mamba_kernels|mambapy|falcon_mambapy|associative_scan)$/,
    rule: 'ignored',
    why: 'with which kernels it is computed',
  },
  {
    keys: [
      'use_cache',
      'gradient_checkpointing',
      'reference_compile',
      'pretraining_tp',
      'base_model_tp_plan',
      'base_model_pp_plan',
      'torchscript',
      'tf_legacy_loss',
    ],
    rule: 'ignored',
    why: 'how it is run: trainers set and reset it',
  },
  {
    keys: /^output_(attentions|hidden_states|router_logits|scores)$|^(use_)?return_dict(_in_generate)?$/,
    rule: 'ignored',
    why: 'what a call hands back, not what the model computes',
  },
  {
    keys: /(^|\.)(id2label|label2id)(\.|$)|^(num_labels|problem_type|finetuning_task|task_specific_params)$/,
    rule: 'either',
    why: 'names of classes, which every configuration has and 5 writes out',
  },
  {
    keys: /^(bos|eos|pad|sep|unk)_(token_id|index)$/,
    rule: 'told',
    why: 'where generation begins and ends, not what the model computes; trainers take them from the tokenizer',
  },
  {
    keys: /(^|_)token_id$/,
    rule: 'either',
    why: 'transformers 5 writes them into nested configurations too, and trainers take them from the tokenizer',
  },
  {
    keys: /^(max_length|min_length|max_new_tokens|do_sample|early_stopping|num_beams|num_beam_groups|diversity_penalty|temperature|top_[kp]|typical_p|repetition_penalty|length_penalty|no_repeat_ngram_size|encoder_no_repeat_ngram_size|bad_words_ids|num_return_sequences|remove_invalid_values|exponential_decay_length_penalty|suppress_tokens|begin_suppress_tokens)$/,
    rule: 'either',
    why: 'how text is generated: moved into generation_config.json',
  },
  { keys: ['dtype'], rule: 'ignored', why: 'the tensors say it themselves, and are compared' },
  { keys: ['auto_map'], rule: 'either', why: 'where the code of the class is' },
  {
    keys: ['architectures'],
    rule: 'either',
    why: 'which class saved it, where one file says it: the tensors are compared one by one',
  },
  {
    keys: /^(vocab_size|hidden_size|intermediate_size|num_layers|num_hidden_layers|n_layers?|num_experts|num_nextn_predict_layers|vision_use_head)$|(^|_)bias$|^(no_bias|qk_layernorm|use_qk_norm)$/,
    rule: 'either',
    why: 'tensors are there or not, in a shape; they are compared one by one',
  },
  {
    keys: /^(initializer_(range|factor|cutoff_factor)|router_aux_loss_coef|router_z_loss_coef|router_jitter_noise|aux_loss_alpha|seq_aux|loss_type|use_liger_kernel|_flash_attn_2_enabled|unsloth_tiled_mlp)$/,
    rule: 'ignored',
    why: 'how training begins, what its loss adds and how it is computed, not what the model computes',
  },
  {
    keys: [
      'is_decoder',
      'is_encoder_decoder',
      'add_cross_attention',
      'tie_encoder_decoder',
      'use_bfloat16',
      'use_pretrained_backbone',
      'use_timm_backbone',
    ],
    rule: { derived: (_, { nested }) => (nested ? [false, true] : [false]) },
    why: 'defaults of every configuration, or of the class of a nested one: one version leaves out what another writes',
  },
  { keys: ['chunk_size_feed_forward'], rule: { absent: [0] }, why: 'the same' },
  {
    keys: /(^|_)(dropout|pdrop|dropout_prob|dropout_p|drop_path_rate|layerdrop)$/,
    rule: 'ignored',
    why: 'training alone drops: a run may change it on its way',
  },
  {
    keys: ['head_dim'],
    rule: { derived: headDims },
    why: 'hidden size by heads where it is not said: 5 writes it out',
  },
  {
    keys: ['qk_head_dim'],
    rule: { derived: ({ qk_nope_head_dim: a, qk_rope_head_dim: b }) => (typeof a === 'number' && typeof b === 'number' ? [a + b] : []) },
    why: 'the sum of the two parts of a head',
  },
  {
    keys: ['num_key_value_heads'],
    rule: { derived: (config) => [number(config, ['num_attention_heads', 'n_head'])].filter((n) => n !== null) },
    why: 'as many as there are heads where it is not said',
  },
  {
    keys: ['layer_types'],
    rule: { derived: () => [] },
    why: 'filled in from a pattern by the normal form; otherwise the default of a class',
  },
  {
    keys: [
      'sliding_window_pattern',
      '_sliding_window_pattern',
      'full_attention_interval',
      'global_attn_every_n_layers',
      'no_rope_layer_interval',
      'max_window_layers',
    ],
    rule: 'either',
    why: 'a pattern that layer_types (or no_rope_layers) is written from, layer by layer; those are compared',
  },
  { keys: ['sliding_window'], rule: { absent: [0] }, why: '0 is no window' },
  { keys: ['time_step_limit'], rule: { absent: [[0, Number.POSITIVE_INFINITY]] }, why: 'no limit; some versions do not write infinity' },
  {
    keys: ['tie_word_embeddings'],
    // What a nested configuration, or one around others, means without it is its class's default.
    rule: {
      derived: (_, { nested, file }) =>
        nested ||
        Object.entries(file).some(([key, value]) => key.endsWith('_config') && isJsonObject(value)) ||
        typeof file.transformers_version !== 'string'
          ? [true, false]
          : [true],
    },
    why: 'transformers 4 leaves out its own default, which is true; 5 writes it out',
  },
  {
    keys: ['model_type'],
    rule: {
      same: (a, b, { nested }) => {
        const [short, long] = [a, b].map((text) => text.toLowerCase().replace(/[^a-z0-9]/g, '')).sort((x, y) => x.length - y.length);
        return nested && long!.includes(short!);
      },
    },
    why: 'of a part of a model: 4 wrote the name of the whole or none, 5 has names for parts',
  },
  {
    keys: ['scale_decoder_outputs'],
    rule: { derived: ({ tie_word_embeddings: tied }) => [tied !== false] },
    why: 'T5: 4 scales where the embeddings are tied, 5 has a key of its own',
  },
  {
    keys: ['position_embedding_type'],
    rule: { absent: ['rope', 'absolute'] },
    why: 'defaults of classes: a key that older versions had not',
  },
  { keys: ['swiglu_alpha'], rule: { absent: [1.702] }, why: 'gpt-oss: a constant in the code of 4, a key in 5' },
  { keys: ['swiglu_limit'], rule: { absent: [7] }, why: 'the same' },
];

/** Names that became others, by the names that count here. */
export const RENAMED: ReadonlyMap<string, string> = new Map([
  // transformers 5 writes dtype for torch_dtype, and num_local_experts for num_experts of some models.
  ['torch_dtype', 'dtype'],
  ['_sliding_window_pattern', 'sliding_window_pattern'],
]);

/** Kinds of layers that transformers 5 renamed. */
export const LAYER_TYPES: ReadonlyMap<unknown, string> = new Map([
  ['mamba', 'linear_attention'],
  ['attention', 'full_attention'],
  ['deepseek_sparse_attention', 'indexed_attention'],
  ['qwen_sparse_attention', 'indexed_attention'],
]);

/** @param key the last part of a path @param path all of it */
export function rowOf(key: string, path: string): ConfigRow | undefined {
  return ROWS.find(({ keys }) => (keys instanceof RegExp ? keys.test(key) || keys.test(path) : keys.includes(key)));
}
