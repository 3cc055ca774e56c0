import { isJsonObject, type JsonObject } from '../../base/json/parse.ts';

/** How positions are rotated into queries and keys: the parameters of one kind of layer. */
type Parameters = ReadonlyMap<string, unknown>;

/** What a configuration says of rotary positions, in whichever of its forms. */
interface Positions {
  /** Of all layers, but those of `local` and `layers`; null where nothing is said. */
  readonly flat: Parameters | null;
  /**
   * Base of the layers that attend to a window, where it is said beside the other's (`rope_local_base_freq`).
   */
  readonly local: unknown;
  /** transformers 5: by kind of layer; null where one is for all. A kind without positions has null. */
  readonly layers: ReadonlyMap<string, Parameters | null> | null;
}

/**
 * transformers 4 has these beside each other, the first of them in charge; 5 has the last within
 * `rope_parameters`.
 */
const BASE = ['rotary_emb_base', 'global_rope_theta', 'rope_theta'];
const LOCAL_BASE = ['rope_local_base_freq', 'local_rope_theta'];
const PART = ['rotary_pct', 'partial_rotary_factor'];
const OBJECTS = ['rope_parameters', 'rope_scaling'];
/** Keys that {@link positionKeys} speaks for: they are not compared as they stand. */
export const POSITION_KEYS: ReadonlySet<string> = new Set([...BASE, ...LOCAL_BASE, ...PART, ...OBJECTS]);

/** Names of one thing: 4 and 5 read the left and write, or compute with, the right. */
const TYPES: ReadonlyMap<unknown, string> = new Map([
  ['su', 'longrope'],
  // Sections, axes: what they are follows from the model and the other parameters.
  ['mrope', 'default'],
  ['axial', 'default'],
]);
/** Types whose original length is the configuration's where they say none; 5 writes it out. */
const SCALED_FROM: ReadonlySet<unknown> = new Set(['llama3', 'yarn', 'longrope', 'dynamic']);
/** The base of whoever says none (RoFormer, and transformers' default). */
const USUAL_BASE = 10_000;
/**
 * The part of a head that is rotated where a file does not say it: a constant in the code of older versions.
 */
const USUAL_PARTS: readonly (readonly [modelType: RegExp, part: number])[] = [
  [/^(glm|nemotron$|persimmon$|phi$|recurrent_gemma$)/, 0.5],
  [/^(stablelm$|qwen3_next$|qwen3_5)/, 0.25],
];
/** What a file without the key means. */
const NEUTRAL: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['partial_rotary_factor', 1],
  ['beta_fast', 32],
  ['beta_slow', 1],
]);
const WINDOWED = /sliding|local/;

/**
 * Rotary positions of two configurations in one form, so that the same keys are there: that of transformers
 * 5, `rope_parameters.rope_theta`. A file that says them for all layers says them for each kind of layer of
 * the other.
 */
export function positionKeys(a: JsonObject, b: JsonObject): readonly [ReadonlyMap<string, unknown>, ReadonlyMap<string, unknown>] {
  const [left, right] = [positionsOf(a), positionsOf(b)];
  const kinds = [...new Set([...(left.layers?.keys() ?? []), ...(right.layers?.keys() ?? [])])];
  if (kinds.length > 0) return [layered(left, kinds, right), layered(right, kinds, left)];
  return [flatKeys(left), flatKeys(right)];
}

/** Whether a key is one of {@link positionKeys}, nested configurations' among them. */
export const isPosition = (path: string): boolean => /(^|\.)rope_parameters\./.test(path);

/** A key of {@link positionKeys} as a file of transformers 4 has it. */
export function olderName(path: string): string {
  return path.replace(
    /(^|\.)rope_parameters\.(\w+)$/,
    (_, start: string, key: string) => `${start}${BESIDE.has(key) ? key : `rope_scaling.${key}`}`,
  );
}
const BESIDE: ReadonlySet<string> = new Set(['rope_theta', 'rope_local_base_freq', 'partial_rotary_factor']);

function positionsOf(config: JsonObject): Positions {
  const first = (keys: readonly string[]): unknown => keys.map((key) => config[key]).find((value) => value !== undefined && value !== null);
  const given = first(OBJECTS);
  const object = isJsonObject(given) ? given : {};
  const base = first(BASE);
  const usual = USUAL_PARTS.find(([type]) => typeof config.model_type === 'string' && type.test(config.model_type))?.[1];
  const part = first(PART) ?? usual;
  const fill = (own: JsonObject): Parameters => parameters({ rope_theta: base ?? USUAL_BASE, partial_rotary_factor: part, ...own }, config);
  const kinds = Object.entries(object).filter(([, value]) => isJsonObject(value));
  if (kinds.length > 0) {
    const layers = kinds.map(([kind, value]) => [kindOf(kind), fill(value as JsonObject)] as const);
    const without = Object.entries(object).flatMap(([kind, value]) => (value === null ? [[kindOf(kind), null] as const] : []));
    return { flat: null, local: undefined, layers: new Map([...layers, ...without]) };
  }
  const said = base !== undefined || part !== undefined || Object.keys(object).length > 0;
  return { flat: said ? fill(object) : null, local: first(LOCAL_BASE), layers: null };
}

/** One form for the parameters of one kind of layer. */
function parameters(given: JsonObject, config: JsonObject): Parameters {
  const { type, rope_type = type, ...rest } = given;
  const named = TYPES.get(rope_type) ?? rope_type ?? 'default';
  // Phi-3 wrote `yarn` for what has factors by length.
  const scaled = named === 'yarn' && Array.isArray(rest.long_factor) ? 'longrope' : named;
  // Positions divided by 1 are positions.
  const kind = scaled === 'linear' && rest.factor === 1 ? 'default' : scaled;
  const found = new Map<string, unknown>(Object.entries(rest));
  if (SCALED_FROM.has(kind)) {
    const length = config.original_max_position_embeddings ?? rest.original_max_position_embeddings ?? config.max_position_embeddings;
    found.set('original_max_position_embeddings', length);
    // Where it is not written, transformers computes it so.
    const whole = config.max_position_embeddings;
    if (kind === 'longrope' && !found.has('factor') && typeof whole === 'number' && typeof length === 'number') {
      found.set('factor', whole / length);
    }
  }
  if (kind !== scaled) found.delete('factor');
  for (const [key, value] of found) if (value === null || value === undefined || value === NEUTRAL.get(key)) found.delete(key);
  found.set('rope_type', kind);
  return found;
}

/** 5.24 writes `full_attention` where 4 wrote `attention`. */
function kindOf(name: string): string {
  return name === 'attention' ? 'full_attention' : name;
}

function flatKeys({ flat, local }: Positions): ReadonlyMap<string, unknown> {
  const keys = [...(flat ?? []), ...(local === undefined ? [] : [['rope_local_base_freq', local] as const])];
  return new Map(keys.map(([key, value]) => [`rope_parameters.${key}`, value]));
}

function layered(own: Positions, kinds: readonly string[], other: Positions): ReadonlyMap<string, unknown> {
  const keys = new Map<string, unknown>();
  for (const kind of kinds) {
    const found = own.layers === null ? spread(own, kind, other.layers?.get(kind) ?? null) : (own.layers.get(kind) ?? null);
    for (const [key, value] of found ?? []) keys.set(`rope_parameters.${kind}.${key}`, value);
  }
  return keys;
}

/**
 * What is said for all layers, for one kind of them. Whether a scaling is for layers with a window, too, no
 * file of transformers 4 says (Gemma: no, ModernBERT: yes): where the other has none there, it is not.
 */
function spread({ flat, local }: Positions, kind: string, other: Parameters | null): Parameters | null {
  if (flat === null || !WINDOWED.test(kind)) return flat;
  const own = new Map(flat);
  if (local !== undefined) own.set('rope_theta', local);
  if (other === null || other.get('rope_type') === flat.get('rope_type')) return own;
  return new Map([...own].filter(([key]) => key === 'rope_theta' || key === 'partial_rotary_factor')).set('rope_type', 'default');
}
