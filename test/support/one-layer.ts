import type { FixtureTensor } from './checkpoints.ts';

/** The smallest whole Llama, in the names of transformers: embedding, one layer, norm, and a head of its own. */
export const ONE_LAYER: readonly FixtureTensor[] = (
  [
    ['model.embed_tokens.weight', [8, 4]],
    ['model.layers.0.self_attn.q_proj.weight', [4, 4]],
    ['model.layers.0.mlp.up_proj.weight', [8, 4]],
    ['model.norm.weight', [4]],
    ['lm_head.weight', [8, 4]],
  ] as const
).map(([name, shape]) => ({ name, dtype: 'BF16', shape }));

/** Its config.json. */
export const ONE_LAYER_CONFIG = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  num_hidden_layers: 1,
  vocab_size: 8,
  tie_word_embeddings: false,
};
