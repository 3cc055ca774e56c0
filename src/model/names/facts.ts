import { isJsonObject } from '../../base/json/parse.ts';
import { CONFIG_KEYS, configNumber, type ModelConfig } from '../roles/model-config.ts';

/** What the rules of a table may ask of a model, and nobody can see in its tensors. */
export interface ModelFacts {
  /** Numbers by the words that rules have for them. */
  readonly sizes: ReadonlyMap<string, number>;
  /** `model_type` of the configuration; null where there is none. */
  readonly model: string | null;
  /** Whether the embeddings are one; null where nothing says it. */
  readonly tied: boolean | null;
  /**
   * What is no size and decides what the model computes all the same, by the key of config.json: as far as it
   * is said.
   */
  readonly traits: ReadonlyMap<string, number | boolean>;
  /** Where that is said, for messages; null where nothing says anything. */
  readonly said: string | null;
}

export const NO_FACTS: ModelFacts = { sizes: new Map(), model: null, tied: null, traits: new Map(), said: null };

/** Words that rules may use for sizes, and the keys of config.json that say them. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  heads: ['num_attention_heads', 'n_head'],
  kv_heads: ['num_key_value_heads'],
  head_dim: ['head_dim'],
  hidden: CONFIG_KEYS.hidden,
  layers: CONFIG_KEYS.layers,
  experts: CONFIG_KEYS.experts,
  vocab_size: ['vocab_size'],
  ffn: ['intermediate_size'],
  expert_ffn: ['moe_intermediate_size'],
};

/**
 * What a configuration of transformers says. Of heads that share no keys and values there are as many of
 * these, and a head has its part of the hidden size, unless it says otherwise: transformers takes them so.
 */
export function factsOfConfig(config: ModelConfig, said: string): ModelFacts {
  const sizes = new Map<string, number>();
  for (const [word, keys] of Object.entries(KEYS)) {
    const value = configNumber(config, keys);
    if (value !== null) sizes.set(word, value);
  }
  const [heads, hidden] = [sizes.get('heads'), sizes.get('hidden')];
  if (heads !== undefined && !sizes.has('kv_heads')) sizes.set('kv_heads', heads);
  if (heads !== undefined && hidden !== undefined && !sizes.has('head_dim') && hidden % heads === 0) sizes.set('head_dim', hidden / heads);
  const { model_type: model, tie_word_embeddings: tied } = config;
  return {
    sizes,
    model: typeof model === 'string' ? model : null,
    tied: typeof tied === 'boolean' ? tied : null,
    traits: traitsOf(config),
    said,
  };
}

function traitsOf(config: ModelConfig): Map<string, number | boolean> {
  // transformers 5 has the base of the rotation in an object of its own.
  const rope = isJsonObject(config.rope_parameters) ? config.rope_parameters : config;
  const traits: Readonly<Record<string, unknown>> = {
    tie_word_embeddings: config.tie_word_embeddings,
    rope_theta: rope.rope_theta,
    rms_norm_eps: config.rms_norm_eps,
    num_experts_per_tok: configNumber(config, CONFIG_KEYS.perToken),
    norm_topk_prob: config.norm_topk_prob,
  };
  const isTrait = (entry: [string, unknown]): entry is [string, number | boolean] => ['number', 'boolean'].includes(typeof entry[1]);
  return new Map(Object.entries(traits).filter(isTrait));
}
