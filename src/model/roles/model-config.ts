import { join } from 'node:path';
import type { Conflict } from '../../base/errors.ts';
import { readWhole } from '../../base/store/store.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';

/** A model's configuration: config.json, parsed. */
export type ModelConfig = Readonly<Record<string, unknown>>;

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
export async function readModelConfig({ kind, path }: Pick<Checkpoint, 'kind' | 'path'>): Promise<ModelConfig | null> {
  if (kind !== 'folder') return null;
  for (const name of CONFIG_FILES) {
    const text = await textOf(join(path, name));
    if (text !== null) return parseObject(text);
  }
  return null;
}

/**
 * Whether a folder has a configuration that is no JSON object, so that nothing can load it. @returns
 * E_CONFIG_UNREADABLE
 */
export async function unreadableConfig({ kind, path }: Pick<Checkpoint, 'kind' | 'path'>): Promise<Conflict | null> {
  if (kind !== 'folder') return null;
  const file = join(path, 'config.json');
  const text = await textOf(file);
  if (text === null || parseObject(text) !== null) return null;
  return { code: 'E_CONFIG_UNREADABLE', message: `${file} is no JSON object`, file };
}

/**
 * The configurations that may speak of the language model, innermost first: those nested in a multimodal one,
 * then the one itself.
 */
export function languageConfigs(config: ModelConfig): readonly ModelConfig[] {
  const nested = NESTED.map((key) => config[key]).filter(isObject);
  return [...nested.flatMap((inner) => languageConfigs(inner)), config];
}

/** The first positive whole number under any of these keys; null where there is none. */
export function configNumber(config: ModelConfig | null, keys: readonly string[]): number | null {
  if (config === null) return null;
  const values = languageConfigs(config).flatMap((c) => keys.map((key) => c[key]));
  return values.find((value): value is number => Number.isSafeInteger(value) && (value as number) > 0) ?? null;
}

/** Null where there is none, or none that can be read. */
async function textOf(file: string): Promise<string | null> {
  const bytes = await readWhole(file).catch(() => null);
  return bytes === null ? null : bytes.toString();
}

function parseObject(text: string): ModelConfig | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is ModelConfig {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
