import { isWeightOf, peftPart } from './adapters.ts';
import { CONFIG_KEYS, configNumber, languageConfigs, type ModelConfig } from './model-config.ts';
import type { NamingContext } from './types.ts';

export const NO_CONTEXT: NamingContext = { layers: null, experts: null, family: null, codes: null };

/**
 * A layer of multi-token prediction that is counted on from the model's last:
 * `model.layers.61.eh_proj.weight`.
 */
const PREDICTION = /^(?!.*mtp).*\.layers\.(\d+)\.(?:eh_proj|enorm|hnorm)\.weight$/;

/** What only multi-token prediction has in a name. */
const OF_PREDICTION = /mtp|nextn|(?:^|\.)(?:eh_proj|enorm|hnorm|shared_head)\./;

/**
 * Whether {@link namingContext} says something else of all names than of one of each kind, which stands for
 * others with other numbers.
 */
export function numbersMatter(kinds: readonly string[]): boolean {
  return kinds.some((name) => OF_PREDICTION.test(name) || name.startsWith(WRAPPED));
}

/** What PEFT puts before names. */
const WRAPPED = 'base_model.model.';

/** What only a model with experts has in a name or a key of its configuration. */
const OF_EXPERTS = /expert|moe|router/i;

/**
 * {@link NamingContext} of a config.json; nested configurations of multimodal models count too.
 *
 * @param names the model's tensors: where no configuration tells its depth, the first layer that joins
 * embedding and hidden state does; where none speaks of experts, the names may
 * @param codes whether any tensor holds codes of quantised weights; null where unknown
 */
export function namingContext(config: ModelConfig | null, names: Iterable<string> = [], codes: boolean | null = null): NamingContext {
  const configs = config === null ? [] : languageConfigs(config);
  // A spelling that is not in the list leaves it open whether there are experts.
  const speaksOfExperts = configs.some((c) => Object.keys(c).some((key) => OF_EXPERTS.test(key)));
  const own = config?.model_type;
  const family = typeof own === 'string' ? own : configs.map((c) => c.model_type).find((value) => typeof value === 'string');
  return {
    layers: mainLayers(configs, configNumber(config, CONFIG_KEYS.layers), names),
    experts: configNumber(config, CONFIG_KEYS.experts) ?? (config === null || speaksOfExperts || haveExperts(names) ? null : 0),
    family: (family as string | undefined) ?? null,
    codes,
    ...(haveAdapters(names) === false && { adapters: false }),
  };
}

/**
 * From which layer on multi-token prediction begins. A layer beyond the configured number is one only where
 * configuration or names speak of prediction: HRM counts the layers of one of its two modules.
 */
function mainLayers(configs: readonly ModelConfig[], configured: number | null, names: Iterable<string>): number | null {
  if (configured === null) return depthOf(names);
  if (configs.some((c) => CONFIG_KEYS.predictionLayers.some((key) => Number(c[key]) > 0))) return configured;
  let any = false;
  for (const name of names) {
    any = true;
    if (OF_PREDICTION.test(name)) return configured;
  }
  return any ? null : configured;
}

/**
 * Whether these are adapters alone, beside which full modules are trained copies. Null where nothing is called as PEFT
 * calls it, so that the question does not arise.
 */
function haveAdapters(names: Iterable<string>): boolean | null {
  let wrapped = false;
  let adapters = false;
  const modules = new Set<string>();
  for (const name of names) {
    if (!name.startsWith(WRAPPED)) continue;
    wrapped = true;
    const part = peftPart(name);
    if (part?.kind === 'base') return false;
    if (part?.kind === 'adapter') modules.add(part.module);
    adapters ||= part !== null;
  }
  if (modules.size > 0) for (const name of names) if (isWeightOf(name, modules)) return false;
  return wrapped ? adapters : null;
}

function haveExperts(names: Iterable<string>): boolean {
  for (const name of names) if (OF_EXPERTS.test(name)) return true;
  return false;
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
