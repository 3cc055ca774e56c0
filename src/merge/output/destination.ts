import type { Stats } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative } from 'node:path';
import { errnoOf } from '../../base/disk/errno.ts';
import { onOutput } from '../../base/disk/io-error.ts';
import { constants, SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { mountTable } from '../../base/machine/mounts.ts';
import { homeFolder } from '../../base/machine/user.ts';
import { NOT_UTF8, notHere } from '../../base/not-here.ts';
import { printable } from '../../render/format.ts';
import { lossOf, type Replaced } from './replaceable.ts';

const { fs } = SYSTEM;

/** Where an OUT really lies: symbolic links followed, `.` and `..` gone. */
export interface Destination {
  /** As given, for messages. */
  readonly output: string;
  readonly path: string;
  readonly parent: string;
  readonly name: string;
  /** Folders above `path` that do not exist, outermost first. */
  readonly missing: readonly string[];
}

type Occupant = 'none' | 'empty' | 'folder' | 'file';

function kindError(output: string, why: string, help?: string): MergeError {
  return new MergeError('E_OUTPUT_KIND', `the output ${output} ${why}`, {
    details: { file: output },
    ...(help === undefined ? {} : { help }),
  });
}

async function statOrNull(path: string, follow: boolean): Promise<Stats | null> {
  try {
    return await (follow ? fs.stat(path) : fs.lstat(path));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
}

/**
 * Resolves OUT the way the operating system would. A symbolic link is followed (a run's
 * `merged -> /scratch/merged` means the place on scratch); one that leads nowhere is refused, because what it
 * names is usually a disk that is not mounted.
 * @throws MergeError E_OUTPUT_KIND where OUT is `/`, a URL, no UTF-8, lies below a file or is a dangling link.
 */
export async function locate(output: string): Promise<Destination> {
  if (output === '') throw kindError('""', 'has no name');
  if (notHere(output) !== null)
    throw kindError(
      output,
      'is a URL, and files of this machine alone are written',
      'Name a folder of this machine, and upload it afterwards.',
    );
  if (output.includes(NOT_UTF8)) throw kindError(output, 'has a name that is not UTF-8', 'Name it in UTF-8.');
  const parts = (isAbsolute(output) ? output : join(await fs.realpath('.'), '/') + output).split('/');
  let path = '/';
  let missing: string[] = [];
  await onOutput('look up', output, async () => {
    for (const part of parts) {
      if (part === '' || part === '.') continue;
      if (part === '..') {
        path = dirname(path);
        missing = missing.filter((folder) => !folder.startsWith(path === '/' ? path : `${path}/`));
        continue;
      }
      const parentKind = missing.length > 0 ? null : await statOrNull(path, true);
      if (parentKind !== null && !parentKind.isDirectory()) throw kindError(output, `lies below ${path}, which is not a folder`);
      path = join(path, part);
      const entry = missing.length > 0 ? null : await statOrNull(path, false);
      if (entry === null) {
        missing.push(path);
      } else if (entry.isSymbolicLink()) {
        if ((await statOrNull(path, true)) === null) {
          const target = await fs.readlink(path);
          throw kindError(
            output,
            `runs through the link ${path}, and there is nothing at its target ${target}`,
            `Make the folder ${target} first, or name the place itself.`,
          );
        }
        path = await fs.realpath(path);
      }
    }
  });
  if (path === '/') throw kindError(output, 'is the root folder', 'Name a folder inside it.');
  return { output, path, parent: dirname(path), name: basename(path), missing: missing.filter((folder) => folder !== path) };
}

async function isMountPoint(path: string): Promise<boolean> {
  const [own, above] = await Promise.all([fs.stat(path), fs.stat(dirname(path))]);
  if (own.dev !== above.dev) return true;
  // A folder bound to another place of the same file system has its parent's device: only the table of mounts
  // knows.
  const table = await mountTable();
  const escaped = path.replace(/[ \t\n\\]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`);
  return table.split('\n').some((line) => line.split(' ')[4] === escaped);
}

async function occupantOf(destination: Destination): Promise<Occupant> {
  const entry = await statOrNull(destination.path, false);
  if (entry === null) return 'none';
  if (entry.isFile()) return 'file';
  if (!entry.isDirectory()) throw kindError(destination.output, 'is a device, a pipe or a socket');
  return (await fs.readdir(destination.path)).length === 0 ? 'empty' : 'folder';
}

function holds(folder: string, path: string): boolean {
  const rest = relative(folder, path);
  return rest === '' || (rest !== '..' && !rest.startsWith('../'));
}

/**
 * A folder is replaced by renaming it: that takes a right on it, which is better missed now than after hours
 * of work.
 */
async function checkReplaceable(destination: Destination): Promise<void> {
  const { output, path } = destination;
  if (await isMountPoint(path)) throw kindError(output, 'is a mount point, which cannot be replaced', 'Name a folder inside it.');
  if (holds(path, await fs.realpath('.'))) throw kindError(output, 'is or holds the current folder', 'Name a folder inside it.');
  const named = homeFolder();
  const home = named === null ? null : await fs.realpath(named).catch(() => null);
  if (home !== null && holds(path, home)) throw kindError(output, 'is or holds the home folder', 'Name a folder inside it.');
  await onOutput('replace', output, () => fs.access(path, constants.W_OK));
}

/**
 * Refuses an OUT that is in the way. An empty folder counts as absent; a folder is replaced only by a folder
 * and a file only by a file, only with `force`, and only what this program made or what looks like a
 * checkpoint.
 * @returns names of what would go with it and may be somebody's work
 * @throws MergeError E_OUTPUT_EXISTS, E_OUTPUT_KIND or E_READ_ONLY.
 */
export async function checkOccupant(
  destination: Destination,
  wanted: 'folder' | 'file' | 'page',
  force: boolean,
): Promise<readonly string[]> {
  const kind = wanted === 'folder' ? 'folder' : 'file';
  const { output } = destination;
  const occupant = await onOutput('look up', output, () => occupantOf(destination));
  if (occupant === 'none') return [];
  if (occupant === 'folder' || occupant === 'file') {
    if (!force) throw outputExists(output);
  }
  const found = occupant === 'file' ? 'file' : 'folder';
  if (found !== kind) throw kindError(output, `is a ${found}, and a ${kind} is to be made`, 'Remove it, or choose another output.');
  // It may go away meanwhile.
  if (found === 'folder') await onOutput('look at', output, () => checkReplaceable(destination));
  return occupant === 'empty' ? [] : checkLoss(output, destination.path, wanted);
}

/** How many names a message lists. */
const MOST_NAMES = 3;

/**
 * Refuses to replace what lies at `path` where something would be lost that no merge puts there.
 * @param output as given, for the message
 * @returns names of what would be lost and may be somebody's work @throws MergeError E_OUTPUT_KIND
 */
export async function checkLoss(output: string, path: string, wanted: Replaced): Promise<readonly string[]> {
  const { foreign, noted } = await onOutput('look into', output, () => lossOf(path, wanted));
  if (foreign.length === 0) return noted;
  if (wanted === 'page')
    throw kindError(output, 'is no page of this program, and is not replaced', 'Move it away, or choose another name.');
  if (wanted === 'file')
    throw kindError(
      output,
      'is neither a safetensors file nor one of torch.save, and is not replaced',
      'Move it away, or choose another output.',
    );
  throw kindError(
    output,
    `holds what no checkpoint has, and is not replaced: ${fewOf(foreign)}`,
    'Move away what is to be kept, remove the rest, or choose another output.',
  );
}

/** Names for a message: the first of them, and how many more there are. */
export function fewOf(names: readonly string[]): string {
  const more = names.length > MOST_NAMES ? ` and ${names.length - MOST_NAMES} more` : '';
  return `${names
    .slice(0, MOST_NAMES)
    .map((name) => printable(name))
    .join(', ')}${more}`;
}

/** E_OUTPUT_EXISTS for an OUT that is there, or that appeared while the merge ran. */
export function outputExists(output: string): MergeError {
  return new MergeError('E_OUTPUT_EXISTS', `the output ${output} exists`, { details: { file: output } });
}
