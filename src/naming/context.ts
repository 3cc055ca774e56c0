import type { NamingContext } from './types.ts';

export const NO_CONTEXT: NamingContext = { layers: null, experts: null, family: null };

const LAYERS = ['num_hidden_layers', 'n_layer', 'n_layers', 'num_layers'];
const EXPERTS = ['num_experts', 'num_local_experts', 'n_routed_experts', 'moe_num_experts'];

/** A layer of multi-token prediction that is counted on from the model's last: `model.layers.61.eh_proj.weight`. */
const PREDICTION = /^(?!.*mtp).*\.layers\.(\d+)\.(?:eh_proj|enorm|hnorm)\.weight$/;

/**
 * {@link NamingContext} of a config.json; nested configurations of multimodal models count too.
 *
 * @param names the model's tensors: where no configuration tells its depth, the first layer that joins embedding and hidden state does
 */
export function namingContext(config: Readonly<Record<string, unknown>> | null, names: Iterable<string> = []): NamingContext {
  if (config === null) return { ...NO_CONTEXT, layers: depthOf(names) };
  const nested = (key: string) => (isObject(config[key]) ? [config[key]] : []);
  const text = [...nested('text_config'), ...nested('llm_config'), ...nested('language_config'), ...nested('ffn_config'), config];
  const number = (keys: readonly string[]) =>
    text.flatMap((c) => keys.map((key) => c[key])).find((v): v is number => Number.isSafeInteger(v) && (v as number) > 0) ?? null;
  // A spelling that is not in the list leaves it open whether there are experts.
  const speaksOfExperts = text.some((c) => Object.keys(c).some((key) => /expert|moe/i.test(key)));
  const family = text.map((c) => c.model_type).find((value) => typeof value === 'string');
  const own = typeof config.model_type === 'string' ? config.model_type : family;
  return {
    layers: number(LAYERS) ?? depthOf(names),
    experts: number(EXPERTS) ?? (speaksOfExperts ? null : 0),
    family: (own as string | undefined) ?? null,
  };
}

function depthOf(names: Iterable<string>): number | null {
  let first = Number.POSITIVE_INFINITY;
  for (const name of names) {
    // A cheap look first: there may be 92,000 names, and one such layer.
    if (name.endsWith('.weight') && /(?:eh_proj|norm)\.weight$/.test(name))
      first = Math.min(first, Number(PREDICTION.exec(name)?.[1] ?? Number.POSITIVE_INFINITY));
  }
  return first === Number.POSITIVE_INFINITY ? null : first;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
