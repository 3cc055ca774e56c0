import { dirname, join } from 'node:path';
import type { Conflict } from '../../../base/errors.ts';
import { isJsonObject } from '../../../base/json/parse.ts';
import { linkGround, resolveWithin } from '../../../checkpoints/link-ground.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { QUANTISATION_KEYS } from '../../../model/quantised/config.ts';
import { CONFIG_KEYS, type ConfigText, parseConfig, readConfigText } from '../../../model/roles/model-config.ts';
import type { PlanRequest } from '../types.ts';
import type { PlacedInput } from './inputs.ts';

/** Differing keys that are shown. */
const SHOWN = 10;
/** Longest value that is shown, characters. */
const VALUE_LENGTH = 60;
/**
 * Where a copy was loaded from and which library wrote it say nothing of the model; what it says of
 * quantisation is compared with the tensors (`quantised/plan.ts`).
 */
const IGNORED = new Set(['_name_or_path', 'transformers_version', ...QUANTISATION_KEYS]);
/**
 * The same number under another name: transformers 5 writes `num_local_experts` for some models where 4 wrote
 * `num_experts`.
 */
const EXPERTS: ReadonlySet<string> = new Set(CONFIG_KEYS.experts);

/**
 * Whether the members of an output belong together: of one stage of one training, with one configuration,
 * unless the request allows otherwise.
 */
export class Kinship {
  readonly #request: Pick<PlanRequest, 'allowStages' | 'allowConfigs' | 'allowMixedDtypes'>;
  readonly #configs = new Configs();

  constructor(request: Pick<PlanRequest, 'allowStages' | 'allowConfigs' | 'allowMixedDtypes'>) {
    this.#request = request;
  }

  /**
   * @param output path of the output
   * @param weights one a member; a member of weight 0 gives nothing to the merge but, where it is the newest,
   *   its configuration
   */
  async conflicts(output: string, members: readonly PlacedInput[], weights: Float64Array, siblings: boolean): Promise<Conflict[]> {
    const { allowStages, allowConfigs, allowMixedDtypes = false } = this.#request;
    const parts = members.filter((_, i) => weights[i] !== 0);
    const conflicts = allowStages ? [] : stageConflicts(output, parts);
    if (allowConfigs) return conflicts;
    const compared = members.filter((m, i) => weights[i] !== 0 || m === members.at(-1)).map((m) => m.checkpoint);
    return [...conflicts, ...(await this.#configs.conflicts({ members: compared, siblings }, { allowMixedDtypes }))];
  }
}

/** Members whose stage is not known are taken for the others'. */
function stageConflicts(output: string, members: readonly PlacedInput[]): Conflict[] {
  const first = new Map<number, string>();
  for (const { stage, checkpoint } of members) if (stage !== null && !first.has(stage)) first.set(stage, checkpoint.path);
  if (first.size < 2) return [];
  const stages = [...first].map(([stage, path]) => `stage ${stage} (${path})`).join(' and ');
  return [{ code: 'E_STAGES', message: `${output} would mix members of ${stages}`, file: [...first.values()].at(-1)! }];
}

/** Members of one output, oldest first. */
interface ConfigSet {
  readonly members: readonly Checkpoint[];
  /** Trainings from one start that differ in data order or seed: their seeds may differ. */
  readonly siblings: boolean;
}

/** Reads each config.json once, however many outputs its checkpoint is in. */
class Configs {
  readonly #texts = new Map<Checkpoint, Promise<ConfigText>>();

  /**
   * Where the configurations of an output's members differ from the newest one's: one conflict for each other
   * configuration, naming the differing keys with both values. Checkpoints without config.json are passed
   * over.
   *
   * @param options with `allowMixedDtypes` the dtype may differ, as the tensors may
   */
  async conflicts({ members, siblings }: ConfigSet, options: { readonly allowMixedDtypes: boolean }): Promise<Conflict[]> {
    const found = await Promise.all(members.map(async (checkpoint) => ({ checkpoint, ...(await this.#text(checkpoint)) })));
    const newest = found.findLast((f) => f.text !== null);
    // What cannot be read at all may say anything; what can be read is compared.
    const unreadable = found.flatMap(({ text, fault }) => (text === null && fault !== null ? [fault] : []));
    if (unreadable.length > 0 || newest === undefined) return unreadable;
    if (newest.fault !== null) return [newest.fault];
    const seen = new Set([newest.text]);
    const conflicts: Conflict[] = [];
    for (const { checkpoint, text } of found.toReversed()) {
      if (text === null || seen.has(text)) continue;
      seen.add(text);
      const differing = differences(newest.text!, text).filter(({ key }) => {
        const last = key.split('.').at(-1)!;
        return !(siblings && /(^|_)seed$/.test(last)) && !(options.allowMixedDtypes && last === 'dtype');
      });
      if (differing.length === 0) continue;
      const file = join(checkpoint.path, 'config.json');
      const files = [join(newest.checkpoint.path, 'config.json'), file];
      const how = (await firstOutside(files)) ?? shown(differing);
      const message = `the configurations of ${newest.checkpoint.path} and ${checkpoint.path} differ: ${how}`;
      conflicts.push({ code: 'E_CONFIG_DIFFERS', message, file });
    }
    return conflicts;
  }

  #text(checkpoint: Checkpoint): Promise<ConfigText> {
    let text = this.#texts.get(checkpoint);
    if (text === undefined) {
      text = readConfigText(checkpoint);
      this.#texts.set(checkpoint, text);
    }
    return text;
  }
}

/**
 * What to say of a configuration that is a link to outside its run, which may be any file of whoever merges:
 * a message goes into logs and the history of a watch.
 */
async function firstOutside(files: readonly string[]): Promise<string | null> {
  for (const file of files) {
    const within = await resolveWithin(file, await linkGround(dirname(file)));
    if ('leadsTo' in within) return `${file} leads outside the checkpoint and its run`;
  }
  return null;
}

function shown(differing: readonly Difference[]): string {
  const some = differing.slice(0, SHOWN).map(({ key, a, b }) => `${key} is ${a} and ${b}`);
  return `${some.join('; ')}${differing.length > SHOWN ? `; and ${differing.length - SHOWN} more` : ''}`;
}

interface Difference {
  /** With dots into nested configurations. */
  readonly key: string;
  readonly a: string;
  readonly b: string;
}

/** Keys in which two configurations differ, in the order of the alphabet. */
function differences(a: string, b: string): Difference[] {
  const [left, right] = [values(a), values(b)];
  if (left === null || right === null) return [{ key: 'the text', a: describe(left), b: describe(right) }];
  return [...new Set([...left.keys(), ...right.keys()])]
    .sort()
    .filter((key) => left.get(key) !== right.get(key))
    .map((key) => ({ key, a: short(left.get(key)), b: short(right.get(key)) }));
}

function describe(config: ReadonlyMap<string, string> | null): string {
  return config === null ? 'no JSON object' : 'a JSON object';
}

function short(value: string | undefined): string {
  if (value === undefined) return 'absent';
  return value.length > VALUE_LENGTH ? `${value.slice(0, VALUE_LENGTH)}…` : value;
}

/** The values of a configuration as text, by key; null where the text is no JSON object. */
function values(text: string): Map<string, string> | null {
  const config = parseConfig(text);
  if (config === null) return null;
  const found = new Map<string, string>();
  const add = (object: object, prefix: string): void => {
    for (const [name, value] of Object.entries(object)) {
      if (IGNORED.has(name)) continue;
      // transformers 4 writes torch_dtype, 5 writes dtype; some tools write "torch.bfloat16" for "bfloat16".
      const isDtype = name === 'dtype' || name === 'torch_dtype';
      const key = `${prefix}${isDtype ? 'dtype' : EXPERTS.has(name) ? 'num_experts' : name}`;
      if (isJsonObject(value) && Object.keys(value).length > 0) add(value, `${key}.`);
      else found.set(key, textOf(isDtype && typeof value === 'string' ? value.replace(/^torch\./, '') : value));
    }
  };
  add(config, '');
  return found;
}

/** The same text for the same value, whatever the order of keys inside it; numbers may be NaN and infinite. */
function textOf(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(textOf).join(',')}]`;
  if (typeof value === 'number') return String(value);
  if (!isJsonObject(value)) return JSON.stringify(value);
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${textOf(value[key])}`).join(',')}}`;
}
