import { expect, it } from 'vitest';
import { megatronConfig } from '../../../src/model/names/framework-config.ts';

const ARGUMENTS = {
  num_layers: 2,
  hidden_size: 16,
  ffn_hidden_size: 24,
  num_attention_heads: 4,
  num_query_groups: 2,
  vocab_size: 40,
  max_position_embeddings: 64,
  rotary_base: 10000,
  norm_epsilon: 1e-5,
  normalization: 'RMSNorm',
  swiglu: true,
  position_embedding_type: 'rope',
};

it.each([true, false])('arguments of Megatron with untied embeddings %s say so, and nothing is left open', (untied) => {
  const found = megatronConfig({ ...ARGUMENTS, untie_embeddings_and_output_weights: untied });
  expect(found).toMatchObject({ config: { model_type: 'llama', tie_word_embeddings: !untied }, unknown: [], foreign: [] });
});

it('arguments of Megatron that do not say whether embeddings are tied leave it open', () => {
  const found = megatronConfig(ARGUMENTS)!;
  expect(found.unknown).toEqual(['`untie_embeddings_and_output_weights` is not in it']);
  expect(found.config).not.toHaveProperty('tie_word_embeddings');
});
