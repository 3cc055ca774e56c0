import { isUtf8 } from 'node:buffer';
import { join } from 'node:path';
import { type Conflict, MergeError } from '../../base/errors.ts';
import { isJsonObject, type JsonObject, pythonJsonOrNone } from '../../base/json/parse.ts';
import { readIfThere } from '../../base/store/store.ts';
import { otherContentError, otherText } from '../../checkpoints/containers/other-content.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';

/** A model's configuration: config.json, parsed. */
export type ModelConfig = JsonObject;

/**
 * Keys of one meaning in the configurations of transformers' models and of nanotron, DeepSeek, Mistral and
 * Meta.
 */
export const CONFIG_KEYS = {
  layers: ['num_hidden_layers', 'n_layer', 'n_layers', 'num_layers'],
  /** Routed experts of a layer. */
  experts: ['num_experts', 'num_local_experts', 'n_routed_experts', 'moe_num_experts'],
  /** How many of them a token is sent to. */
  perToken: [
    'num_experts_per_tok',
    'num_experts_per_token',
    'experts_per_token',
    'top_k_experts',
    'moe_top_k',
    'moe_k',
    'moe_topk',
    'n_activated_experts',
  ],
  /** Rows of a router beyond the experts, which stand for doing nothing (LongCat). */
  zeroExperts: ['zero_expert_num'],
  sharedExperts: ['n_shared_experts', 'num_shared_experts', 'moe_num_shared_experts'],
  hidden: ['hidden_size', 'n_embd', 'd_model', 'dim'],
  predictionLayers: ['num_nextn_predict_layers', 'mtp_num_hidden_layers', 'num_mtp_layers'],
} as const;

/** The configuration file of a folder: nanotron calls it otherwise. */
const CONFIG_FILES = ['config.json', 'model_config.json'];
/** Names of a million classes fit well. */
const MAX_CONFIG_BYTES = 2 ** 26;

/** Configurations inside a configuration that are about the language model. */
const NESTED = [
  'text_config',
  'llm_config',
  'language_config',
  'language_model_config',
  'thinker_config',
  'ffn_config',
  'moe_config',
  'moe',
  'moe_args',
];

/** config.json of a checkpoint that is a folder; null where there is none, or none that can be read. */
export async function readModelConfig({ kind, path, config }: Pick<Checkpoint, 'kind' | 'path' | 'config'>): Promise<ModelConfig | null> {
  if (config !== undefined) return config;
  if (kind !== 'folder') return null;
  for (const name of CONFIG_FILES) {
    const bytes = await readIfThere(join(path, name), MAX_CONFIG_BYTES).catch(() => null);
    if (bytes !== null) return parseConfig(bytes.toString());
  }
  return null;
}

/** The configuration of a checkpoint as it lies there. */
export interface ConfigText {
  /** Null where there is none, or none that can be read. */
  readonly text: string | null;
  /**
   * What is wrong where it is there: E_CONFIG_UNREADABLE for no JSON object, which nothing can load;
   * E_NOT_READABLE where whoever merges cannot read it.
   */
  readonly fault: Conflict | null;
}

/**
 * The text of the config.json of a checkpoint that is a folder.
 * @throws MergeError E_TEMPORARY, E_IO, E_TOO_MANY_FILES: the machine is at fault, and not the file
 */
export async function readConfigText({ kind, path }: Pick<Checkpoint, 'kind' | 'path'>): Promise<ConfigText> {
  if (kind !== 'folder') return { text: null, fault: null };
  const file = join(path, 'config.json');
  const fault = (code: Conflict['code'], message: string): Conflict => ({ code, message, file });
  try {
    const bytes = await readIfThere(file, MAX_CONFIG_BYTES);
    if (bytes === null) return { text: null, fault: null };
    const text = bytes.toString();
    const wrong = !isUtf8(bytes) ? 'UTF-8, which Python reads it as' : parseConfig(text) === null ? 'JSON object' : null;
    if (wrong === null) return { text, fault: null };
    const other = otherText(bytes);
    return {
      text,
      fault: fault('E_CONFIG_UNREADABLE', other === null ? `${file} is no ${wrong}` : otherContentError(file, other).message),
    };
  } catch (error) {
    if (!(error instanceof MergeError) || (error.code !== 'E_NOT_READABLE' && error.code !== 'E_NOT_FOUND')) throw error;
    return { text: null, fault: fault('E_NOT_READABLE', error.message) };
  }
}

/**
 * The text of a configuration, which may hold NaN and Infinity as Python writes them, or as transformers 5 does;
 * null for no object.
 */
export function parseConfig(text: string): ModelConfig | null {
  const value = pythonJsonOrNone(text);
  if (!isJsonObject(value)) return null;
  return text.includes(FLOAT_KEY) ? (withFloats(value) as ModelConfig) : value;
}

/** transformers 5 writes `{"__float__": "Infinity"}`, so that the file is JSON for others, too. */
const FLOAT_KEY = '__float__';
const FLOATS: ReadonlyMap<unknown, number> = new Map([
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
  ['NaN', Number.NaN],
]);

function withFloats(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withFloats);
  if (!isJsonObject(value)) return value;
  const entries = Object.entries(value);
  const float = entries.length === 1 && entries[0]![0] === FLOAT_KEY ? FLOATS.get(entries[0]![1]) : undefined;
  return float ?? Object.fromEntries(entries.map(([key, inner]) => [key, withFloats(inner)]));
}

/**
 * The configurations that may speak of the language model, innermost first: those nested in a multimodal one,
 * then the one itself.
 */
export function languageConfigs(config: ModelConfig): readonly ModelConfig[] {
  const nested = NESTED.map((key) => config[key]).filter(isJsonObject);
  return [...nested.flatMap((inner) => languageConfigs(inner)), config];
}

/** The first positive whole number under any of these keys; null where there is none. */
export function configNumber(config: ModelConfig | null, keys: readonly string[]): number | null {
  if (config === null) return null;
  const values = languageConfigs(config).flatMap((c) => keys.map((key) => c[key]));
  return values.find((value): value is number => Number.isSafeInteger(value) && (value as number) > 0) ?? null;
}
