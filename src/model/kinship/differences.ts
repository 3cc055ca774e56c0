import { isJsonObject, type JsonObject } from '../../base/json/parse.ts';
import { CONFIG_KEYS, parseConfig } from '../roles/model-config.ts';
import { isPosition, olderName, POSITION_KEYS, positionKeys } from './positions.ts';
import { type KeyPlace, LAYER_TYPES, RENAMED, rowOf } from './rows.ts';

export interface KeyDifference {
  /** With dots into nested configurations, under its present name. */
  readonly key: string;
  /** The value as text, "absent" without one. */
  readonly a: string;
  readonly b: string;
}

/** What two configurations say of each other. */
export interface ConfigComparison {
  /** Keys in which they are of different models, in the order of the alphabet. */
  readonly differing: readonly KeyDifference[];
  /** Keys that one of them lacks, and that are taken for what another version of its library left out. */
  readonly assumed: readonly KeyDifference[];
  /** Keys whose values differ in one model, too, but not without a meaning for whoever uses it. */
  readonly told: readonly KeyDifference[];
}

/** Longest value that is shown, characters. */
const VALUE_LENGTH = 60;
const EXPERTS: ReadonlySet<string> = new Set(CONFIG_KEYS.experts);

/**
 * Whether two texts of config.json configure one model, whichever versions of transformers wrote them: {@link
 * ROWS} and the forms of rotary positions have what such versions write otherwise. A key that one file lacks
 * and no row knows is a difference between files of one version, and assumed to be none between files of two,
 * unless the file without it says null.
 */
export function compareConfigs(a: string, b: string): ConfigComparison {
  const [left, right] = [parseConfig(a), parseConfig(b)];
  if (left === null || right === null) {
    const of = (config: JsonObject | null): string => (config === null ? 'no JSON object' : 'a JSON object');
    return { differing: [{ key: 'the text', a: of(left), b: of(right) }], assumed: [], told: [] };
  }
  const values: [Values, Values] = [new Map(), new Map()];
  addKeys(values, [left, right], '');
  const versions = minorOf(left) !== minorOf(right);
  const differing: KeyDifference[] = [];
  const assumed: KeyDifference[] = [];
  const told: KeyDifference[] = [];
  for (const key of [...new Set([...values[0].keys(), ...values[1].keys()])].sort()) {
    const [one, other] = [values[0].get(key), values[1].get(key)];
    const judged = one?.text === other?.text ? 'same' : judge(key, { file: left, values: values[0] }, { file: right, values: values[1] });
    const lists = { same: null, told, differs: differing, unknown: versions ? assumed : differing };
    lists[judged]?.push(shown(a.includes('"rope_parameters"') ? key : olderName(key), one, other));
  }
  return { differing, assumed, told };
}

/** Patches of one version write the same keys. */
function minorOf({ transformers_version: version }: JsonObject): unknown {
  return typeof version === 'string' ? (/^\d+\.\d+(?=\.|$)/.exec(version)?.[0] ?? version) : version;
}

/** A value, and the object that it stands in. */
interface Value {
  readonly value: unknown;
  readonly text: string;
}
type Values = Map<string, Value>;
interface Side {
  readonly file: JsonObject;
  readonly values: Values;
}

/** Of a key whose values are not equal. */
function judge(path: string, left: Side, right: Side): 'same' | 'told' | 'differs' | 'unknown' {
  const parts = path.split('.');
  const row = rowOf(parts.at(-1)!, path);
  const [a, b] = [said(left, path), said(right, path)];
  const rule = row?.rule;
  if (a !== null && b !== null) {
    if (rule === 'told') return 'told';
    const place: KeyPlace = { nested: parts.length > 1, file: left.file };
    return typeof rule === 'object' && 'same' in rule && rule.same(a.text, b.text, place) ? 'same' : 'differs';
  }
  if (a === null && b === null) return 'same';
  const [has, lacks, value] = a !== null ? [left, right, a] : [right, left, b!];
  // A multimodal model's file may say of the language model what is nested in the other.
  const twin = twinOf(path);
  const there = said(lacks, twin);
  if (there !== null && (there.text === value.text || said(has, twin) === null)) return there.text === value.text ? 'same' : 'differs';
  if (rule === 'either' || rule === 'told') return 'same';
  if (typeof rule === 'object' && 'absent' in rule) return rule.absent.some((v) => textOf(v) === value.text) ? 'same' : 'differs';
  if (typeof rule === 'object' && 'derived' in rule) {
    const own = rule.derived(inside(lacks.file, parts), { nested: parts.length > 1, file: lacks.file });
    return own.length === 0 ? 'unknown' : own.some((v) => textOf(v) === value.text) ? 'same' : 'differs';
  }
  if (isPosition(path)) return POSITION_DEFAULTS.some(([key, v]) => parts.at(-1) === key && textOf(v) === value.text) ? 'same' : 'differs';
  return lacks.values.has(path) ? 'differs' : 'unknown';
}

/** What a file without any word of rotary positions means by them. */
const POSITION_DEFAULTS: readonly (readonly [key: string, value: unknown])[] = [
  ['rope_theta', 10_000],
  ['rope_type', 'default'],
];

/** What says nothing: null, and what holds nothing. */
const EMPTY = new Set(['null', '{}', '[]']);

/** Null where it is absent or says nothing. */
function said({ values }: Side, path: string): Value | null {
  const value = values.get(path);
  return value === undefined || EMPTY.has(value.text) ? null : value;
}

/** The language model's configuration inside that of a multimodal one. */
const TEXT = 'text_config';

/** Where the other form of a file has the same. */
function twinOf(path: string): string {
  return path.startsWith(`${TEXT}.`) ? path.slice(TEXT.length + 1) : `${TEXT}.${path}`;
}

/** The object that the last part of a path is in. */
function inside(file: JsonObject, parts: readonly string[]): JsonObject {
  let object = file;
  for (const part of parts.slice(0, -1)) {
    const next = object[part];
    if (isJsonObject(next)) object = next;
  }
  return object;
}

/** Adds the keys of two objects at one place, in the forms that can be compared. */
function addKeys([left, right]: [Values, Values], [a, b]: readonly [JsonObject, JsonObject], prefix: string): void {
  const [one, other] = [normalForm(a), normalForm(b)];
  const [positionsA, positionsB] = positionKeys(one, other);
  const add = (values: Values, object: JsonObject, positions: ReadonlyMap<string, unknown>): void => {
    for (const [key, value] of positions) values.set(`${prefix}${key}`, { value, text: textOf(value) });
    for (const [key, value] of Object.entries(object)) {
      if (!POSITION_KEYS.has(key) && !isFilled(value) && rowOf(key, key)?.rule !== 'ignored')
        values.set(`${prefix}${key}`, { value, text: textOf(value) });
    }
  };
  add(left, one, positionsA);
  add(right, other, positionsB);
  for (const key of new Set([...Object.keys(one), ...Object.keys(other)])) {
    const inner = [one[key], other[key]].map((value) => (isFilled(value) ? value : null));
    const [innerA, innerB] = [inner[0] ?? {}, inner[1] ?? {}];
    if (POSITION_KEYS.has(key) || rowOf(key, key)?.rule === 'ignored' || (inner[0] === null && inner[1] === null)) continue;
    // Which keys one has beside none says no more than that it is there; but the language model's may stand
    // outside.
    if ((inner[0] !== null && inner[1] !== null) || key === TEXT) addKeys([left, right], [innerA, innerB], `${prefix}${key}.`);
    else (inner[0] === null ? right : left).set(`${prefix}${key}`, { value: inner[0] ?? inner[1], text: textOf(inner[0] ?? inner[1]) });
  }
}

function isFilled(value: unknown): value is JsonObject {
  return isJsonObject(value) && Object.keys(value).length > 0;
}

/** One object of a configuration under present names, with what follows from a pattern written out. */
function normalForm(config: JsonObject): JsonObject {
  const found: Record<string, unknown> = {};
  const set = (key: string, value: unknown): void => {
    Object.defineProperty(found, key, { value, enumerable: true, configurable: true, writable: true });
  };
  for (const [name, given] of Object.entries(config)) {
    const key = EXPERTS.has(name) ? 'num_experts' : (RENAMED.get(name) ?? name);
    const value = isLayerTypes(key, given) ? given.map((type) => LAYER_TYPES.get(type) ?? type) : given;
    if (key === name || !(key in config)) set(key, value);
  }
  // FSDP's wrapping of a class is the class.
  if (Array.isArray(found.architectures)) {
    found.architectures = found.architectures.map((name: unknown) =>
      typeof name === 'string' ? name.replace(/^FSDP(?=[A-Z])/, '') : name,
    );
  }
  if (isJsonObject(found.auto_map)) set('auto_map', withoutRepositories(found.auto_map));
  if (!Array.isArray(found.layer_types)) {
    const types = layerTypes(found);
    if (types !== null) set('layer_types', types);
  }
  // Qwen keeps the length of a window that it does not use.
  if (found.use_sliding_window === false) for (const key of ['sliding_window', 'max_window_layers']) delete found[key];
  return found;
}

function isLayerTypes(key: string, value: unknown): value is unknown[] {
  return /(^|_)(layer_types|layers_block_type|block_types)$/.test(key) && Array.isArray(value);
}

/** Code by the names of its classes: `owner/name--file.Class` is what a copy has from elsewhere. */
function withoutRepositories(map: JsonObject): JsonObject {
  const own = (value: unknown): unknown =>
    typeof value === 'string' ? value.replace(/^.*--/, '') : Array.isArray(value) ? value.map(own) : value;
  return Object.fromEntries(Object.entries(map).map(([key, value]) => [key, own(value)]));
}

/** Every so many layers attend to all where nothing is said: a constant in the code of older versions. */
const USUAL_PATTERNS: ReadonlyMap<unknown, number> = new Map([['gemma2', 2]]);

/** Kinds of layers where a pattern says them, as the classes of transformers write them out. */
function layerTypes(config: JsonObject): readonly string[] | null {
  const { num_hidden_layers: layers, use_sliding_window: used, max_window_layers: from } = config;
  if (typeof layers !== 'number' || !Number.isSafeInteger(layers) || layers < 1 || layers > 10_000) return null;
  const by = (type: (layer: number) => string): string[] => Array.from({ length: layers }, (_, i) => type(i));
  const every = (key: string): number | null =>
    Number.isSafeInteger(config[key]) && (config[key] as number) > 0 ? (config[key] as number) : null;
  const window = every('sliding_window_pattern') ?? USUAL_PATTERNS.get(config.model_type) ?? null;
  if (window !== null) return by((i) => ((i + 1) % window === 0 ? 'full_attention' : 'sliding_attention'));
  const linear = every('full_attention_interval');
  if (linear !== null) return by((i) => ((i + 1) % linear === 0 ? 'full_attention' : 'linear_attention'));
  const global = every('global_attn_every_n_layers');
  if (global !== null) return by((i) => (i % global === 0 ? 'full_attention' : 'sliding_attention'));
  if (used === false) return by(() => 'full_attention');
  if (used === true && typeof from === 'number') return by((i) => (i < from ? 'full_attention' : 'sliding_attention'));
  return null;
}

/** Of two long lists of one length the first element that differs. */
function shown(key: string, a: Value | undefined, b: Value | undefined): KeyDifference {
  const isLong = Math.max(a?.text.length ?? 0, b?.text.length ?? 0) > VALUE_LENGTH;
  if (isLong && Array.isArray(a?.value) && Array.isArray(b?.value) && a.value.length === b.value.length) {
    const i = a.value.findIndex((value, at) => textOf(value) !== textOf((b.value as unknown[])[at]));
    return { key: `${key}[${i}]`, a: short(textOf(a.value[i])), b: short(textOf(b.value[i])) };
  }
  return { key, a: short(a?.text), b: short(b?.text) };
}

function short(value: string | undefined): string {
  if (value === undefined) return 'absent';
  return value.length > VALUE_LENGTH ? `${value.slice(0, VALUE_LENGTH)}…` : value;
}

/**
 * The same text for the same value, whatever the order of keys inside it; numbers may be NaN and infinite.
 */
function textOf(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(textOf).join(',')}]`;
  if (typeof value === 'number') return String(value);
  if (!isJsonObject(value)) return JSON.stringify(value);
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${textOf(value[key])}`).join(',')}}`;
}
