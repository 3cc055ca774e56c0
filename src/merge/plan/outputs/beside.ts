import { isUtf8 } from 'node:buffer';
import { basename, join } from 'node:path';
import type { FloatDtypeName } from '../../../base/dtype.ts';
import { type Conflict, MergeError, type Warning } from '../../../base/errors.ts';
import { pythonJsonOrNone } from '../../../base/json/parse.ts';
import { worded } from '../../../base/option-words.ts';
import { readExactly } from '../../../base/store/store.ts';
import { isWrittenBeside } from '../../../checkpoints/containers/dcp/template.ts';
import { type FoundFile, lookAt, openFound, resolveWithin } from '../../../checkpoints/link-ground.ts';
import {
  groundOf,
  type LeftFile,
  leftOutside,
  type SideFile,
  type SideFileOptions,
  type SideFiles,
  sideFiles,
} from '../../../checkpoints/side-files.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { quantisationConfig } from '../../../model/quantised/config.ts';
import { readModelConfig } from '../../../model/roles/model-config.ts';
import type { OutputFormat } from '../../../recipe/types.ts';
import { rewriteConfigDtype, withoutQuantisation } from '../../record/config-dtype.ts';
import type { DraftOutput } from '../inputs/drafts.ts';
import { type KeptState, startState } from '../inputs/merged-start.ts';
import type { OutputConfig } from '../inputs/naming.ts';
import type { EditedFile, PlanOutput } from '../types.ts';

/** Far beyond any configuration; all its tokens are held while it is edited. */
const CONFIG_LIMIT = 2 ** 24;
/** What is taken of a README stands at its top. */
const README_LIMIT = 2 ** 18;
/** Links that a warning names. */
const SHOWN = 20;
/** Without these a folder is no model that a library loads. */
const NEEDED = /^(config\.json|tokenizer.*|vocab\.(json|txt)|merges\.txt|.*\.py)$/;

/** Why files stay that may be a trainer's. */
const OF_TRAINER = /^(training state|says how far training was|weights or state|not known to belong to the model|a folder)$/;

/** What an output has beside its tensors; of a single file nothing. */
export type FilesBeside = Pick<PlanOutput, 'sideFiles' | 'left' | 'edited' | 'config' | 'sourceReadme'>;

/** The same, and what there is to say of it. */
export interface Beside {
  readonly files: FilesBeside;
  /** Of a container that has a place for the trainer's state, what is kept of it; null of others. */
  readonly kept: KeptState | null;
  readonly warnings: readonly Warning[];
  readonly conflicts: readonly Conflict[];
}

/** What lies beside the newest members of outputs, of each looked for once: many outputs of a grid end at one. */
export class BesideNewest {
  readonly options: Pick<SideFileOptions, 'followLinks' | 'floats'>;
  readonly #files = new Map<Checkpoint, Promise<SideFiles>>();
  readonly #readmes = new Map<Checkpoint, ReturnType<typeof readmeOf>>();

  constructor(options: Pick<SideFileOptions, 'followLinks' | 'floats'>) {
    this.options = options;
  }

  files(newest: Checkpoint): Promise<SideFiles> {
    return onceFor(newest, this.#files, () => sideFiles(newest, this.options));
  }

  readme(newest: Checkpoint): ReturnType<typeof readmeOf> {
    return onceFor(newest, this.#readmes, () => readmeOf(newest.path, this.options));
  }
}

function onceFor<T>(newest: Checkpoint, known: Map<Checkpoint, Promise<T>>, look: () => Promise<T>): Promise<T> {
  const found = known.get(newest) ?? look();
  known.set(newest, found);
  return found;
}

/**
 * Finds and opens all that publishing an output will read: side files, training state, the configuration that
 * is to be rewritten, the front matter of the README. What cannot be had is found out before any work.
 * @param form of its weights: plain floats, and those where the layout is quantised
 * @throws MergeError E_NOT_READABLE, E_TOO_MANY_FILES, E_IO of the newest member's folder
 */
export async function besideOutput(
  { output, kind, own, layout }: Pick<DraftOutput, 'output' | 'kind' | 'own' | 'layout'>,
  form: { readonly floats: boolean; readonly dequantised: boolean },
  besides: BesideNewest,
  { config, format }: { readonly format: OutputFormat; readonly config?: OutputConfig | undefined },
): Promise<Beside> {
  const newest = own.at(-1)!;
  const start = await startState(output, kind, newest, { followLinks: besides.options.followLinks, format });
  if (kind === 'file') return { files: NOTHING, kept: start.kept, warnings: start.warnings, conflicts: start.conflicts };
  const found = await besides.files(newest);
  const { left, faults } = found;
  const copied = config === undefined ? found.copied : found.copied.filter(({ name }) => name !== 'config.json');
  const readme = newest.kind === 'file' ? null : await besides.readme(newest);
  const edited = await editedFiles(copied, output.dtype ?? 'same', form.dequantised);
  const started = new Set(start.files.map(({ name }) => name.split('/')[0]!));
  const behind = left.filter(({ name, reason }) => OF_TRAINER.test(reason) && !started.has(name) && !isWrittenBeside(name));
  const kept = start.kept && { ...start.kept, left: [...new Set([...start.kept.left, ...behind.map(({ name }) => name)])].sort() };
  const links = [...left, ...start.left, ...(readme?.left ?? [])].filter(({ leadsTo }) => leadsTo !== undefined);
  const stays = left.filter(({ name }) => !links.some((link) => link.name === name) && !started.has(name));
  return {
    kept,
    files: {
      sideFiles: [...copied.filter(({ name }) => !start.files.some((file) => file.name === name)), ...start.files],
      left: [...stays, ...links].sort((a, b) => (a.name < b.name ? -1 : 1)),
      edited: edited.filter((file): file is EditedFile => !(file instanceof MergeError)),
      config: config?.text ?? null,
      sourceReadme: readme?.text ?? null,
    },
    warnings: [
      ...(config?.warnings ?? []),
      ...(links.length === 0 ? [] : [linksLeft(output.path, newest.path, links)]),
      ...outdatedLeft(output.path, newest.path, left),
      ...(form.floats || layout === newest ? [] : await unsaidQuantisation(output.path, newest, layout)),
      ...start.warnings,
    ],
    conflicts: [...[...faults, ...edited.filter((file) => file instanceof MergeError)].map(asConflict), ...start.conflicts],
  };
}

const NOTHING: FilesBeside = { sideFiles: [], left: [], edited: [], config: null, sourceReadme: null };

/** Files that say of the weights what is not so any more. */
async function editedFiles(
  copied: readonly SideFile[],
  dtype: FloatDtypeName | 'same',
  dequantised: boolean,
): Promise<(EditedFile | MergeError)[]> {
  if (dtype === 'same' && !dequantised) return [];
  const edited: (EditedFile | MergeError)[] = [];
  for (const file of copied) {
    // Mistral's form of a configuration has no dtype.
    if (file.name !== 'config.json' && !(dequantised && file.name === 'params.json')) continue;
    edited.push(await editedFile(file, dtype, dequantised));
  }
  return edited;
}

async function editedFile(file: SideFile, dtype: FloatDtypeName | 'same', dequantised: boolean): Promise<EditedFile | MergeError> {
  const { name, path, size } = file;
  const refused = (why: string): MergeError =>
    new MergeError('E_CONFIG_UNREADABLE', `${path} ${why}, and what it says of the weights is to be changed`, { details: { file: path } });
  if (size > CONFIG_LIMIT) return refused(`has ${size} bytes, more than any configuration`);
  const bytes = await beginning(file, CONFIG_LIMIT);
  // Whatever else is in it, the rest of its bytes is to stay.
  if (!isUtf8(bytes) || pythonJsonOrNone(bytes.toString()) === undefined) return refused('is no JSON text');
  const given = bytes.toString();
  const { text, changed } = dtype === 'same' ? { text: given, changed: [] } : rewriteConfigDtype(given, dtype);
  const plain = dequantised ? withoutQuantisation(text) : { text, removed: [] };
  return {
    name,
    text: plain.text,
    changes: [
      ...(changed.length > 0 ? [`${name}: ${changed.join(', ')}`] : []),
      ...(plain.removed.length > 0 ? [`${name} without ${plain.removed.join(', ')}`] : []),
    ],
  };
}

/** The README, of which the card takes something; it does without one that cannot be read. */
async function readmeOf(folder: string, { followLinks = false }: SideFileOptions): Promise<{ text?: string; left: readonly LeftFile[] }> {
  const path = join(folder, 'README.md');
  try {
    const within = await resolveWithin(path, await groundOf(folder, followLinks));
    if ('leadsTo' in within) return { left: [leftOutside('README.md', within)] };
    return { text: (await beginning(await lookAt(path, within.real), README_LIMIT)).toString(), left: [] };
  } catch {
    return { left: [] };
  }
}

/** Up to so many bytes of a file. */
async function beginning(found: FoundFile, limit: number): Promise<Buffer> {
  const file = await openFound(found);
  try {
    const bytes = Buffer.alloc(Math.min(found.size, limit));
    await readExactly(file, bytes, 0);
    return bytes;
  } finally {
    await file.close();
  }
}

/** One warning for all of them: side files that are links mostly all are. */
function linksLeft(output: string, newest: string, links: readonly LeftFile[]): Warning {
  const where = fewOf(links.map(({ name, leadsTo }) => `${name} (to ${leadsTo})`));
  const needed = links.filter(({ name }) => NEEDED.test(basename(name))).map(({ name }) => name);
  const without = needed.length === 0 ? '' : `; the merge may not load without ${fewOf(needed)}`;
  const message = worded`${newest}: links that lead outside the checkpoint and its run are left out of ${output}: ${where}${without}; --follow-links takes what they lead to`;
  return { code: 'W_LINK_LEFT', message };
}

/** Files that would make a library read the weights as what they are not. */
function outdatedLeft(output: string, newest: string, left: readonly LeftFile[]): Warning[] {
  const names = left.filter(({ outdated }) => outdated).map(({ name }) => name);
  if (names.length === 0) return [];
  const what = names.length === 1 ? 'it says' : 'they say';
  const message = `${newest}: ${fewOf(names)} left out of ${output}: ${what} how weights are quantised, and those of the merge are plain floats`;
  return [{ code: 'W_FILE_LEFT', message }];
}

/** A layout (--like) whose configuration says how its weights are quantised, while that of the merge does not. */
async function unsaidQuantisation(output: string, newest: Checkpoint, layout: Checkpoint): Promise<Warning[]> {
  const [said, of] = await Promise.all([newest, layout].map(async (c) => quantisationConfig(await readModelConfig(c))));
  if (of?.stored !== true || said?.stored === true) return [];
  const message = `${output} is quantised as ${layout.path} is, and the config.json it takes from ${newest.path} does not say so: nothing reads its weights right until quantization_config of ${join(layout.path, 'config.json')} is written into it`;
  return [{ code: 'W_CONFIG_QUANTISED', message }];
}

/** A list for a sentence; the plan as a document has all. */
function fewOf(texts: readonly string[]): string {
  return `${texts.slice(0, SHOWN).join(', ')}${texts.length > SHOWN ? ` and ${texts.length - SHOWN} more` : ''}`;
}

function asConflict({ code, message, details }: MergeError): Conflict {
  return { code, message, ...(details.file === undefined ? {} : { file: details.file }) };
}
