import { readModelConfig } from '../../model/roles/model-config.ts';
import { modelError } from './tensors.ts';

/** The sizes of a Llama or OLMoE decoder, as config.json gives them. */
export interface DemoConfig {
  readonly type: 'llama' | 'olmoe';
  readonly vocabulary: number;
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  /** Width of one feed-forward block, or of one expert. */
  readonly feedForward: number;
  readonly normEpsilon: number;
  readonly ropeTheta: number;
  readonly tiedEmbeddings: boolean;
  /** 0 for a dense model. */
  readonly experts: number;
  readonly expertsPerToken: number;
  readonly normalizeRouter: boolean;
}

/**
 * Reads `config.json` of the checkpoint folder at `path`.
 *
 * @throws MergeError E_MODEL when it is absent or not JSON, names another architecture, or uses an option
 *   that the demo's models do not.
 */
export async function readDemoConfig(path: string): Promise<DemoConfig> {
  const json = await readModelConfig({ kind: 'folder', path });
  if (json === null) throw modelError(path, 'config.json cannot be read, or is no JSON object');
  const integer = (key: string): number => {
    const value = json[key];
    if (!Number.isSafeInteger(value) || (value as number) < 1) throw modelError(path, `config.json: ${key} is not a positive integer`);
    return value as number;
  };
  const positive = (key: string, value: unknown): number => {
    if (typeof value !== 'number' || !(value > 0)) throw modelError(path, `config.json: ${key} is not a positive number`);
    return value;
  };
  const type = json.model_type;
  if (type !== 'llama' && type !== 'olmoe')
    throw modelError(path, `config.json: model_type is ${JSON.stringify(type)}, not llama or olmoe`);
  const rope = (json.rope_parameters ?? {}) as Record<string, unknown>;
  const unsupported = Object.entries({
    attention_bias: json.attention_bias === true,
    mlp_bias: json.mlp_bias === true,
    clip_qkv: typeof json.clip_qkv === 'number',
    hidden_act: json.hidden_act !== 'silu',
    rope_parameters: (rope.rope_type ?? 'default') !== 'default',
  }).find(([, found]) => found);
  if (unsupported !== undefined)
    throw modelError(path, `config.json: ${unsupported[0]} has a value that the demo's forward pass does not know`);
  const sparse = type === 'olmoe';
  const heads = integer('num_attention_heads');
  return {
    type,
    vocabulary: integer('vocab_size'),
    hidden: integer('hidden_size'),
    layers: integer('num_hidden_layers'),
    heads,
    kvHeads: integer('num_key_value_heads'),
    headSize: typeof json.head_dim === 'number' ? integer('head_dim') : integer('hidden_size') / heads,
    feedForward: integer('intermediate_size'),
    normEpsilon: positive('rms_norm_eps', json.rms_norm_eps),
    ropeTheta: positive('rope_theta', rope.rope_theta ?? json.rope_theta),
    tiedEmbeddings: json.tie_word_embeddings === true,
    experts: sparse ? integer('num_experts') : 0,
    expertsPerToken: sparse ? integer('num_experts_per_tok') : 0,
    normalizeRouter: json.norm_topk_prob === true,
  };
}
