import { basename, join } from 'node:path';
import type { FloatDtypeName } from '../../../base/dtype.ts';
import { MergeError, type Warning } from '../../../base/errors.ts';
import type { JsonObject } from '../../../base/json/parse.ts';
import { optionName, optionWith, worded } from '../../../base/option-words.ts';
import { readWhole } from '../../../base/store/store.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { fitOf, renamed } from '../../../model/names/apply.ts';
import { factsOfConfig, type ModelFacts, NO_FACTS } from '../../../model/names/facts.ts';
import { type FrameworkConfig, megatronConfig, olmoCoreConfig } from '../../../model/names/framework-config.ts';
import type { NamesTable } from '../../../model/names/types.ts';
import { parseConfig, readModelConfig } from '../../../model/roles/model-config.ts';
import { builtInTables, readNames } from '../../../recipe/names/read.ts';
import { HF_NAMES, type OutputFormat } from '../../../recipe/types.ts';
import { rewriteConfigDtype } from '../../record/config-dtype.ts';
import type { RecordedNames } from '../../record/provenance.ts';
import type { PlanRequest } from '../types.ts';

/** Names of a million classes fit well. */
const MAX_CONFIG_BYTES = 2 ** 26;

/** A configuration that the user named. */
interface GivenConfig {
  readonly path: string;
  readonly text: string;
  readonly config: JsonObject;
}

/** The configuration of an output whose tensors have other names. */
export interface OutputConfig {
  /** Null where not all of it is known: then none is written. */
  readonly text: string | null;
  readonly warnings: readonly Warning[];
}

/** What is known of a checkpoint beside its tensors. */
interface Known {
  readonly facts: ModelFacts;
  /** As transformers has it; null where its own config.json is that, or there is none. */
  readonly config: JsonObject | null;
  readonly framework: FrameworkConfig | null;
}

/** The names that a merge has asked for: every checkpoint that is opened is seen under them. */
export class Naming {
  readonly #asked: string;
  readonly #tables: readonly NamesTable[];
  readonly #given: GivenConfig | null;
  readonly #known = new Map<string, Known>();
  #used: { readonly table: NamesTable; readonly facts: ModelFacts; readonly by: string } | null = null;

  private constructor(asked: string, tables: readonly NamesTable[], given: GivenConfig | null) {
    this.#asked = asked;
    this.#tables = tables;
    this.#given = given;
  }

  /**
   * Null where a merge keeps the names that its members have.
   * @throws MergeError E_OPTION where other options do not go with it; E_NAMES; E_CONFIG_UNREADABLE; what reading
   *   the files throws
   */
  static async of({ names, config, format = 'safetensors', outputs }: NamesRequest): Promise<Naming | null> {
    if (names === undefined) {
      if (config === undefined) return null;
      throw new MergeError(
        'E_OPTION',
        `${optionName('config')} is the configuration of tensors under other names, and goes with ${optionName('names')}`,
      );
    }
    const option = optionWith('names', names);
    const resumed = outputs.find((output) => output.for === 'resume');
    if (resumed !== undefined) {
      const help = 'A trainer goes on from its own names: make the two outputs one by one.';
      throw new MergeError('E_OPTION', `${resumed.path}: ${option} is for evaluation, and not for ${optionWith('for', 'resume')}`, {
        help,
      });
    }
    const master = outputs.find((output) => output.weightsFrom === 'master');
    if (master !== undefined) {
      const help = worded`Make them of the model; or write a checkpoint with --for resume first, and give that other names.`;
      throw new MergeError(
        'E_OPTION',
        `${master.path}: ${option} is about the tensors of the model, and not for ${optionWith('weightsFrom', 'master')}`,
        { help },
      );
    }
    const tables = names === HF_NAMES ? await builtInTables() : [await readNames(names)];
    const naming = new Naming(names, tables, config === undefined ? null : await readGiven(config));
    naming.checkFormat(format);
    return naming;
  }

  /** @throws MergeError E_OPTION for another container than that of transformers */
  checkFormat(format: OutputFormat): void {
    if (format === 'safetensors') return;
    const help = 'A trainer finds its tensors by its own names: leave one of the two out.';
    throw new MergeError('E_OPTION', `${optionWith('names', this.#asked)} makes safetensors, and not ${optionWith('format', format)}`, {
      help,
    });
  }

  /**
   * A checkpoint under the names that were asked for; one that has them already is as it was.
   * @throws MergeError E_NAMES_UNFIT
   */
  async name(checkpoint: Checkpoint): Promise<Checkpoint> {
    if (checkpoint.namesPerFile) throw unfit(checkpoint, 'its tensors are known by their files, and a table is about names');
    const fits = this.#tables.map((table) => ({ table, ...fitOf(checkpoint, table) }));
    if (fits.some(({ kind }) => kind === 'targets')) return checkpoint;
    const known = await this.#knownOf(checkpoint);
    const table = this.#asked === HF_NAMES ? this.#builtIn(checkpoint, fits, known) : this.#tables[0]!;
    const facts = { ...known.facts, sizes: new Map([...known.facts.sizes, ...table.sizes]) };
    const seen = renamed(checkpoint, table, facts);
    this.#agree(checkpoint, table, facts);
    this.#known.set(checkpoint.path, known);
    return known.config === null ? seen : { ...seen, config: known.config };
  }

  /** What provenance says of it. */
  get record(): RecordedNames {
    const { table, facts } = this.#used ?? { table: null, facts: NO_FACTS };
    return {
      asked: this.#asked === HF_NAMES ? HF_NAMES : basename(this.#asked),
      table: table === null ? null : { name: table.name, digest: table.digest, content: table.content },
      sizes: Object.fromEntries(facts.sizes),
      model: facts.model,
    };
  }

  /**
   * The config.json of an output; undefined where that of its newest member does.
   * @param newest of its members
   * @param dtype of its floats
   */
  configOf(output: string, newest: Checkpoint, dtype: FloatDtypeName | 'same'): OutputConfig | undefined {
    const as = (text: string): string => (dtype === 'same' ? text : rewriteConfigDtype(text, dtype).text);
    if (this.#given !== null) return { text: as(this.#given.text), warnings: [] };
    const framework = this.#known.get(newest.path)?.framework ?? null;
    if (framework === null) return undefined;
    if (framework.unknown.length === 0) {
      const stored = newest.shards[0]!.tensors.dtypes[0];
      const torch = stored === undefined ? undefined : TORCH_DTYPES[newest.shards[0]!.tensors.info(0).dtype];
      return {
        text: as(`${JSON.stringify({ ...framework.config, ...(torch !== undefined && { dtype: torch }) }, null, 2)}\n`),
        warnings: [],
      };
    }
    const message = worded`${output} has no config.json, and transformers does not load it without: ${newest.path} says of the model all but what it needs (${framework.unknown.join('; ')}); --config takes one that you have written`;
    return { text: null, warnings: [{ code: 'W_NO_CONFIG', message }] };
  }

  #builtIn(
    checkpoint: Checkpoint,
    fits: readonly { table: NamesTable; kind: string; count: number }[],
    { facts, framework }: Known,
  ): NamesTable {
    const most = Math.max(...fits.map(({ count }) => count));
    const near = fits.filter(({ kind, count }) => kind === 'sources' && count === most).map(({ table }) => table);
    const [first] = near;
    if (first === undefined) {
      const { tensors } = checkpoint.shards[0]!;
      throw unfit(
        checkpoint,
        `no table of ${HF_NAMES} has names for it: ${tensors.names[0] ?? 'it holds no tensors'} has no rule in ${this.#tables.map(({ name }) => name).join(', ')}`,
        {
          help: worded`Leave --names out: its tensors keep their names. Or write a names file: docs/names.md says how, and merge names prints those that there are.`,
        },
      );
    }
    const types = near.flatMap(({ models = [] }) => models);
    if (facts.model === null) {
      throw unfit(checkpoint, `its tensors are those of ${first.name}, and nothing says which model they are: which type, how many heads`, {
        help: worded`Name with --config the config.json that transformers is to have for it; model_type is one of ${types.join(', ')}.`,
      });
    }
    const table = near.find(({ models }) => models?.includes(facts.model!) ?? true);
    if (table === undefined) {
      throw unfit(
        checkpoint,
        `its tensors are those of ${first.name}, and ${facts.said} says model_type ${facts.model}, for which there are no names: there are some for ${types.join(', ')}`,
      );
    }
    const foreign =
      framework === null || (this.#given !== null && framework.config.model_type !== facts.model && table.name !== 'megatron')
        ? []
        : framework.foreign;
    if (foreign.length > 0) {
      throw unfit(checkpoint, `it is no model that transformers has under the names of ${table.name}: ${foreign.join('; ')}`, {
        help: worded`Leave --names out: its tensors keep their names. Where you know better, write a names file of your own, beginning with merge names ${table.name}.`,
      });
    }
    return table;
  }

  async #knownOf(checkpoint: Checkpoint): Promise<Known> {
    const own = await readModelConfig(checkpoint);
    const isHf = typeof own?.model_type === 'string';
    const args = (await checkpoint.arguments?.()) ?? null;
    const framework = isHf ? null : ((own === null ? null : olmoCoreConfig(own)) ?? (args === null ? null : megatronConfig(args)));
    const told = isHf
      ? factsOfConfig(own, join(checkpoint.path, 'config.json'))
      : framework === null
        ? NO_FACTS
        : factsOfConfig(
            framework.config,
            own === null ? `what ${checkpoint.path} says of its training` : join(checkpoint.path, 'config.json'),
          );
    if (this.#given === null) return { facts: told, config: framework?.config ?? null, framework };
    const { config, path } = this.#given;
    const facts = factsOfConfig(config, path);
    for (const [word, value] of told.sizes) {
      const here = facts.sizes.get(word);
      // A vocabulary may be padded.
      if (word === 'vocab_size' || here === undefined || here === value) continue;
      throw unfit(checkpoint, `${told.said} says ${word} ${value}, and ${path} says ${here}`);
    }
    for (const [key, value] of told.traits) {
      const here = facts.traits.get(key);
      if (here === undefined || here === value) continue;
      throw unfit(checkpoint, `${told.said} says ${key} ${decimal(value)}, and ${path} says ${decimal(here)}`, {
        help: worded`Another model would be loaded than the one that was trained: mend the file that --config names, or leave --config out where the trainer says all.`,
      });
    }
    return { facts, config, framework };
  }

  /** All members go by one table, and are of one model: a sum is of the same rows. */
  #agree(checkpoint: Checkpoint, table: NamesTable, facts: ModelFacts): void {
    this.#used ??= { table, facts, by: checkpoint.path };
    const { by, ...before } = this.#used;
    if (before.table !== table) {
      throw unfit(checkpoint, `its tensors are those of ${table.name}, and those of ${by} are of ${before.table.name}`, {
        help: worded`Convert them one by one, with merge convert --names, and merge what comes of it.`,
      });
    }
    const differs = [...facts.sizes].find(([word, value]) => (before.facts.sizes.get(word) ?? value) !== value);
    if (before.facts.model !== facts.model)
      throw unfit(checkpoint, `it is a model of type ${facts.model}, and ${by} one of type ${before.facts.model}`);
    if (differs !== undefined)
      throw unfit(checkpoint, `it has ${differs[0]} ${differs[1]}, and ${by} has ${before.facts.sizes.get(differs[0])}`);
  }
}

type NamesRequest = Pick<PlanRequest, 'names' | 'config' | 'format' | 'outputs'>;

/** As people write it: 0.00001, not 1e-5. */
const decimal = (value: number | boolean): string =>
  typeof value === 'number' ? value.toLocaleString('en', { useGrouping: false, maximumFractionDigits: 12 }) : String(value);

const TORCH_DTYPES: Readonly<Record<string, string>> = { BF16: 'bfloat16', F16: 'float16', F32: 'float32', F64: 'float64' };

function unfit({ path }: Pick<Checkpoint, 'path'>, what: string, { help }: { readonly help?: string } = {}): MergeError {
  return new MergeError('E_NAMES_UNFIT', `${path}: ${what}`, { details: { file: path }, ...(help !== undefined && { help }) });
}

async function readGiven(path: string): Promise<GivenConfig> {
  const text = (await readWhole(path, MAX_CONFIG_BYTES)).toString();
  const config = parseConfig(text);
  const wrong = config === null ? 'is no JSON object' : typeof config.model_type !== 'string' ? 'says no model_type' : null;
  if (wrong === null) return { path, text, config: config! };
  throw new MergeError('E_CONFIG_UNREADABLE', `${path} ${wrong}, so it is no config.json of transformers`, { details: { file: path } });
}
