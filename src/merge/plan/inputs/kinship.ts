import { dirname, join } from 'node:path';
import type { Conflict, Warning } from '../../../base/errors.ts';
import { linkGround, resolveWithin } from '../../../checkpoints/link-ground.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { compareConfigs, type KeyDifference } from '../../../model/kinship/differences.ts';
import { type ConfigText, readConfigText } from '../../../model/roles/model-config.ts';
import type { PlanRequest } from '../types.ts';
import type { PlacedInput } from './inputs.ts';

/** Differing keys that are shown. */
const SHOWN = 10;

/**
 * Whether the members of an output belong together: of one stage of one training, with one configuration,
 * unless the request allows otherwise.
 */
export class Kinship {
  readonly #request: Pick<PlanRequest, 'allowStages' | 'allowConfigs'>;
  readonly #configs = new Configs();

  constructor(request: Pick<PlanRequest, 'allowStages' | 'allowConfigs'>) {
    this.#request = request;
  }

  /** @param draft an output; what is said of its configuration is about a folder, which alone has one */
  async check({ output: { path }, kind, inputs, schedule, siblings }: DraftOfKin): Promise<Found> {
    const { allowStages, allowConfigs } = this.#request;
    const gives = (i: number): boolean => schedule.weights[i] !== 0;
    const conflicts = allowStages
      ? []
      : stageConflicts(
          path,
          inputs.filter((_, i) => gives(i)),
        );
    // A member of weight 0 gives nothing to the merge but, where it is the newest, its configuration.
    const members = inputs.filter((m, i) => gives(i) || m === inputs.at(-1)).map((m) => m.checkpoint);
    const configs = await this.#configs.compare({ members, siblings, published: kind === 'folder' }, { allowConfigs });
    return { conflicts: [...conflicts, ...configs.conflicts], warnings: configs.warnings };
  }
}

/** What of an output says who belongs together. */
interface DraftOfKin {
  readonly output: { readonly path: string };
  readonly kind: 'folder' | 'file';
  /** Oldest first. */
  readonly inputs: readonly PlacedInput[];
  /** Weights one a member. */
  readonly schedule: { readonly weights: Float64Array };
  readonly siblings: boolean;
}

/** What stands in the way of a merge, and what there is to say of it. */
interface Found {
  readonly conflicts: readonly Conflict[];
  readonly warnings: readonly Warning[];
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
  /** The output has a configuration. */
  readonly published: boolean;
}

/** Reads each config.json once, however many outputs its checkpoint is in. */
class Configs {
  readonly #texts = new Map<Checkpoint, Promise<ConfigText>>();

  /**
   * Where the configurations of an output's members differ from the newest one's: one conflict for each other
   * configuration, naming the differing keys with both values. Checkpoints without config.json are passed
   * over, but where the newest is the one that has none.
   *
   * @param options with `allowConfigs` nothing is compared
   */
  async compare({ members, siblings, published }: ConfigSet, options: { readonly allowConfigs: boolean | undefined }): Promise<Found> {
    const found = await Promise.all(members.map(async (checkpoint) => ({ checkpoint, ...(await this.#text(checkpoint)) })));
    const newest = found.findLast((f) => f.text !== null);
    const warnings = newest === undefined || !published ? [] : withoutConfig(members.at(-1)!, found.at(-1)!, newest.checkpoint);
    if (options.allowConfigs) return { conflicts: [], warnings };
    // What cannot be read at all may say anything; what can be read is compared.
    const unreadable = found.flatMap(({ text, fault }) => (text === null && fault !== null ? [fault] : []));
    if (unreadable.length > 0 || newest === undefined) return { conflicts: unreadable, warnings };
    if (newest.fault !== null) return { conflicts: [newest.fault], warnings };
    const seen = new Set([newest.text]);
    const conflicts: Conflict[] = [];
    const assumed = new Map<string, Warning>();
    const told = new Map<string, Warning>();
    for (const { checkpoint, text } of found.toReversed()) {
      if (text === null || seen.has(text)) continue;
      seen.add(text);
      const compared = compareConfigs(newest.text!, text);
      const differing = compared.differing.filter(({ key }) => {
        const last = key.split('.').at(-1)!;
        return !(siblings && /(^|_)seed$/.test(last));
      });
      if (differing.length + compared.assumed.length + compared.told.length === 0) continue;
      const file = join(checkpoint.path, 'config.json');
      const outside = await firstOutside([join(newest.checkpoint.path, 'config.json'), file]);
      const of = `${newest.checkpoint.path} and ${checkpoint.path}`;
      if (differing.length > 0) {
        const message = `the configurations of ${of} differ: ${outside ?? shown(differing)}`;
        conflicts.push({ code: 'E_CONFIG_DIFFERS', message, file });
        continue;
      }
      const words = compared.told.map(({ key }) => key).join();
      if (words !== '' && !told.has(words)) {
        const message = `the configurations of ${of} differ in where generation begins or ends: ${outside ?? shown(compared.told)}; the merge has the newest's: look whether that is the one meant, and whether the tokenizer changed with it`;
        told.set(words, { code: 'W_CONFIG_KEYS', message });
      }
      if (compared.assumed.length > 0) {
        // Members of one version lack the same keys.
        const keys = compared.assumed.map(({ key }) => key).join();
        const how = outside ?? shown(compared.assumed);
        const message = `the configurations of ${of} are of different versions of transformers, and one alone has some keys, taken for what the other leaves out: ${how}; where it is not, they are of different models`;
        if (!assumed.has(keys)) assumed.set(keys, { code: 'W_CONFIG_KEYS', message });
      }
    }
    return { conflicts, warnings: [...warnings, ...assumed.values(), ...told.values()] };
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

/** A merge has the configuration of its newest member. */
function withoutConfig(newest: Checkpoint, { text, fault }: ConfigText, has: Checkpoint): Warning[] {
  if (newest.kind !== 'folder' || text !== null || fault !== null) return [];
  const file = join(has.path, 'config.json');
  const message = `${newest.path} has no config.json, so the merge has none, and nothing loads it without; ${file} is the newest there is: copy it beside the merge`;
  return [{ code: 'W_NO_CONFIG', message }];
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

function shown(differing: readonly KeyDifference[]): string {
  const some = differing.slice(0, SHOWN).map(({ key, a, b }) => `${key} is ${a} and ${b}`);
  return `${some.join('; ')}${differing.length > SHOWN ? `; and ${differing.length - SHOWN} more` : ''}`;
}
