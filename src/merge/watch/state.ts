import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { onOutput } from '../../base/disk/io-error.ts';
import { syncFolder, systemOf, writeNewFile } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { parseJson } from '../../base/json/parse.ts';
import { readIfThere } from '../../base/store/store.ts';
import type { StoredState } from './stored-state.ts';

/** Hidden folder of a watch: lock and state. */
export const WATCH_FOLDER = '.merge-watch';
const STATE_FILE = 'state.json';
/**
 * End of the name of a state that is being written. Of a folder's watches one is alive, so one name does, and
 * a kill leaves no more than that.
 */
const DRAFT = '.draft';

/** A checkpoint takes some hundred bytes. */
const MAX_STATE_BYTES = 2 ** 28;

export type Made = StoredState['merges'][number];
export type Pending = NonNullable<StoredState['pending']>;
export type Accumulator = NonNullable<StoredState['accumulator']>;

/** What a watch remembers over restarts. */
export interface WatchState extends Omit<StoredState, 'done' | 'bad' | 'pins'> {
  done: Map<string, string>;
  bad: Map<string, string>;
  pins: Set<string>;
}

/**
 * The state of the watch of a folder; null before its first round. Removes what a watch that was killed while
 * writing left; the caller has the folder's lock.
 * @param run the run, relative to the watch's folder
 * @throws MergeError E_WATCH_STATE where it cannot be read, or is about another run
 */
export async function readWatchState(output: string, run: string): Promise<WatchState | null> {
  const file = join(output, WATCH_FOLDER, STATE_FILE);
  await onOutput('remove', file, () => rm(`${file}${DRAFT}`, { force: true }));
  const bytes = await readIfThere(file, MAX_STATE_BYTES).catch((error: Error) => {
    throw unusable(file, `cannot be read (${error.message})`, error);
  });
  if (bytes === null) return null;
  let stored: StoredState;
  const { storedState } = await import('./stored-state.ts');
  try {
    stored = storedState.parse(parseJson(bytes.toString()));
  } catch (error) {
    throw unusable(file, 'is not the state of a watch that this version can read', error);
  }
  if (stored.run !== run) throw unusable(file, `belongs to a watch of ${stored.run}, not of ${run}`);
  return { ...stored, done: new Map(stored.done), bad: new Map(stored.bad), pins: new Set(stored.pins) };
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
    accumulator: null,
    pending: null,
  };
}

function unusable(file: string, why: string, cause?: unknown): MergeError {
  const help = `Watch into another folder; or remove ${dirname(file)} to start anew here, after moving away the merges that lie beside it.`;
  return new MergeError('E_WATCH_STATE', `${file}: ${why}`, { details: { file }, help, cause });
}

/** Writes states one after another: looks and rounds both save. */
export class StateWriter {
  readonly #file: string;
  #last: Promise<void> = Promise.resolve();

  constructor(output: string) {
    this.#file = join(output, WATCH_FOLDER, STATE_FILE);
  }

  /** Replaces the file at once and whole. @throws MergeError of the side of outputs */
  save(state: WatchState): Promise<void> {
    const text = `${JSON.stringify({ ...state, done: [...state.done], bad: [...state.bad], pins: [...state.pins] })}\n`;
    const saved = this.#last.then(() => this.#replace(text));
    this.#last = saved.catch(() => {});
    return saved;
  }

  async #replace(text: string): Promise<void> {
    const system = systemOf({});
    const draft = `${this.#file}${DRAFT}`;
    await onOutput('write', this.#file, async () => {
      try {
        await writeNewFile(system, draft, text);
        await rename(draft, this.#file);
      } finally {
        await rm(draft, { force: true });
      }
    });
    await syncFolder(system, dirname(this.#file));
  }
}

/** Makes the folders of a watch. @throws MergeError of the side of outputs */
export async function makeWatchFolder(output: string): Promise<string> {
  const folder = join(output, WATCH_FOLDER);
  await onOutput('create', folder, () => mkdir(folder, { recursive: true }));
  return folder;
}
