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

/** The name without what surrounds it, in Hugging Face's convention. */
export function canonicalName(name: string): string {
  let canonical = name.replace(WRAPPERS, '').replace(INNER_WRAPPERS, '');
  for (const [pattern, replacement] of RENAMES) canonical = canonical.replace(pattern, replacement);
  return canonical;
}

/**
 * Queries and keys in Mistral's and Meta's own files: rows for rotation by complex numbers, not by halves.
 */
export function isNativeQueryOrKey(name: string): boolean {
  return /\.attention\.w[qk]\.(?:weight|bias)$/.test(name);
}
