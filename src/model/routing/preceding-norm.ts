import type { RoutingTensor } from './types.ts';

/**
 * Names, in a layer, of norms whose result goes into the mixture of experts; the first that is there. What
 * begins with `post_` is about the block before.
 */
const BEFORE = [
  'pre_feedforward_layernorm_2',
  'pre_feedforward_layernorm',
  'pre_mlp_layernorm',
  'pre_moe_layernorm',
  'pre_ff_layernorm',
  'pre_moe_norm',
  'ffn_norm',
  'ffn_layernorm',
  'ff_norm',
  'ff_layer_norm',
  'mlp_norm',
  'norm_2',
  'norm_attn_norm.norm_2',
  'ln_2',
  'post_attention_layernorm',
  // Two blocks in a layer, of which the first has the experts (LongCat-Flash).
  'post_attention_layernorm.0',
  'post_attention_norm',
];

/**
 * A norm after the feed-forward block. With it, `post_attention_…` is what it says, and nothing comes before
 * the router (OLMo 2 and its like).
 */
const AFTER = /^post_(feedforward|ff|ffn|mlp|moe)_/;

/**
 * The norm that makes the router's input, of those in its layer that are as wide as it.
 *
 * @param prefix what the names of the layer begin with
 * @returns null where the names do not tell, or the router's input is not normalised
 */
export function precedingNorm(prefix: string, router: string, norms: readonly RoutingTensor[]): RoutingTensor | null {
  const weights = norms.filter(({ name }) => !name.endsWith('.bias'));
  const byName = new Map(weights.map((norm) => [norm.name.slice(prefix.length).replace(/\.(weight|scale|gamma)$/, ''), norm]));
  const known = BEFORE.find((name) => byName.has(name));
  if (known !== undefined) {
    const afterwards = known.startsWith('post_') && [...byName.keys()].some((name) => AFTER.test(name));
    return afterwards ? null : byName.get(known)!;
  }
  // Otherwise the one that shares most of its path with the router, where that is only one.
  const shared = weights.map(({ name }) => commonComponents(name, router));
  const most = Math.max(...shared);
  const nearest = weights.filter((_, i) => shared[i] === most);
  return nearest.length === 1 ? nearest[0]! : null;
}

function commonComponents(a: string, b: string): number {
  const other = b.split('.');
  const differs = a.split('.').findIndex((component, i) => component !== other[i]);
  return differs === -1 ? other.length : differs;
}
