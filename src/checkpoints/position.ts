import { basename, dirname, join, parse, resolve } from 'node:path';
import type { Warning } from '../base/errors.ts';
import { storeOf } from '../base/store/store.ts';
import type { ContainedState, FolderEntries } from './containers/types.ts';
import {
  epochMentioned,
  FOLDERS_ABOVE,
  type NamedPlace,
  type NamedPosition,
  numbersFromName,
  placeFromPath,
  positionFromName,
} from './names.ts';
import { namesTogether } from './sibling-names.ts';
import { readTrainingState } from './states.ts';
import type { Position } from './types.ts';

const UNKNOWN: Position = { stage: null, ingredient: null, step: null, tokens: null };

interface Known {
  /** Name to go by, instead of the path's own. */
  readonly name?: string | undefined;
  /** What its name says among those of its siblings. */
  readonly position?: NamedPosition | undefined;
  /** What lies in the folder. */
  readonly entries?: FolderEntries | undefined;
  /** The folder of the step, where the checkpoint lies deeper in it. */
  readonly outer?: string | undefined;
  /** What the trainer's state inside the checkpoint says. */
  readonly state?: ContainedState | undefined;
}

/** Where a checkpoint stands, and whether its trainer will remove it. */
export interface FoundPosition extends Position {
  /** The state file that says so, or null. */
  readonly ephemeral: string | null;
  readonly warnings: readonly Warning[];
}

/**
 * Position of a checkpoint from its state files (see `readState`) and, for what they do not say, from the
 * name of the folder or file, or of the nearest folder above it that names a step (see `placeFromPath`);
 * state files of the folders between count, too. A `model.safetensors` is taken for its folder. Never throws:
 * what cannot be read is unknown, with a warning.
 */
export async function readPosition(path: string, isFolder: boolean, known: Known = {}): Promise<FoundPosition> {
  const ofFile = isFolder ? null : (known.position ?? positionFromName(known.name ?? parse(path).name));
  if (!isFolder && (ofFile !== null || basename(path) !== 'model.safetensors')) {
    const { step = null, tokens = null } = believed(known.state, ofFile, known.name ?? parse(path).name) ?? {};
    return {
      ...(ofFile ?? UNKNOWN),
      step: step ?? ofFile?.step ?? null,
      tokens: tokens ?? ofFile?.tokens ?? null,
      ephemeral: null,
      warnings: [],
    };
  }
  const folder = isFolder ? path : dirname(path);
  const ofName = known.name === undefined ? await positionOfFolder(folder) : positionFromName(known.name);
  const named = known.position ?? ofName ?? UNKNOWN;
  const { warnings, ...beside } = await stateOf(folder, known);
  const within = believed(known.state, ofName ?? known.position ?? null, known.name ?? basename(resolve(folder)));
  const file = beside.step === null ? within?.file : beside.file;
  const state = { ...beside, step: beside.step ?? within?.step ?? null, tokens: beside.tokens ?? within?.tokens ?? null };
  const differs = state.step !== null && named.step !== null && state.step !== named.step;
  // Where steps begin anew in every epoch, a state file says how many there are so far.
  const anew = (numbersFromName(known.name ?? checkpointName(folder))?.epoch ?? null) !== null && state.step! > named.step!;
  const message = `${file}: says step ${state.step}, the folder's name says ${named.step}; the file is believed`;
  return {
    stage: state.stage ?? named.stage,
    ingredient: named.ingredient,
    ...(named.epoch !== undefined && state.step === null && { epoch: named.epoch }),
    step: state.step ?? named.step,
    tokens: state.tokens ?? named.tokens,
    ephemeral: state.ephemeral,
    warnings: differs && !anew ? [...warnings, { code: 'W_TRAINER_STATE', message }] : warnings,
  };
}

/**
 * What the state inside says, as far as it is believed: a step under a key that may be any loop's counts where
 * no name gives a step, or an epoch that such a step may be one of.
 */
function believed(state: ContainedState | undefined, named: NamedPosition | null, name: string): ContainedState | undefined {
  return state?.byKey === true && (named !== null || epochMentioned(name) !== null) ? undefined : state;
}

/**
 * What the state files of a folder say, and what they leave open those of the folders of its step around it.
 */
async function stateOf(folder: string, { entries, outer }: Known): ReturnType<typeof readTrainingState> {
  const [, ...around] = foldersOfStep(folder, outer);
  let state = await readTrainingState(folder, entries);
  for (const other of around) {
    const found = await readTrainingState(other);
    const tells = state.file === null && found.file !== null;
    state = {
      ...(tells ? found : state),
      ephemeral: state.ephemeral ?? found.ephemeral,
      warnings: [...state.warnings, ...found.warnings],
    };
  }
  return state;
}

/**
 * The folders in which a trainer may have put the state files of a checkpoint: its own, and those around it
 * up to the one that is named by the step.
 * @param outer the folder of the step, where it is known
 */
export function foldersOfStep(folder: string, outer?: string): string[] {
  const place = placeFromPath(resolve(folder));
  const top = outer ?? (place === null ? folder : join(folder, ...place.inner.map(() => '..')));
  const folders = [folder];
  for (let inner = resolve(folder); inner !== resolve(top) && inner !== '/'; ) {
    inner = dirname(inner);
    folders.push(inner);
  }
  return folders;
}

/**
 * By the names of its path, else by those of what it links to (`latest` often links to `checkpoint-1000`).
 */
export async function positionOfFolder(folder: string): Promise<NamedPosition | null> {
  const own = placeFromPath(resolve(folder));
  if (own !== null && own.inner.length === 0) return own.position;
  const real = await storeOf(folder)
    .resolve(folder)
    .catch(() => folder);
  const target = placeFromPath(real);
  return (target?.inner.length === 0 ? target : (own ?? target))?.position ?? null;
}

/**
 * Where the path of a checkpoint says that it stands: a file by its own name, `model.safetensors` by its
 * folder.
 */
export function placeOfCheckpoint(path: string): NamedPlace | null {
  const full = resolve(path);
  const { name, ext, base } = parse(full);
  if (ext !== '.safetensors') return placeFromPath(full);
  if (base === 'model.safetensors') return placeFromPath(dirname(full));
  const position = positionFromName(name);
  return position === null ? null : { position, name, inner: [] };
}

/**
 * What a checkpoint is called: after the folder that is named by its step, else as its own folder or file is.
 */
export function checkpointName(path: string): string {
  return placeOfCheckpoint(path)?.name ?? basename(resolve(path)).replace(/\.safetensors$/, '');
}

/**
 * What to show of a checkpoint's name: of a file with its extension, so that whoever copies it has a path
 * that is there.
 */
export function shownName({ name, path }: { readonly name: string; readonly path: string }): string {
  const own = basename(path);
  return own.startsWith(`${name}.`) ? own : name;
}

/**
 * Checkpoints with what their names say together of their places, for what each does not say alone (see
 * `sibling-names.ts`); as they are where they lie in several folders.
 */
export function withSiblings<T extends Pick<Position, 'epoch' | 'step' | 'stage'>>(
  checkpoints: readonly T[],
  pathOf: (one: T) => string,
): readonly T[] {
  const paths = checkpoints.map(pathOf);
  const names = namesInOneFolder(paths);
  if (names === null) return checkpoints;
  const { positions, epochs } = namesTogether(names);
  // Epochs and steps are no order together.
  const byEpoch = checkpoints.every(({ step }) => step === null);
  // What state files count goes on from epoch to epoch.
  const anew = checkpoints.every(({ step }, i) => step === null || step === positions.get(names[i]!)?.step);
  return checkpoints.map((checkpoint, i) => {
    const place = positions.get(names[i]!);
    const step = checkpoint.step ?? place?.step ?? (byEpoch ? epochs.get(names[i]!) : null) ?? null;
    const epoch = checkpoint.epoch ?? (anew ? place?.epoch : undefined) ?? (byEpoch ? epochs.get(names[i]!) : undefined);
    const stage = checkpoint.stage ?? place?.stage ?? null;
    return { ...checkpoint, ...(epoch !== undefined && { epoch }), step, stage };
  });
}

/**
 * What checkpoints are called among each other: each as {@link checkpointName} has it, or as the folder
 * around what is called the same in all of them (`llama-step20/actor/huggingface`). Null where they do not
 * lie in one folder.
 */
function namesInOneFolder(paths: readonly string[]): readonly string[] | null {
  const one = (all: readonly string[]) => new Set(all).size === 1;
  const names = paths.map(checkpointName);
  let folders = paths.map((path) => dirname(resolve(foldersOfStep(path).at(-1)!)));
  if (new Set(names).size === names.length) return one(folders) ? names : null;
  if (!one(names)) return null;
  folders = paths.map((path) => dirname(resolve(path)));
  for (let above = 0; above < FOLDERS_ABOVE; above++) {
    const outer = folders.map((folder) => basename(folder));
    folders = folders.map((folder) => dirname(folder));
    if (new Set(outer).size === outer.length) return one(folders) ? outer : null;
    if (!one(outer)) return null;
  }
  return null;
}
