import { hostname } from 'node:os';
import { join } from 'node:path';
import { type ErrorCode, MergeError } from '../errors.ts';
import { errnoOf } from './errno.ts';
import { type FreshFile, freshFileIn } from './fresh-file.ts';
import { beat, HEARTBEAT, HEARTBEAT_MS, heartbeatStopped } from './heartbeat.ts';
import { type HeldFolder, holdOwn } from './held-folder.ts';
import { onOutput } from './io-error.ts';
import { newId } from './new-id.ts';
import { writeNewFile } from './own-file.ts';
import { claim, type Owner, ownerFile, ownerGeneration, readOwner, release as releaseOwner } from './owner.ts';
import { currentProcess, processState } from './process-identity.ts';
import { SYSTEM } from './system.ts';

const SAME_MOMENT = 'a process that started at the same moment';

/** What is locked, for messages. */
export interface LockedWork {
  /** `watch`, `search`. */
  readonly name: string;
  /** What users know the folder by. */
  readonly output: string;
  /** Of the error where another process has the lock, what it says before `already, by …`, and what to do. */
  readonly code: ErrorCode;
  readonly busy: string;
  readonly help: string;
  /** Where several processes do the work in turn: which of them this is, and whether another one has left. */
  readonly turn?: {
    readonly id: string;
    hasLeft(id: string): Promise<boolean>;
  };
}

/** The right to be the only process that works in a folder. */
export interface FolderLock {
  /** The folder of the lock: private, and so a place for what this program alone may write. */
  readonly folder: HeldFolder;
  /**
   * @throws MergeError where another process took over, which takes that this one stood still for a quarter
   *   of an hour, or for as long as those wait that take turns
   */
  assertHeld(): Promise<void>;
  /** Gives it back; the next watch need not wait for anything. */
  release(): Promise<void>;
}

/**
 * Takes the lock of a folder that is there, with the owner records and the heartbeat that partial merges
 * have: that of a process which ended is taken over at once where that can be seen (same machine, boot and
 * container), else a quarter of an hour after its last sign of life.
 * @param path of a folder that holds nothing but this (made by `makeFolder`, mode 0700)
 * @throws MergeError `work.code` naming the other's process and host, and which of those that take turns it is
 *   (`details.turn`); E_OTHER_USER where the folder is not
 *   this user's own
 */
export async function acquireLock(path: string, work: LockedWork): Promise<FolderLock> {
  const { output } = work;
  const folder = await onOutput('lock', output, () => holdLockFolder(path, work));
  try {
    return await lockHeld(folder, work);
  } catch (error) {
    await folder.close();
    throw error;
  }
}

async function holdLockFolder(path: string, { output, name }: LockedWork): Promise<HeldFolder> {
  const fresh = await ownFreshFile(join(path, '..'), path, `the ${name} in ${output}`);
  const folder = await holdOwn(SYSTEM, path, fresh);
  if (folder !== null && folder !== 'foreign') return folder;
  if (folder === null) throw Object.assign(new Error('no such folder'), { errno: 'ENOENT' });
  throw otherUser(path, `the ${name} in ${output}`);
}

/**
 * A fresh file in a folder that is to be this user's: where none can be made, it is not.
 * @throws MergeError E_OTHER_USER about `path`; other errnos of open(2)
 */
export function ownFreshFile(folder: string, path: string, what: string): Promise<FreshFile> {
  return freshFileIn(SYSTEM, folder, '.ckpt-merge-probe-').catch((error: unknown) => {
    throw ['EACCES', 'EPERM'].includes(errnoOf(error) ?? '') ? otherUser(path, what) : error;
  });
}

/** E_OTHER_USER for `what`, of which `path` is kept by somebody else, or where others can change it. */
export function otherUser(path: string, what: string): MergeError {
  return new MergeError('E_OTHER_USER', `${path} belongs to another user, or others can write to it: ${what} needs a place of its own`, {
    details: { file: path },
  });
}

async function lockHeld(folder: HeldFolder, work: LockedWork): Promise<FolderLock> {
  const { output } = work;
  const { here } = folder;
  const self = await currentProcess();
  const before = await onOutput('lock', output, () => readOwner(here));
  const other = before?.owner;
  if (other !== undefined && !other.released) {
    const state = await processState(other, self);
    const ended =
      state === 'dead' ||
      (other.identity !== '' && (await work.turn?.hasLeft(other.identity)) === true) ||
      (state === 'unknown' &&
        (await heartbeatStopped(SYSTEM, folder, await onOutput('lock', output, () => freshFileIn(SYSTEM, here, 'probe-')))));
    if (!ended) throw busy(work, `process ${other.pid} on ${other.identityParts.host ?? 'another machine'}`, other.identity);
  }
  const owner = {
    ...self,
    id: newId(),
    name: work.name,
    kind: 'folder' as const,
    identity: work.turn?.id ?? '',
    identityParts: { host: hostname() },
    parentsMade: 0,
    released: false,
  };
  const present = async (): Promise<Owner | undefined> => (await readOwner(here))?.owner;
  const held = async (): Promise<boolean> => (await present())?.id === owner.id;
  let generation = (before?.generation ?? -1) + 1;
  while (!(await onOutput('lock', output, () => claim(SYSTEM, here, generation, owner)))) {
    // Without hard links a record can be left half written, which nobody can read or ever finish: the next
    // number is free.
    if (before !== null || generation > 99 || (await readOwner(here)) !== null) throw busy(work, SAME_MOMENT);
    generation++;
  }
  if (!(await held())) throw busy(work, SAME_MOMENT);
  await onOutput('lock', output, async () => {
    for (const name of await SYSTEM.fs.readdir(here)) {
      if (ownerGeneration(name) !== null && name !== ownerFile(generation)) await SYSTEM.fs.unlink(folder.at(name));
    }
    await writeNewFile(SYSTEM, folder.at(HEARTBEAT), '0').catch((error: unknown) => {
      if (errnoOf(error) !== 'EEXIST') throw error;
      return beat(SYSTEM, folder);
    });
  });
  const timer = setInterval(() => void beat(SYSTEM, folder).catch(() => {}), HEARTBEAT_MS).unref();
  return {
    folder,
    async assertHeld() {
      const by = await onOutput('lock', output, present);
      if (by?.id !== owner.id) throw busy(work, 'a process that took over, because this one stood still for long', by?.identity);
    },
    async release() {
      clearInterval(timer);
      try {
        if (await held()) await releaseOwner(SYSTEM, here, { generation, owner });
      } finally {
        await folder.close();
      }
    },
  };
}

function busy({ output, code, busy, help }: LockedWork, who: string, turn = ''): MergeError {
  const details = { file: output, ...(turn !== '' && { turn }) };
  return new MergeError(code, `${output} ${busy} already, by ${who}`, { details, help });
}
