import { basename, dirname, parse, resolve } from 'node:path';
import type { Warning } from '../base/errors.ts';
import { storeOf } from '../base/store/store.ts';
import type { FolderEntries } from './containers/types.ts';
import { type NamedPosition, positionFromName } from './names.ts';
import { readTrainingState } from './states.ts';
import type { Position } from './types.ts';

const UNKNOWN: Position = { stage: null, ingredient: null, step: null, tokens: null };

interface Known {
  /** Name to go by, instead of the path's own. */
  readonly name?: string | undefined;
  /** What lies in the folder. */
  readonly entries?: FolderEntries | undefined;
}

/** Where a checkpoint stands, and whether its trainer will remove it. */
export interface FoundPosition extends Position {
  /** The state file that says so, or null. */
  readonly ephemeral: string | null;
  readonly warnings: readonly Warning[];
}

/**
 * Position of a checkpoint from its state files (see `readState`) and, for what they do not say, from the
 * name of the folder or file. A `model.safetensors` is taken for its folder. Never throws: what cannot be
 * read is unknown, with a warning.
 */
export async function readPosition(path: string, isFolder: boolean, known: Known = {}): Promise<FoundPosition> {
  const ofFile = isFolder ? null : positionFromName(known.name ?? parse(path).name);
  if (!isFolder && (ofFile !== null || basename(path) !== 'model.safetensors')) {
    return { ...(ofFile ?? UNKNOWN), ephemeral: null, warnings: [] };
  }
  const folder = isFolder ? path : dirname(path);
  const named = (known.name === undefined ? await positionOfFolder(folder) : positionFromName(known.name)) ?? UNKNOWN;
  const { file, warnings, ...state } = await readTrainingState(folder, known.entries);
  const differs = state.step !== null && named.step !== null && state.step !== named.step;
  const message = `${file}: says step ${state.step}, the folder's name says ${named.step}; the file is believed`;
  return {
    stage: state.stage ?? named.stage,
    ingredient: named.ingredient,
    step: state.step ?? named.step,
    tokens: state.tokens ?? named.tokens,
    ephemeral: state.ephemeral,
    warnings: differs ? [...warnings, { code: 'W_TRAINER_STATE', message }] : warnings,
  };
}

/** By its own name, else by the name of what it links to (`latest` often links to `checkpoint-1000`). */
async function positionOfFolder(folder: string): Promise<NamedPosition | null> {
  return (
    positionFromName(basename(resolve(folder))) ??
    positionFromName(
      basename(
        await storeOf(folder)
          .resolve(folder)
          .catch(() => folder),
      ),
    )
  );
}
