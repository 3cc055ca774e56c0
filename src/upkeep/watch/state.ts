import { dirname, join } from 'node:path';
import { errnoOf } from '../../base/disk/errno.ts';
import type { HeldFolder } from '../../base/disk/held-folder.ts';
import { onOutput } from '../../base/disk/io-error.ts';
import { makeFolder, PRIVATE } from '../../base/disk/make-folder.ts';
import { readOwn, syncFolder, writeNewFile } from '../../base/disk/own-file.ts';
import { removeTree } from '../../base/disk/remove-tree.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { parseJson } from '../../base/json/parse.ts';
import type { StoredState } from './stored-state.ts';

/** Hidden folder of a watch: lock and state. */
const WATCH_FOLDER = '.merge-watch';
const STATE_FILE = 'state.json';
/** Far more than the names of all checkpoints of a run take. */
const MOST_BYTES = 2 ** 28;
/**
 * End of the name of a state that is being written. Of a folder's watches one is alive, so one name does, and
 * a kill leaves no more than that.
 */
const DRAFT = '.draft';

export type Made = StoredState['merges'][number];
export type Pending = NonNullable<StoredState['pending']>;
export type KnownCopy = StoredState['copies'][number][1];
export type Accumulator = NonNullable<StoredState['accumulator']>;

/** What a watch remembers over restarts. */
export interface WatchState extends Omit<StoredState, 'done' | 'bad' | 'pins' | 'copies'> {
  done: Map<string, string>;
  bad: Map<string, string>;
  pins: Set<string>;
  copies: Map<string, KnownCopy>;
}

/**
 * The state of the watch of a folder; null before its first round. Removes what a watch that was killed while
 * writing left; the caller has the folder's lock.
 * @param folder that of the watch's lock
 * @param run the run, relative to the watch's folder
 * @throws MergeError E_WATCH_STATE where it cannot be read, or is about another run
 */
export async function readWatchState(folder: HeldFolder, run: string): Promise<WatchState | null> {
  const file = join(folder.path, STATE_FILE);
  let text: string;
  await onOutput('remove', file, () => removeTree(SYSTEM, folder.at(`${STATE_FILE}${DRAFT}`)));
  try {
    text = (await readOwn(SYSTEM, folder.at(STATE_FILE), { limit: MOST_BYTES, shown: file })).toString();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw unusable(file, `cannot be read (${(error as Error).message.replaceAll(folder.here, folder.path)})`, error);
  }
  let stored: StoredState;
  const { storedState } = await import('./stored-state.ts');
  try {
    stored = storedState.parse(parseJson(text));
  } catch (error) {
    throw unusable(file, 'is not the state of a watch that this version can read', error);
  }
  if (stored.run !== run) throw unusable(file, `belongs to a watch of ${stored.run}, not of ${run}`);
  return { ...stored, done: new Map(stored.done), bad: new Map(stored.bad), pins: new Set(stored.pins), copies: new Map(stored.copies) };
}

/** The state of a watch that has done nothing yet. */
export function newState(run: string): WatchState {
  return {
    schema: 'ckpt-merge/watch-state',
    version: 1,
    run,
    done: new Map(),
    bad: new Map(),
    merges: [],
    trash: [],
    pins: new Set(),
    copies: new Map(),
    accumulator: null,
    waiting: [],
    unscored: [],
    pending: null,
  };
}

function unusable(file: string, why: string, cause?: unknown): MergeError {
  const help = `Watch into another folder; or remove ${dirname(file)} to start anew here, after moving away the merges that lie beside it.`;
  return new MergeError('E_WATCH_STATE', `${file}: ${why}`, { details: { file }, help, cause });
}

/** Writes states one after another: looks and rounds both save. */
export class StateWriter {
  readonly #folder: HeldFolder;
  #last: Promise<void> = Promise.resolve();

  /** @param folder that of the watch's lock */
  constructor(folder: HeldFolder) {
    this.#folder = folder;
  }

  /** Replaces the file at once and whole. @throws MergeError of the side of outputs */
  save(state: WatchState): Promise<void> {
    const text = `${JSON.stringify({ ...state, done: [...state.done], bad: [...state.bad], pins: [...state.pins], copies: [...state.copies] })}\n`;
    const saved = this.#last.then(() => this.#replace(text));
    this.#last = saved.catch(() => {});
    return saved;
  }

  async #replace(text: string): Promise<void> {
    const folder = this.#folder;
    const draft = folder.at(`${STATE_FILE}${DRAFT}`);
    await onOutput('write', join(folder.path, STATE_FILE), async () => {
      try {
        await writeNewFile(SYSTEM, draft, text);
        await SYSTEM.fs.rename(draft, folder.at(STATE_FILE));
      } finally {
        await removeTree(SYSTEM, draft);
      }
    });
    await syncFolder(SYSTEM, folder.here, folder.path);
  }
}

/** Makes the folders of a watch; the hidden one is its own. @throws MergeError of the side of outputs */
export async function makeWatchFolder(output: string): Promise<string> {
  const folder = join(output, WATCH_FOLDER);
  await onOutput('create', folder, () => makeFolder(folder, PRIVATE));
  return folder;
}
