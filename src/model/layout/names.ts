/**
 * Wrappers that training frameworks and multimodal models put around a language model's names. They say
 * nothing of the tensor.
 */
const WRAPPERS = /^(?:(?:_orig_mod|module|_forward_module|base_model|_fsdp_wrapped_module|model|transformer|language_model|backbone)\.)+/;
const INNER_WRAPPERS = /\.(?:_orig_mod|module|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?=\.)/g;

/**
 * Names of one thing in the conventions of Hugging Face (right) and of Mistral, Meta and DeepSeek (left),
 * where files of both hold the same bytes. Queries and keys are not among them: their rows are in another
 * order ({@link isRotated}).
 */
// biome-ignore format: a table, a rename a line.
const RENAMES: readonly (readonly [RegExp, string])[] = [
  [/^tok_embeddings\./, 'embed_tokens.'],
  [/^output\.weight$/, 'lm_head.weight'],
  [/\.attention_norm\./, '.input_layernorm.'],
  [/\.ffn_norm\./, '.post_attention_layernorm.'],
  [/\.attention\.wv\./, '.self_attn.v_proj.'],
  [/\.attention\.wo\./, '.self_attn.o_proj.'],
];

/**
 * Names of a model's own files (left), and those that transformers has given the same bytes since it has the
 * model (right). Whatever the family: where a file holds both, they are two things and neither is renamed
 * (`arrange.ts`).
 */
// biome-ignore format: a table, a rename a line.
const ADOPTED: readonly (readonly [RegExp, string])[] = [
  [/\.ffn\./, '.mlp.'],
  [/\.attn\.(?=\w)/, '.self_attn.'],
  [/\.attention\.(?=\w)/, '.self_attn.'],
  // DeepSeek-V4.
  [/^head\.weight$/, 'lm_head.weight'],
  [/\.attn_norm\./, '.input_layernorm.'],
  [/\.self_attn\.attn_sink$/, '.self_attn.sinks'],
  [/\.self_attn\.norm\./, '.self_attn.kv_norm.'],
  [/\.self_attn\.q_norm\.(?=weight$)/, '.self_attn.q_a_norm.'],
  [/\.self_attn\.indexer\.(?:compressor\.)?/, '.self_attn.compressor.indexer.'],
  [/\.indexer\.scorer\./, '.indexer.'],
  [/\.compressor\.(indexer\.)?ape$/, '.compressor.$1position_bias'],
  [/\.compressor\.(indexer\.)?norm\./, '.compressor.$1kv_norm.'],
  [/\.wgate\./, '.gate_proj.'],
  [/\.wkv\./, '.kv_proj.'],
  [/\.w([qo]_[ab])\./, '.$1_proj.'],
  [/\.hc_(attn|ffn)_(base|fn|scale)$/, '.$1_hc.$2'],
  // A.X K1 and K2.
  [/(\.\d+)\.post_mlp_layernorm\./, '$1.mlp.post_mlp_layernorm.'],
  [/norm\.W_down\./, 'norm.mlp.fc1.'],
  [/norm\.W_up\./, 'norm.mlp.fc2.'],
  [/\.self_attn\.q_b_proj\./, '.self_attn.q_gate_proj.'],
  // Kimi Linear, Ling.
  [/^word_embeddings\./, 'embed_tokens.'],
  [/\.self_attn\.dense\./, '.self_attn.o_proj.'],
  [/\.self_attn\.forget_gate\./, '.self_attn.'],
  // Hunyuan 4.
  [/(^|\.)hc_pre\.(?=hc_)/, '$1'],
  [/\.hc_attn_layer\.hc_/, '.attn_hc.'],
  [/\.hc_mlp_layer\.hc_/, '.ffn_hc.'],
  [/(^|\.)hc_head_(?=(?:fn|base|scale)$)/, '$1hc_'],
  [/\.(?:learnable_sink_param|softmax_offset)$/, '.sinks'],
  [/\.self_attn\.linear_gate\./, '.self_attn.gate_proj.'],
  // Dory, GPT-NeoX.
  [/\.self_attn\.g_proj\./, '.self_attn.gate_proj.'],
  [/^embeddings\.weight$/, 'embed_tokens.weight'],
  [/^embed_out\./, 'lm_head.'],
];

/** The name without what surrounds it, in Hugging Face's convention. */
export function canonicalName(name: string): string {
  let canonical = name.replace(WRAPPERS, '').replace(INNER_WRAPPERS, '');
  for (const [pattern, replacement] of [...RENAMES, ...ADOPTED]) canonical = canonical.replace(pattern, replacement);
  return canonical;
}

/**
 * Queries and keys in Mistral's and Meta's own files: rows for rotation by complex numbers, not by halves.
 */
export function isNativeQueryOrKey(name: string): boolean {
  return /\.attention\.w[qk]\.(?:weight|bias)$/.test(name);
}
