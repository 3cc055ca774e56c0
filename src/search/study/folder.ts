import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { appendLine } from '../../base/disk/append-line.ts';
import { acquireLock, type FolderLock, otherUser, ownFreshFile } from '../../base/disk/folder-lock.ts';
import { freshFileIn } from '../../base/disk/fresh-file.ts';
import { HeldFolder, holdOwn, OTHERS_WRITE } from '../../base/disk/held-folder.ts';
import { onOutput, toMergeError } from '../../base/disk/io-error.ts';
import { makeFolder, PRIVATE, READABLE } from '../../base/disk/make-folder.ts';
import { newId } from '../../base/disk/new-id.ts';
import { isThere, readOwn } from '../../base/disk/own-file.ts';
import { removeHeld, removeTree } from '../../base/disk/remove-tree.ts';
import { SHARED_MEMORY, sharedMemoryBytes } from '../../base/disk/shared-memory.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { availableMemory } from '../../base/machine/memory.ts';
import { readStart } from '../../base/store/store.ts';
import { isOwnDocument, isOwnPage, OWN_WITHIN } from '../../render/own-report.ts';

/** Where merges wait for their evaluation. */
export interface WorkFolder {
  readonly path: string;
  /** Bytes of merges that may lie there at a time. */
  readonly room: number;
}

const WORK_NAME = /^ckpt-merge-work-[0-9a-f]{12}$/;
/** Of the log and the results of a trial. */
const TRIAL_NAME = /^(trial|validation)-\d{4,}(\.log)?$/;
/** Of what a `Lender` makes. */
const LENT_NAME = /^model-\d{4,}-[0-9a-f]{12}(\.safetensors)?$/;
/** Of a file that was being written. */
const DRAFT_NAME = /\.[0-9a-f]{12}\.draft$/;
/** In the lock's folder: where the work folder is, so that what a kill left there can be removed. */
const WORK_RECORD = 'work.jsonl';
const LOCK_FOLDER = '.lock';
/** All that a study keeps in its folder. */
const FILES = ['trials.jsonl', 'validation.jsonl', 'best.yaml', 'sma.yaml', 'report.html', 'result.json', 'made.json'];
const FOLDERS = ['logs', 'results'];
/** What a report of this program begins with, by its name: others have files of these names, too. */
const OWN_REPORTS = { 'report.html': isOwnPage, 'result.json': isOwnDocument } as const;
/** Everybody may put something there, and nobody may rename or remove what is another's: /tmp. */
const STICKY = 0o1000;
/** Share of the memory left that merges may take, and of the space left on a disk. */
const MEMORY_SHARE = 0.4;
const DISK_SHARE = 0.9;

/**
 * The folder of a study: its trials, logs, reports and lock. One process at a time works in it.
 */
export class StudyFolder {
  readonly path: string;
  readonly #lock: FolderLock;
  /** The outermost of the folders that were made for it; null where it was there. */
  readonly #made: string | null;
  #work: { readonly path: string; readonly keep: boolean } | null = null;

  private constructor(path: string, lock: FolderLock, made: string | null) {
    this.path = path;
    this.#lock = lock;
    this.#made = made;
  }

  /**
   * Makes the folder where there is none, and locks it. Removes merges and drafts that a killed study left.
   * @throws MergeError E_SEARCH_BUSY where another process works in it; E_OTHER_USER where it belongs to
   *   another user, or everybody can write to it; of the side of outputs
   */
  static async open(path: string): Promise<StudyFolder> {
    const lockFolder = join(path, LOCK_FOLDER);
    const made = await onOutput('create', path, () => makeFolder(path, READABLE));
    await checkOwner(path);
    await onOutput('create', path, () => makeFolder(lockFolder, PRIVATE));
    const lock = await acquireLock(lockFolder, {
      name: 'search',
      output: path,
      code: 'E_SEARCH_BUSY',
      busy: 'is being worked in',
      help: 'Wait for the other search, or give this one a folder of its own with --dir.',
    });
    const folder = new StudyFolder(path, lock, made === null ? null : resolve(made));
    await folder.#removeLeftWork();
    for (const name of await SYSTEM.fs.readdir(path)) if (DRAFT_NAME.test(name)) await folder.remove(name);
    return folder;
  }

  /** Removes everything of an earlier study, and nothing that a folder of the user's has beside it. */
  async clear(): Promise<void> {
    for (const name of FILES) await this.remove(name);
    for (const folder of FOLDERS) {
      const path = join(this.path, folder);
      const names = await SYSTEM.fs.readdir(path).catch((): string[] => []);
      for (const name of names) if (TRIAL_NAME.test(name)) await this.remove(join(folder, name));
      await SYSTEM.fs.rmdir(path).catch(() => {});
    }
  }

  async remove(name: string): Promise<void> {
    await onOutput('remove', this.path, () => removeTree(SYSTEM, join(this.path, name)));
  }

  /**
   * A path in the folder, or in a folder of it, which is made.
   * @throws MergeError E_OTHER_USER where somebody made that folder since the study began, which takes that
   *   everybody may put something here; of the side of outputs
   */
  async place(...names: readonly string[]): Promise<string> {
    const path = join(this.path, ...names);
    const parent = dirname(path);
    await onOutput('create', this.path, async () => {
      await makeFolder(parent);
      if (parent === this.path) return;
      const { fs } = SYSTEM;
      const [there, own] = await Promise.all([fs.lstat(parent), fs.stat(this.#lock.folder.here)]);
      if (!there.isDirectory() || there.uid !== own.uid) throw otherUser(parent, `the search in ${this.path}`);
    });
    return path;
  }

  /**
   * A fresh folder for merges: in memory where a folder can be made there and one merge fits with ease, else
   * beside the trials, where also those are that the user keeps.
   * @param given where the user wants it @param keep leave it behind @param bytes of one merge
   * @throws MergeError E_NO_SPACE where not one merge fits
   */
  async makeWork(given: string | undefined, keep: boolean, bytes: number): Promise<WorkFolder> {
    if (given !== undefined) await onOutput('create', given, () => makeFolder(given));
    const wanted = given ?? (keep ? this.path : undefined);
    if (wanted === undefined) {
      const memory = await memoryRoom();
      const made = memory < bytes ? null : await this.#makeWork(SHARED_MEMORY, keep).catch(() => null);
      if (made !== null) return { path: made, room: memory };
    }
    const parent = wanted ?? this.path;
    const room = await freeBytes(parent);
    if (room < bytes) {
      throw new MergeError(
        'E_NO_SPACE',
        `${parent}: a merge needs ${bytes.toLocaleString('en')} bytes, and ${Math.max(0, Math.floor(room)).toLocaleString('en')} may be used`,
        {
          details: { file: parent },
          help: 'Name a folder with more room with --work.',
        },
      );
    }
    return { path: await this.#makeWork(parent, keep), room };
  }

  async #makeWork(parent: string, keep: boolean): Promise<string> {
    const path = join(resolve(parent), `ckpt-merge-work-${newId()}`);
    await appendLine(this.#lock.folder.at(WORK_RECORD), { path });
    // Everybody's weights are nobody else's business; what is kept is there to be looked at.
    await onOutput('make a folder in', parent, () => SYSTEM.fs.mkdir(path, keep ? READABLE : PRIVATE));
    this.#work = { path, keep };
    return path;
  }

  async #removeLeftWork(): Promise<void> {
    const record = this.#lock.folder.at(WORK_RECORD);
    const text = await readOwn(SYSTEM, record).then(String, () => '');
    for (const line of text.split('\n')) {
      const left = workPath(line);
      if (left !== null) await removeOwn(left).catch(() => {});
    }
    await onOutput('remove', this.path, () => removeTree(SYSTEM, record));
  }

  /**
   * Removes the work folder, unless it is kept and holds merges, and gives the lock back. A folder that was
   * made for a study which came to nothing goes, too.
   */
  async close(): Promise<void> {
    if (this.#work !== null) {
      const { path, keep } = this.#work;
      if (keep) await SYSTEM.fs.rmdir(path).catch(() => {});
      else await this.#removeWork(path);
      await onOutput('remove', this.path, () => removeTree(SYSTEM, this.#lock.folder.at(WORK_RECORD)));
    }
    if (this.#made !== null && (await SYSTEM.fs.readdir(this.path)).every((name) => name === LOCK_FOLDER)) await this.#unmake(this.#made);
    await this.#lock.release();
  }

  /** What an evaluation left in a model of its own, and this user cannot remove, was told of. */
  async #removeWork(path: string): Promise<void> {
    try {
      await removeTree(SYSTEM, path);
    } catch (error) {
      const left = await SYSTEM.fs.readdir(path).catch(() => null);
      if (left === null || !left.every((name) => LENT_NAME.test(name)))
        throw toMergeError(error, { action: 'remove', file: path, side: 'output' });
    }
  }

  async #unmake(outermost: string): Promise<void> {
    await removeTree(SYSTEM, join(this.path, LOCK_FOLDER));
    for (let folder = resolve(this.path); folder.length >= outermost.length; folder = dirname(folder)) {
      // What somebody else put there meanwhile keeps it.
      if (
        !(await SYSTEM.fs.rmdir(folder).then(
          () => true,
          () => false,
        ))
      )
        return;
    }
  }

  /** @throws MergeError E_SEARCH_BUSY where another process took over */
  assertHeld(): Promise<void> {
    return this.#lock.assertHeld();
  }
}

/**
 * Refuses a folder without trials that holds a report which this program did not write.
 * @throws MergeError E_OUTPUT_EXISTS
 */
export async function refuseForeignReports(path: string): Promise<void> {
  for (const [name, own] of Object.entries(OWN_REPORTS)) {
    const file = join(path, name);
    if (!isThere(file)) continue;
    const start = await readStart(file, OWN_WITHIN).catch(() => null);
    if (start !== null && own(start.toString('latin1'))) continue;
    throw new MergeError('E_OUTPUT_EXISTS', `${file} is none of this program's, and would be replaced`, {
      details: { file },
      help: 'Move it away, or name another folder with --dir.',
    });
  }
}

/** Bytes of merges that memory takes. */
async function memoryRoom(): Promise<number> {
  return Math.min((await sharedMemoryBytes()) * DISK_SHARE, availableMemory()) * MEMORY_SHARE;
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize, blocks } = await onOutput('look at', folder, async () => {
    await SYSTEM.fs.stat(folder);
    return SYSTEM.fs.statfs(folder);
  });
  // Some network file systems report no size at all.
  return blocks === 0 ? Number.POSITIVE_INFINITY : bavail * bsize * DISK_SHARE;
}

/** The work folder that a line of the record names; null where it names none, whatever else it says. */
function workPath(line: string): string | null {
  try {
    const { path } = JSON.parse(line) as { path?: unknown };
    return typeof path === 'string' && isAbsolute(path) && WORK_NAME.test(basename(path)) ? path : null;
  } catch {
    return null;
  }
}

/** Removes a folder, where it is this user's own. */
async function removeOwn(path: string): Promise<void> {
  const fresh = await freshFileIn(SYSTEM, dirname(path), 'ckpt-merge-probe-');
  const folder = await holdOwn(SYSTEM, path, fresh);
  if (folder === null || folder === 'foreign') return;
  await removeHeld(SYSTEM, folder, path).finally(() => folder.close());
}

/**
 * Refuses a folder in which somebody else could exchange what a study keeps there, and what somebody else put
 * there under the name of it. Members of the folder's group may be trusted by whoever let them in.
 * @throws MergeError E_OTHER_USER; of the side of outputs
 */
async function checkOwner(path: string): Promise<void> {
  await onOutput('look at', path, async () => {
    const folder = await HeldFolder.open(SYSTEM, await SYSTEM.fs.realpath(path));
    try {
      const fresh = await ownFreshFile(folder.here, path, `the search in ${path}`);
      const { mode } = await SYSTEM.fs.stat(folder.here);
      if ((mode & STICKY) === 0 && !(await folder.isOwn(fresh, OTHERS_WRITE))) throw otherUser(path, `the search in ${path}`);
      for (const name of [...FILES, ...FOLDERS]) {
        const there = await SYSTEM.fs.lstat(folder.at(name)).catch(() => null);
        if (there !== null && (there.uid !== fresh.uid || there.isSymbolicLink()))
          throw otherUser(join(path, name), `the search in ${path}`);
      }
    } finally {
      await folder.close();
    }
  });
}
