import { basename, join, relative } from 'node:path';
import { MergeError } from '../base/errors.ts';
import { foreignContainerOf } from './containers/all.ts';
import { areForeign, foreignError, foreignName } from './containers/foreign.ts';
import { OpenCache } from './containers/open-cache.ts';
import type { FolderEntries, Found } from './containers/types.ts';
import { hubRepository, snapshotFolders } from './hub.ts';
import { positionFromName, reasonAgainstName } from './names.ts';
import { namesTogether } from './sibling-names.ts';
import { isTrainingState } from './training-state.ts';

/** Names that a message shows. */
const SHOWN = 3;

/** Checkpoints of a run that are tried for one to name. */
const TRIED = 8;

/**
 * What a path is that no container can read, and what to do: a run or the folder of several, a model in the
 * Hub's cache, a checkpoint of another form, or nothing of the kind.
 * @param inner checkpoints that lie deeper in it
 * @param open throws for what cannot be read, so that it is not named
 */
export async function notACheckpoint(
  found: Found,
  inner: readonly string[],
  open: (path: string) => Promise<unknown>,
): Promise<MergeError> {
  const { path, entries } = found;
  if (entries === null) return noFile(path);
  return (await cachedModel(found)) ?? (await run(found, inner, open)) ?? (await foreign(found)) ?? nothing(path, entries, inner);
}

/** Several checkpoints inside the folder of a step, and nothing that says which is meant. */
export function severalInside(path: string, inner: readonly string[]): MergeError {
  const names = inner.map((other) => relative(path, other));
  return new MergeError('E_AMBIGUOUS', `${path}: holds several checkpoints: ${listed(names)}`, {
    details: { file: path, candidates: inner },
    help: `Name the one that is meant, as ${inner[0]}; of a whole run with a pattern, as RUN/*/${names[0]}.`,
  });
}

function fail(path: string, problem: string, help?: string): MergeError {
  return new MergeError('E_NO_CHECKPOINT', `${path}: ${problem}`, { details: { file: path }, ...(help !== undefined && { help }) });
}

function noFile(path: string): MergeError {
  const known = foreignName(basename(path));
  if (known !== null) return foreignError(path, 'a file', known);
  const ofIndex = basename(path).endsWith('.index.json');
  return fail(
    path,
    'is neither a folder nor a file of weights by its name',
    ofIndex ? 'Name the folder that holds the index.' : 'Name a folder, or a file ending in .safetensors, .pt, .pth, .bin or .ckpt.',
  );
}

async function cachedModel({ path, entries }: Found): Promise<MergeError | null> {
  const repository = await hubRepository(path);
  if (repository !== null) {
    return fail(path, "is a model's folder in the Hub's cache, not a checkpoint", snapshotHelp(await snapshotFolders(repository)));
  }
  const models = [...entries!.keys()].filter((name) => name.startsWith('models--')).sort();
  if (models.length === 0) return null;
  return fail(
    path,
    `is a Hub cache (${listed(models)}), not a checkpoint`,
    `Name a revision in it, as ${join(path, models[0]!)}/snapshots/REVISION.`,
  );
}

/** Which folder to name of a model in the Hub's cache. */
export function snapshotHelp(paths: readonly string[]): string {
  return paths.length === 0 ? 'It holds no revision: download one, with `hf download`.' : `Name a revision of it: ${listed(paths, ' or ')}`;
}

/** A name without the ending that says that it is a file of weights; null for another. */
function stemOfWeights(name: string): string | null {
  return /^(.+)\.(?:safetensors|pt|pth|bin|ckpt)$/.exec(name)?.[1] ?? null;
}

/** The folder of a run, or of several: its folders, or theirs, are named by steps. */
async function run(found: Found, inner: readonly string[], open: (path: string) => Promise<unknown>): Promise<MergeError | null> {
  const { path, entries } = found;
  const names = [...entries!.keys()].sort();
  const own = positionFromName(basename(path))?.step ?? null;
  // Steps are folders, or files of weights.
  const isFile = (name: string): boolean => entries!.get(name) === true;
  const stems = names.flatMap((name) => (isFile(name) ? (stemOfWeights(name) ?? []) : [name]));
  const { positions, epochs } = namesTogether(stems);
  // The folders of epochs may be runs of their own.
  const epochOf = (stem: string): number | null => (inner.length > 0 ? (epochs.get(stem) ?? null) : null);
  const stepOf = (name: string): number | null => {
    const stem = isFile(name) ? stemOfWeights(name) : name;
    return stem === null ? null : (positions.get(stem)?.step ?? epochOf(stem));
  };
  const isStep = (name: string): boolean => stepOf(name) !== null && stepOf(name) !== own;
  if (areForeign(own === null ? names : await found.paths())) return null;
  const steps = names.filter(isStep).sort((a, b) => stepOf(a)! - stepOf(b)!);
  if (steps.length > 0) {
    const newest = await newestReadable(
      steps.filter((name) => !entries!.has(`${name}-unfinished`)).map((name) => join(path, name)),
      open,
    );
    const one = newest === null ? '' : `, as ${newest}`;
    const help = `Name one of its checkpoints${one}. \`merge ls ${path}\` lists them; \`merge average\` takes the run itself.`;
    return fail(path, `is the folder of a run (${listed(steps)}), not a checkpoint`, help);
  }
  const runs = new Set<string>();
  for (const below of await found.paths()) {
    const [folder = '', name] = below.split('/');
    if (name === undefined || folder.startsWith('.')) continue;
    const stem = stemOfWeights(name) ?? name;
    const step = positionFromName(stem)?.step ?? null;
    if (step !== null && !/\.\w*$/.test(stem) && step !== own) runs.add(folder);
  }
  if (runs.size === 0) return null;
  const which = [...runs].sort();
  const help = `Name a run of them, or one of its checkpoints: \`merge ls ${join(path, which[0]!)}\` lists those.`;
  return fail(path, `holds ${runs.size === 1 ? 'a run' : `${runs.size} runs`} (${listed(which)}) and is no checkpoint`, help);
}

/** A save in progress, and a file that was cut, are no examples. @param steps oldest first */
async function newestReadable(steps: readonly string[], open: (path: string) => Promise<unknown>): Promise<string | null> {
  for (const path of steps.slice(-TRIED).reverse()) {
    const readable =
      reasonAgainstName(basename(path)) === null &&
      (await open(path).then(
        () => true,
        () => false,
      ));
    if (readable) return path;
  }
  return null;
}

async function foreign(found: Found): Promise<MergeError | null> {
  const container = await foreignContainerOf(found);
  if (container === undefined) return null;
  return container.open(found, new OpenCache()).then(
    () => null,
    (error: unknown) => {
      if (error instanceof MergeError) return error;
      throw error;
    },
  );
}

function nothing(path: string, entries: FolderEntries, all: readonly string[]): MergeError {
  const [inner] = all;
  if ([...entries.keys()].every((name) => name.startsWith('.'))) return fail(path, 'the folder is empty');
  const state = [...entries.keys()].filter((name) => isTrainingState(name) && !name.endsWith('.json')).sort();
  if (inner === undefined && state.length > 0)
    return fail(path, `the folder holds the state of the training (${listed(state)}) and no weights`);
  if (all.length > 1) {
    const names = all.map((one) => relative(path, one)).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
    const help = `Name the one that is meant; to merge them name all, one by one and oldest first, or give them names such as checkpoint-100.`;
    return fail(path, `holds no safetensors file itself, and ${all.length} of its folders do (${listed(names)})`, help);
  }
  return inner === undefined
    ? fail(path, 'the folder holds no safetensors file')
    : fail(path, `the folder holds no safetensors file, and its folder ${relative(path, inner)} does`, `Name that: ${inner}`);
}

function listed(names: readonly string[], between = ', '): string {
  const shown = names.slice(0, SHOWN).join(between);
  return names.length > SHOWN ? `${shown} and ${names.length - SHOWN} more` : shown;
}
