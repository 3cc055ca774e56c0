import { basename, join } from 'node:path';
import type { FloatDtypeName } from '../../../base/dtype.ts';
import { type Conflict, MergeError, type Warning } from '../../../base/errors.ts';
import { readExactly } from '../../../base/store/store.ts';
import { type FoundFile, lookAt, openFound, resolveWithin } from '../../../checkpoints/link-ground.ts';
import { groundOf, type LeftFile, leftOutside, type SideFile, type SideFileOptions, sideFiles } from '../../../checkpoints/side-files.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { rewriteConfigDtype, withoutQuantisation } from '../../record/config-dtype.ts';
import { startState } from '../inputs/merged-start.ts';
import type { OutputRequest, PlanOutput } from '../types.ts';

/** Far beyond any configuration; all its tokens are held while it is edited. */
const CONFIG_LIMIT = 2 ** 24;
/** What is taken of a README stands at its top. */
const README_LIMIT = 2 ** 18;
/** Links that a warning names. */
const SHOWN = 20;
/** Without these a folder is no model that a library loads. */
const NEEDED = /^(config\.json|tokenizer.*|vocab\.(json|txt)|merges\.txt|.*\.py)$/;

/** What an output has beside its tensors; of a single file nothing. */
export type FilesBeside = Pick<PlanOutput, 'sideFiles' | 'left' | 'config' | 'sourceReadme'>;

/** The same, and what there is to say of it. */
export interface Beside {
  readonly files: FilesBeside;
  readonly warnings: readonly Warning[];
  readonly conflicts: readonly Conflict[];
}

/**
 * Finds and opens all that publishing an output will read: side files, training state, the configuration that
 * is to be rewritten, the front matter of the README. What cannot be had is found out before any work.
 * @param dequantised whether the output has plain floats where the layout is quantised
 * @throws MergeError E_NOT_READABLE, E_TOO_MANY_FILES, E_IO of the newest member's folder
 */
export async function besideOutput(
  { output, kind, own }: { readonly output: OutputRequest; readonly kind: 'folder' | 'file'; readonly own: readonly Checkpoint[] },
  dequantised: boolean,
  options: SideFileOptions,
): Promise<Beside> {
  const newest = own.at(-1)!;
  const start = await startState(output, kind, newest, options);
  if (kind === 'file') return { files: NOTHING, warnings: start.warnings, conflicts: start.conflicts };
  const { copied, left, faults } = await sideFiles(newest, options);
  const readme = newest.kind === 'file' ? null : await readmeOf(newest.path, options);
  const edited = await editedConfig(copied, output.dtype ?? 'same', dequantised);
  const links = [...left, ...start.left, ...(readme?.left ?? [])].filter(({ leadsTo }) => leadsTo !== undefined);
  return {
    files: {
      sideFiles: [...copied, ...start.files],
      left: [...left.filter(({ name }) => !links.some((link) => link.name === name)), ...links].sort((a, b) => (a.name < b.name ? -1 : 1)),
      config: edited instanceof MergeError ? null : edited,
      sourceReadme: readme?.text ?? null,
    },
    warnings: [...(links.length === 0 ? [] : [linksLeft(output.path, newest.path, links)]), ...start.warnings],
    conflicts: [...[...faults, ...(edited instanceof MergeError ? [edited] : [])].map(asConflict), ...start.conflicts],
  };
}

const NOTHING: FilesBeside = { sideFiles: [], left: [], config: null, sourceReadme: null };

/** Null where there is none, or nothing to change in it. */
async function editedConfig(
  copied: readonly SideFile[],
  dtype: FloatDtypeName | 'same',
  dequantised: boolean,
): Promise<PlanOutput['config'] | MergeError> {
  const file = copied.find(({ name }) => name === 'config.json');
  if (file === undefined || dtype === 'same') return null;
  if (file.size > CONFIG_LIMIT) {
    const message = `${file.path} has ${file.size} bytes, more than any configuration, and its dtype is to be changed`;
    return new MergeError('E_CONFIG_UNREADABLE', message, { details: { file: file.path } });
  }
  const { text, changed } = rewriteConfigDtype(await beginning(file, CONFIG_LIMIT), dtype);
  const plain = dequantised ? withoutQuantisation(text) : { text, removed: [] };
  return {
    text: plain.text,
    changes: [
      ...(changed.length > 0 ? [`config.json: ${changed.join(', ')}`] : []),
      ...(plain.removed.length > 0 ? [`config.json without ${plain.removed.join(', ')}`] : []),
    ],
  };
}

/** The README, of which the card takes something; it does without one that cannot be read. */
async function readmeOf(folder: string, { followLinks = false }: SideFileOptions): Promise<{ text?: string; left: readonly LeftFile[] }> {
  const path = join(folder, 'README.md');
  try {
    const within = await resolveWithin(path, await groundOf(folder, followLinks));
    if ('leadsTo' in within) return { left: [leftOutside('README.md', within)] };
    return { text: await beginning(await lookAt(path, within.real), README_LIMIT), left: [] };
  } catch {
    return { left: [] };
  }
}

/** Up to so many bytes of a file as text. */
async function beginning(found: FoundFile, limit: number): Promise<string> {
  const file = await openFound(found);
  try {
    const bytes = Buffer.alloc(Math.min(found.size, limit));
    await readExactly(file, bytes, 0);
    return bytes.toString();
  } finally {
    await file.close();
  }
}

/** One warning for all of them: side files that are links mostly all are. */
function linksLeft(output: string, newest: string, links: readonly LeftFile[]): Warning {
  const where = fewOf(links.map(({ name, leadsTo }) => `${name} (to ${leadsTo})`));
  const needed = links.filter(({ name }) => NEEDED.test(basename(name))).map(({ name }) => name);
  const without = needed.length === 0 ? '' : `; the merge may not load without ${fewOf(needed)}`;
  const message = `${newest}: links that lead outside the checkpoint and its run are left out of ${output}: ${where}${without}; --follow-links takes what they lead to`;
  return { code: 'W_LINK_LEFT', message };
}

/** A list for a sentence; the plan as a document has all. */
function fewOf(texts: readonly string[]): string {
  return `${texts.slice(0, SHOWN).join(', ')}${texts.length > SHOWN ? ` and ${texts.length - SHOWN} more` : ''}`;
}

function asConflict({ code, message, details }: MergeError): Conflict {
  return { code, message, ...(details.file === undefined ? {} : { file: details.file }) };
}
