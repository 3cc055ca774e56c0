import { CONFIG_KEYS, configNumber, languageConfigs, type ModelConfig } from '../roles/model-config.ts';
import type { RoutingFunction } from './types.ts';

/** A value, or the configuration's keys for it and what holds where they are absent. */
type Setting<T> = T | { readonly keys: readonly string[]; readonly absent: T };

/** How one family of models routes; see {@link RoutingFunction}. */
interface Row {
  /** `model_type` of those that do. */
  readonly families: string;
  readonly score: RoutingFunction['score'];
  readonly logitBias?: true;
  readonly selectionBias?: true;
  /** With keys `n_group` (or `num_expert_group`) and `topk_group`, which must be there. */
  readonly groups?: 'max' | 'sum of top 2';
  readonly renormalise: Setting<boolean>;
  readonly epsilon?: number;
  readonly scaling?: Setting<number>;
  /** Where the key is absent. */
  readonly topK?: number;
  readonly sparseMixer?: Setting<number>;
}

const NORMALISED = (absent: boolean) => ({ keys: ['norm_topk_prob', 'moe_renormalize'], absent });
const SCALED = (absent = 1) => ({ keys: ['routed_scaling_factor'], absent });
const TINY = 1e-20;

/**
 * Routing by family, as the models of transformers 5.23 compute it; `kimi_k2` and the Bailing models by the
 * code of their publishers. A softmax over the logits of the chosen stands here as a softmax over all,
 * renormalised, which is the same number.
 */
// biome-ignore format: a table, a family a line.
const TABLE: readonly Row[] = [
  { families: 'mixtral minimax aria_text granitemoe granitemoeshared granitemoehybrid granitemoe_swa jetmoe hunyuan_v1_moe qwen3_5_moe_text qwen3_vl_moe_text', score: 'softmax', renormalise: true },
  { families: 'gpt_oss', score: 'softmax', logitBias: true, renormalise: true },
  { families: 'qwen2_moe qwen3_moe olmoe flex_olmo qwen3_omni_moe_talker_text', score: 'softmax', renormalise: NORMALISED(false) },
  { families: 'qwen3_next qwen3_omni_moe_text qwen4_exp_text mellum bailing_moe', score: 'softmax', renormalise: NORMALISED(true) },
  { families: 'jamba', score: 'softmax', renormalise: false },
  { families: 'switch_transformers', score: 'softmax', renormalise: false, topK: 1 },
  { families: 'longcat_flash', score: 'softmax', selectionBias: true, renormalise: false, scaling: SCALED() },
  { families: 'ernie4_5_moe', score: 'softmax', selectionBias: true, renormalise: true },
  // transformers reads no norm_topk_prob here; the released models say false.
  { families: 'deepseek_v2 deepseek_ocr2_text unlimited_ocr_text', score: 'softmax', groups: 'max', renormalise: false, scaling: SCALED() },
  { families: 'mistral4', score: 'softmax', groups: 'sum of top 2', renormalise: NORMALISED(true), epsilon: TINY, scaling: SCALED() },
  { families: 'deepseek_v3 deepseek_v32 axk1 dots3_note_text glm5_next_text hy_v4 kimi_k2 kimi_linear glm4_moe glm4_moe_lite glm4v_moe_text glm_moe_dsa bailing_hybrid exaone_moe mimo_v2_flash nemotron_h solar_open', score: 'sigmoid', selectionBias: true, groups: 'sum of top 2', renormalise: NORMALISED(true), epsilon: TINY, scaling: SCALED() },
  { families: 'dots1', score: 'sigmoid', selectionBias: true, groups: 'sum of top 2', renormalise: NORMALISED(false), epsilon: TINY, scaling: SCALED() },
  { families: 'bailing_moe_v2', score: 'sigmoid', selectionBias: true, groups: 'sum of top 2', renormalise: true, epsilon: TINY, scaling: SCALED() },
  { families: 'minimax_m2', score: 'sigmoid', selectionBias: true, renormalise: true },
  { families: 'minimax_m3_vl_text', score: 'sigmoid', selectionBias: true, renormalise: true, scaling: SCALED(2) },
  { families: 'afmoe', score: 'sigmoid', selectionBias: true, renormalise: true, epsilon: TINY, scaling: { keys: ['route_scale'], absent: 1 } },
  { families: 'hy_v3', score: 'sigmoid', selectionBias: true, renormalise: true, epsilon: TINY, scaling: { keys: ['router_scaling_factor'], absent: 1 } },
  { families: 'lfm2_moe', score: 'sigmoid', selectionBias: true, renormalise: NORMALISED(true), epsilon: 1e-6, scaling: SCALED() },
  { families: 'llama4_text', score: 'sigmoid', renormalise: false },
  { families: 'flint', score: 'sigmoid', renormalise: NORMALISED(true) },
  { families: 'deepseek_v4', score: 'sqrtsoftplus', selectionBias: true, renormalise: true, epsilon: TINY, scaling: SCALED() },
  { families: 'phimoe', score: 'softmax', renormalise: false, sparseMixer: { keys: ['router_jitter_noise'], absent: 0.01 } },
  { families: 'dbrx', score: 'softmax', renormalise: true },
];

/**
 * Families that are not in the table, but say in DeepSeek's words how they route: `scoring_func`, then
 * `topk_method`.
 */
const BY_METHOD: Readonly<Record<string, Row>> = {
  'sigmoid noaux_tc': { ...rowOf('deepseek_v3')!, families: '' },
  'softmax greedy': { ...rowOf('deepseek_v2')!, families: '' },
  'softmax group_limited_greedy': { ...rowOf('deepseek_v2')!, families: '' },
};

/**
 * How the model of a configuration routes.
 *
 * @param config config.json, parsed
 * @returns null where that is not known: the family is in no table, or the configuration lacks or contradicts
 *   what the family's routing depends on
 */
export function routingFunction(config: ModelConfig | null): RoutingFunction | null {
  if (config === null) return null;
  const configs = languageConfigs(config);
  const setting: Look = (...keys) => configs.flatMap((c) => keys.map((key) => c[key])).find((found) => found !== undefined);
  const families = configs.map((c) => c.model_type).filter((type) => typeof type === 'string');
  const known = families.find((family) => rowOf(family) !== undefined);
  const row = known === undefined ? BY_METHOD[`${setting('scoring_func')} ${setting('topk_method')}`] : rowOf(known);
  const topK = uniform(setting(...CONFIG_KEYS.perToken)) ?? row?.topK;
  if (row === undefined || topK === undefined) return null;
  const groups = row.groups === undefined ? null : groupsOf(row.groups, setting, configNumber(config, CONFIG_KEYS.experts));
  if (groups === undefined || contradicts(row, setting)) return null;
  const value = <T extends boolean | number>(of: Setting<T>): T | undefined => {
    if (typeof of !== 'object') return of;
    const found = setting(...of.keys) ?? of.absent;
    return typeof found === typeof of.absent ? (found as T) : undefined;
  };
  const renormalise = value(row.renormalise);
  const scaling = value(row.scaling ?? 1);
  const sparseMixer = row.sparseMixer === undefined ? null : value(row.sparseMixer);
  if (renormalise === undefined || scaling === undefined || sparseMixer === undefined) return null;
  return {
    family: known ?? families[0] ?? `${setting('scoring_func')} ${setting('topk_method')}`,
    score: row.score,
    logitBias: row.logitBias ?? false,
    selectionBias: row.selectionBias ?? false,
    groups,
    topK,
    renormalise,
    epsilon: row.epsilon ?? 0,
    scaling,
    hashLayers: hashLayers(setting),
    sparseMixer,
  };
}

/** What the configuration has under the first of these keys that it has. */
type Look = (...keys: readonly string[]) => unknown;

function rowOf(family: string): Row | undefined {
  return TABLE.find((row) => row.families.split(' ').includes(family));
}

/** Undefined where the configuration does not say. */
function groupsOf(by: 'max' | 'sum of top 2', setting: Look, experts: number | null): RoutingFunction['groups'] | undefined {
  if (by === 'max' && (setting('topk_method') ?? 'greedy') === 'greedy') return null;
  const count = setting('n_group', 'num_expert_group');
  const kept = setting('topk_group');
  // One group, or all of them, is no restriction; transformers writes null for none.
  if (count === null || count === 1 || (count !== undefined && count === kept)) return null;
  const fits = isCount(count) && isCount(kept) && kept < count && (experts === null || experts % count === 0);
  return fits ? { count, kept, by } : undefined;
}

/** What would make a family route otherwise than its row says. */
function contradicts(row: Row, setting: Look): boolean {
  const says = (key: string, ...values: readonly unknown[]) => setting(key) !== undefined && !values.includes(setting(key));
  return (
    // dots.llm1 names its method where others name the score.
    says('scoring_func', row.score, 'noaux_tc') ||
    says('score_function', row.score) ||
    says('score_func', row.score) ||
    // DBRX: the order of the norm that the weights are divided by.
    says('moe_normalize_expert_weights', 1)
  );
}

function hashLayers(setting: Look): number {
  const types = setting('mlp_layer_types');
  if (Array.isArray(types)) return types.filter((type) => type === 'hash_moe').length;
  const count = setting('num_hash_layers');
  return isCount(count) ? count : 0;
}

/** A number, also where it is written once for every layer (Hunyuan). */
function uniform(value: unknown): number | undefined {
  const [first, ...rest] = Array.isArray(value) ? value : [value];
  return isCount(first) && rest.every((other) => other === first) ? first : undefined;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}
