/** What a config.json says of the quantisation of its weights. */
export interface QuantisationConfig {
  /** `quant_method`, lower case. */
  readonly method: string;
  /** `weight_block_size`: rows and columns that share a scale. */
  readonly block: readonly [number, number] | null;
  /** All weights that have scales for blocks are in these: no group of weights has others, or none. */
  readonly blocksOnly: boolean;
  /** What else it says of the form, lower case: `quant_algo`, `format`, types of weights. */
  readonly words: string;
  /** `scale_fmt: "ue8m0"`: every scale is a power of two. */
  readonly powerOfTwo: boolean;
  /**
   * Weights are stored quantised: not so where only the cache is, or where they are quantised as they are
   * loaded.
   */
  readonly stored: boolean;
}

type Config = Readonly<Record<string, unknown>>;

/**
 * Keys under which config.json holds its quantisation; publishing floats removes them, wherever they are
 * nested.
 */
export const QUANTISATION_KEYS: readonly string[] = ['quantization_config', 'compression_config'];
/**
 * The same where a library looks elsewhere: MLX and Mistral's params.json have `quantization`, DeepSeek names
 * the form of experts and of scales.
 */
export const OTHER_QUANTISATION_KEYS: readonly string[] = ['quantization', 'expert_dtype', 'scale_fmt'];
/** Keys of nested configurations of multimodal models. */
const NESTED = ['text_config', 'llm_config', 'language_config'];
/** Methods that also load plain weights, and quantise them then. */
const ON_LOADING = new Set(['bitsandbytes', 'torchao', 'quanto', 'hqq', 'eetq', 'higgs']);

/** Null where the configuration says nothing of quantisation. */
export function quantisationConfig(config: Config | null): QuantisationConfig | null {
  if (config === null) return null;
  const own = [config, ...NESTED.map((key) => config[key]).filter(isObject)];
  const found = own.flatMap((c) => QUANTISATION_KEYS.map((key) => c[key])).find(isObject);
  // DeepSeek's own inference code has no entry, but says how the scales are made.
  if (found === undefined)
    return config.scale_fmt === 'ue8m0'
      ? { method: 'fp8', block: null, blocksOnly: false, words: '', powerOfTwo: true, stored: false }
      : null;
  const method = typeof found.quant_method === 'string' ? found.quant_method.toLowerCase() : '';
  const groups = groupsOf(found);
  const weights = groups.map((g) => g.weights).filter(isObject);
  const block = [found.weight_block_size, ...weights.map((w) => w.block_structure)].map(pair).find((b) => b !== null) ?? null;
  const blocksOnly =
    pair(found.weight_block_size) !== null || (block !== null && weights.every((w) => pair(w.block_structure)?.join() === block.join()));
  const empty = 'config_groups' in found && groups.length === 0;
  const stored = method !== '' && !empty && found.format !== 'dense' && !ON_LOADING.has(method);
  return { method, block, blocksOnly, words: wordsOf(found), powerOfTwo: found.scale_fmt === 'ue8m0', stored };
}

/** Values of the keys that name a form, wherever they stand; lists of modules are not looked into. */
function wordsOf(found: Config): string {
  const FORM = new Set(['quant_method', 'quant_algo', 'format', 'dtype', 'weight_dtype', 'type', 'fmt', 'moe_quant_algo']);
  return Object.entries(found)
    .map(([key, value]) => {
      if (typeof value === 'string') return FORM.has(key) ? value.toLowerCase() : '';
      return isObject(value) ? wordsOf(value) : '';
    })
    .filter((text) => text !== '')
    .join(' ');
}

function groupsOf({ config_groups: groups }: Config): Config[] {
  return isObject(groups) ? Object.values(groups).filter(isObject) : [];
}

/** `[128, 128]`, or "128x128" as older compressed-tensors write it. */
function pair(value: unknown): [number, number] | null {
  const numbers = typeof value === 'string' ? value.split('x').map(Number) : value;
  if (!Array.isArray(numbers) || numbers.length !== 2) return null;
  return numbers.every((n) => Number.isSafeInteger(n) && n > 0) ? (numbers as [number, number]) : null;
}

function isObject(value: unknown): value is Config {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
