import { join } from 'node:path';
import { errnoOf } from '../../base/disk/errno.ts';
import type { FreshFile } from '../../base/disk/fresh-file.ts';
import { HeldFolder } from '../../base/disk/held-folder.ts';
import { onOutput } from '../../base/disk/io-error.ts';
import { syncFolder } from '../../base/disk/own-file.ts';
import { NO_HARD_LINKS } from '../../base/disk/owner.ts';
import { removeHeld, removeTree } from '../../base/disk/remove-tree.ts';
import type { System } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { shellQuote } from '../../base/process/shell-quote.ts';
import { type Destination, outputExists } from './destination.ts';
import { freshBeside, holdPartial, oldPath, type Partial, PROBE, READY, siblingIds } from './partial.ts';
import { lossOf } from './replaceable.ts';

/** What rename says where a file system has no rename flags. */
const NO_FLAGS: ReadonlySet<string> = new Set(['EINVAL', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP']);

/** OUT is in its place. Either of `remove` and `undo` is called once. */
export interface SwappedIn {
  /** What was there, for system calls; null where nothing was. */
  readonly old: string | null;
  /** Removes what was there. */
  remove(): Promise<void>;
  /** Puts everything back. */
  undo(): Promise<void>;
}

const nothing = async (): Promise<void> => {};

/** Renames with flags. `unsupported` where the file system has none; other failures are thrown. */
function flagged(system: System, from: string, to: string, how: 'noreplace' | 'exchange'): 'done' | 'unsupported' | 'exists' | 'absent' {
  try {
    system.rename(from, to, how);
    return 'done';
  } catch (error) {
    const errno = errnoOf(error) ?? '';
    if (NO_FLAGS.has(errno)) return 'unsupported';
    if (errno === 'EEXIST' || errno === 'ENOTEMPTY') return 'exists';
    if (how === 'exchange' && errno === 'ENOENT') return 'absent';
    throw error;
  }
}

/**
 * Types of statfs(2) whose rename can refuse a folder for what the folder is, and is known to leave both as they
 * are where the target holds something: layers (overlayfs), and quotas by folder (ext4, XFS).
 */
const MAY_REFUSE: ReadonlySet<number> = new Set([0x794c7630, 0xef53, 0x58465342]);

/**
 * Finds out before the work whether the folder OUT can be exchanged: one that lies in a lower layer (of the
 * image of a container), or counts to another quota, cannot be renamed (EXDEV). It is asked for by renaming it
 * onto a folder that holds something, which no file system does.
 * @param partial the unfinished merge, which nobody else can write to
 * @throws MergeError E_OUTPUT_KIND
 */
export async function checkMovable(system: System, destination: Destination, partial: HeldFolder): Promise<void> {
  if (!(await onOutput('look at', destination.output, () => isRefused(system, destination.path, partial)))) return;
  throw new MergeError('E_OUTPUT_KIND', `the output ${destination.output} cannot be replaced: its file system cannot rename it (EXDEV)`, {
    details: { file: destination.output, errno: 'EXDEV' },
    help:
      "It belongs to a layer of the container's image, or to another quota. " +
      `Remove it first (rm -r ${shellQuote(destination.path)}), or choose another output.`,
  });
}

async function isRefused(system: System, path: string, partial: HeldFolder): Promise<boolean> {
  const { fs } = system;
  const there = await fs.lstat(path).catch(() => null);
  if (there?.isDirectory() !== true || !MAY_REFUSE.has((await fs.statfs(path)).type)) return false;
  const full = partial.at(PROBE);
  await removeTree(system, full);
  await fs.mkdir(full);
  await fs.mkdir(join(full, PROBE));
  const errno = await fs.rename(path, full).then(() => undefined, errnoOf);
  await removeTree(system, full);
  return errno === 'EXDEV';
}

/**
 * Makes `from` OUT in one step. Without `force` nothing is ever replaced but an empty folder; with it there
 * is no moment without OUT where the file system can exchange two names (and for single files nowhere).
 * @throws MergeError E_OUTPUT_EXISTS where OUT is there and `force` is not.
 */
export async function place(
  system: System,
  from: string,
  destination: Destination,
  id: string,
  kind: 'folder' | 'file',
  force: boolean,
): Promise<SwappedIn> {
  return onOutput('publish', destination.output, async () => {
    // OUT may come and go while this runs: two rounds of exchange, found absent, then found there again, are
    // a third party at work.
    for (let round = 0; force && round < 3; round++) {
      const exchanged = flagged(system, from, destination.path, 'exchange');
      if (exchanged === 'done')
        return { old: from, remove: () => removeTree(system, from), undo: async () => system.rename(from, destination.path, 'exchange') };
      if (exchanged === 'unsupported') return replaceByFallback(system, from, destination, id, kind);
      const placed = await placeNew(system, from, destination, kind);
      if (placed !== null) return placed;
    }
    const placed = await placeNew(system, from, destination, kind);
    if (placed === null) throw outputExists(destination.output);
    return placed;
  });
}

/** Null where OUT is there. */
async function placeNew(system: System, from: string, destination: Destination, kind: 'folder' | 'file'): Promise<SwappedIn | null> {
  const { fs } = system;
  const back = { old: null, remove: nothing, undo: () => fs.rename(destination.path, from) };
  const renamed = flagged(system, from, destination.path, 'noreplace');
  if (renamed === 'done') return back;
  if (kind === 'folder') return (await placeFolder(system, from, destination.path)) ? back : null;
  if (renamed === 'exists') return null;
  try {
    await fs.link(from, destination.path);
    return { old: null, remove: nothing, undo: () => fs.unlink(destination.path) };
  } catch (error) {
    const errno = errnoOf(error) ?? '';
    if (errno === 'EEXIST') return null;
    if (!NO_HARD_LINKS.has(errno)) throw error;
  }
  // Neither flags nor links (exFAT): looking first is all there is.
  if (await present(system, destination.path)) return null;
  await fs.rename(from, destination.path);
  return back;
}

/**
 * Claims OUT by making it, then renames over it: rename(2) replaces a folder only while it is empty. False
 * where OUT holds something.
 */
async function placeFolder(system: System, from: string, path: string): Promise<boolean> {
  const { fs } = system;
  const claimed = await fs.mkdir(path).then(
    () => true,
    (error: unknown) => {
      if (errnoOf(error) !== 'EEXIST') throw error;
      return false;
    },
  );
  try {
    if (!claimed && (await fs.readdir(path)).length > 0) return false;
    await fs.rename(from, path);
    return true;
  } catch (error) {
    if (claimed) await fs.rmdir(path).catch(() => {});
    if (['EEXIST', 'ENOTEMPTY', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return false;
    throw error;
  }
}

async function replaceByFallback(
  system: System,
  from: string,
  destination: Destination,
  id: string,
  kind: 'folder' | 'file',
): Promise<SwappedIn> {
  const { fs } = system;
  const { path } = destination;
  if (kind === 'file') {
    // rename(2) replaces a file in one step, so there is no old one to bring back.
    await fs.rename(from, path);
    return { old: null, remove: nothing, undo: nothing };
  }
  // Held from before it moves: by its name somebody could have any other folder removed.
  const held = await HeldFolder.open(system, path).catch((error: unknown) => {
    if (errnoOf(error) !== 'ENOENT') throw error;
    return null;
  });
  const old = oldPath(destination, id);
  try {
    if (held !== null) await fs.rename(path, old);
    await fs.rename(from, path).catch(async (error: unknown) => {
      if (held !== null) await fs.rename(old, path);
      throw error;
    });
  } catch (error) {
    await held?.close();
    throw error;
  }
  if (held === null) return { old: null, remove: nothing, undo: () => fs.rename(path, from) };
  return {
    old: held.here,
    remove: () => removeHeld(system, held, old).finally(() => held.close()),
    undo: async () => {
      await held.close();
      await fs.rename(path, from);
      await fs.rename(old, path);
    },
  };
}

/**
 * Puts an OUT back that an interrupted replacement left aside (W_RESTORED), and removes what a finished one
 * left to remove. Touches nothing whose owner may still be at work, and nothing of another user's.
 */
export async function restoreOld(destination: Destination, system: System, partials: readonly Partial[]): Promise<void> {
  const ids = await siblingIds(destination, 'old');
  if (ids.length === 0) return;
  const fresh = await freshBeside(destination, system);
  const left: Aside[] = [];
  const foreign: string[] = [];
  try {
    for (const id of ids) {
      const partial = partials.find((p) => p.id === id);
      if (partial !== undefined && partial.state !== 'stale') continue;
      const path = oldPath(destination, id);
      const folder = await holdAside(system, path, fresh);
      if (folder !== null) left.push({ folder, movedAt: await folder.changedMs(), partial });
      else if (await present(system, path)) foreign.push(path);
    }
    for (const path of foreign.slice(0, MOST_SAID)) warnOfOld(system, destination, path, ' of another user');
    if (foreign.length > MOST_SAID)
      system.warn({ code: 'W_STALE_PARTIAL', message: `${foreign.length - MOST_SAID} more like it lie beside ${destination.output}` });
    left.sort((a, b) => b.movedAt - a.movedAt);
    for (const aside of left) await restore(system, destination, aside);
  } finally {
    for (const { folder } of left) await folder.close();
  }
}

/** Of how many that are another user's each is said. */
const MOST_SAID = 20;

/** An earlier OUT that lies aside. */
interface Aside {
  readonly folder: HeldFolder;
  readonly movedAt: number;
  readonly partial: Partial | undefined;
}

async function restore(system: System, destination: Destination, { folder, partial }: Aside): Promise<void> {
  if (!(await present(system, destination.path))) {
    const placed = await onOutput('restore', destination.output, () => placeNew(system, folder.path, destination, 'folder'));
    if (placed === null) return;
    if (!(await isAt(system, folder, destination.path))) {
      // Somebody put something else into its place meanwhile.
      await onOutput('take back', destination.output, () => placed.undo());
      return;
    }
    await syncFolder(system, destination.parent);
    system.warn({ code: 'W_RESTORED', message: `${destination.output} was restored: its replacement had been interrupted` });
  } else if (partial !== undefined && !(await holdsReady(system, destination, partial))) {
    // The new OUT went into its place, and only the removal of the old one was interrupted: it may lack its
    // weights by now.
    const loss = await lossOf(folder.here, 'rest').catch(() => null);
    if (loss === null || loss.foreign.length > 0) warnOfOld(system, destination, folder.path);
    else await removeHeld(system, folder, folder.path).catch(() => {});
  } else {
    warnOfOld(system, destination, folder.path);
  }
}

function warnOfOld(system: System, { output }: Destination, path: string, whose = ''): void {
  system.warn({ code: 'W_STALE_PARTIAL', message: `${path}${whose} may be an earlier ${output}: look at it and remove it` });
}

/** The folder, where it belongs to this user; null where it does not, or is none. */
async function holdAside(system: System, path: string, fresh: FreshFile): Promise<HeldFolder | null> {
  const folder = await HeldFolder.open(system, path).catch(() => null);
  if (folder === null || (await folder.belongsTo(fresh))) return folder;
  await folder.close();
  return null;
}

async function isAt(system: System, folder: HeldFolder, path: string): Promise<boolean> {
  const there = await HeldFolder.open(system, path).catch(() => null);
  if (there === null) return false;
  try {
    return (await there.node()) === (await folder.node());
  } finally {
    await there.close();
  }
}

async function holdsReady(system: System, destination: Destination, partial: Partial): Promise<boolean> {
  const folder = await holdPartial(system, destination, partial);
  if (folder === null) return true;
  return present(system, folder.at(READY)).finally(() => folder.close());
}

async function present(system: System, path: string): Promise<boolean> {
  return system.fs.lstat(path).then(
    () => true,
    () => false,
  );
}
