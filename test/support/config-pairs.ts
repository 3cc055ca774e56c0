import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parsePythonJson } from '../../src/base/json/parse.ts';
import { compareConfigs } from '../../src/model/kinship/differences.ts';

type Config = Record<string, unknown>;

export interface ConfigPair {
  readonly name: string;
  readonly family: string;
  /** The text of config.json as a version 4 of transformers saved it (4.57.1, or 4.46.3). */
  readonly older: string;
  /** As 5.24.0 did after loading that. */
  readonly newer: string;
}

/** Made by `test/golden/make/configs.py`. */
export const CONFIG_PAIRS: readonly ConfigPair[] = (
  JSON.parse(readFileSync(join(import.meta.dirname, '../golden/configs/pairs.json'), 'utf8')) as [string, string, string][]
).map(([name, older, newer]) => {
  const [from, to] = [older, newer].map(parsed);
  return { name: `${name} (${from!.transformers_version}, ${to!.transformers_version})`, family: String(to!.model_type), older, newer };
});

function parsed(text: string): Config {
  return parsePythonJson(text) as Config;
}

/** As Python writes it. */
function written(config: unknown): string {
  return JSON.stringify(config, (_, value) => (value === Number.POSITIVE_INFINITY ? '<inf>' : value)).replaceAll('"<inf>"', 'Infinity');
}

function text(value: unknown): string {
  return typeof value === 'number' ? String(value) : JSON.stringify(value);
}

interface Change {
  readonly path: string;
  readonly before: unknown;
  readonly after: unknown;
  readonly config: Config;
}

/** Each value of a configuration changed alone. */
function* changes(config: Config, prefix = '', root = (changed: Config): Config => changed): Generator<Change> {
  for (const [key, value] of Object.entries(config)) {
    const path = `${prefix}${key}`;
    const put = (changed: unknown): Config => root({ ...config, [key]: changed });
    if (Array.isArray(value)) continue;
    if (typeof value === 'object' && value !== null) yield* changes(value as Config, `${path}.`, put);
    const after = { number: (value as number) * 2 + 1, boolean: !value, string: 'another' }[typeof value as string];
    if (after !== undefined) yield { path, before: value, after, config: put(after) };
  }
}

/** What says nothing of what the model computes. */
const HOW_IT_RUNS = new Set([
  'transformers_version',
  'use_cache',
  'pretraining_tp',
  'output_router_logits',
  'use_mamba_kernels',
  'use_mambapy',
  'use_associative_scan',
]);
const HOW_IT_TRAINS = /drop|^initializer_|^router_(aux|z)_loss_coef$|^aux_loss_alpha$|^seq_aux$|jitter|(^|_)dtype$/;
/** What the tensors say, or a class means without it, where the other form lacks it. */
const MAY_BE_ABSENT = /_token_id$|(^|\.)(num_nextn_predict_layers|vision_use_head|no_rope_layer_interval|num_hidden_layers)$/;
/** The same of what is made of several configurations. */
const MAY_BE_ABSENT_OUTSIDE = /^(text_config\.|vision_config\.)?(model_type|tie_word_embeddings)$/;
/** What a form says in two places, one of them in charge. */
const TWICE = new Map([
  ['type', 'rope_type'],
  ['rope_theta', 'rotary_emb_base'],
  ['partial_rotary_factor', 'rotary_pct'],
  ['original_max_position_embeddings', ''],
]);
const WINDOW = new Set(['sliding_window', 'max_window_layers']);

/**
 * Changes of one value, in either form of a pair, that are not refused against the other form, or not named
 * with both values; but for those that may pass.
 * @param keys the last parts of the paths to change; all where absent
 */
export function unseenChanges({ older, newer }: ConfigPair, keys?: ReadonlySet<string>): string[] {
  const unseen: string[] = [];
  for (const [changing, other] of [
    [newer, older],
    [older, newer],
  ] as const) {
    const [own, others] = [[...changes(parsed(changing))], [...changes(parsed(other))]];
    for (const { path, before, after, config } of own) {
      const key = path.replace(/^.*\./, '');
      if (HOW_IT_RUNS.has(key) || HOW_IT_TRAINS.test(key) || (keys !== undefined && !keys.has(key))) continue;
      const { differing, told } = compareConfigs(written(config), other);
      const found = [...differing, ...told].find(({ a }) => a === text(after));
      if (found !== undefined) {
        const said = [text(before), 'absent', 'null'].includes(found.b) || (key === 'model_type' && path !== key);
        if (!said) unseen.push(`${path}: ${text(before)} is told as ${found.b}`);
        continue;
      }
      const whole = parsed(changing);
      const isAlone =
        !others.some((o) => o.path === path) && (MAY_BE_ABSENT.test(path) || ('text_config' in whole && MAY_BE_ABSENT_OUTSIDE.test(path)));
      const isTwice =
        TWICE.has(key) && own.some((o) => o.path !== path && (o.path.endsWith(key) || o.path.endsWith(TWICE.get(key) || key)));
      const isUnused = WINDOW.has(key) && written(config).includes('"use_sliding_window":false');
      if (!isAlone && !isTwice && !isUnused) unseen.push(path);
    }
  }
  return unseen;
}
