import { setTimeout as wait } from 'node:timers/promises';
import { errnoOf } from './errno.ts';
import { HeldFolder } from './held-folder.ts';
import { newId } from './new-id.ts';
import type { System } from './system.ts';

/** Tries of a folder that is not empty yet: NFS keeps removed open files for a moment. */
const TRIES = 5;
const PAUSE_MS = 100;
/** What unlink(2) says of a folder: Linux EISDIR, others EPERM. Deno's removes empty ones and says ENOTEMPTY of others. */
const IS_FOLDER: ReadonlySet<string> = new Set(['EISDIR', 'EPERM', 'ENOTEMPTY']);
/** Folders in folders that are held open at a time: a tree may be deeper than descriptors go. */
const MOST_HELD = 16;

/**
 * Removes a file, a link or a folder with all that is in it; nothing there is fine. Links are removed and
 * never followed: every folder on the way down is held open, so that nobody can put a link into its place
 * while this runs. What is mounted in the folder stays, and the folder with it.
 * @throws the errno of unlink(2), open(2), rmdir(2); EBUSY for what is mounted
 */
export async function removeTree(system: Pick<System, 'fs'>, path: string): Promise<void> {
  await removeEntry(system, path, async (folder) => {
    /** Folders of too great a depth, which were moved up. */
    const moved: string[] = [];
    await empty(system, folder, { top: folder, moved, device: await deviceOf(folder), depth: 1 });
    for (let name = moved.pop(); name !== undefined; name = moved.pop()) {
      const device = await deviceOf(folder);
      await removeEntry(system, folder.at(name), (inner) => empty(system, inner, { top: folder, moved, device, depth: 2 }));
    }
  });
}

/** Removes all that a held folder holds, but what `keep` names. */
export async function removeContent(system: Pick<System, 'fs'>, folder: HeldFolder, keep?: (name: string) => boolean): Promise<void> {
  for (const name of await system.fs.readdir(folder.here)) if (keep?.(name) !== true) await removeTree(system, folder.at(name));
}

/** Removes a folder that is held, and then its name, which leads nowhere else unless to an empty folder. */
export async function removeHeld(system: Pick<System, 'fs'>, folder: HeldFolder, name: string): Promise<void> {
  await removeContent(system, folder);
  await system.fs.rmdir(name);
}

/** Where a removal is. */
interface Descent {
  /** What is removed as a whole. */
  readonly top: HeldFolder;
  readonly moved: string[];
  readonly device: string;
  readonly depth: number;
}

/** Removes what a folder holds. */
async function empty(system: Pick<System, 'fs'>, folder: HeldFolder, descent: Descent): Promise<void> {
  if ((await deviceOf(folder)) !== descent.device) throw Object.assign(new Error('something is mounted there'), { errno: 'EBUSY' });
  for (const name of await system.fs.readdir(folder.here)) {
    const path = folder.at(name);
    await removeEntry(system, path, async (inner) => {
      if (descent.depth < MOST_HELD) return empty(system, inner, { ...descent, depth: descent.depth + 1 });
      const aside = newId();
      // Where it cannot be moved (a layer below, a folder that is closed to us), descriptors go as far as they do.
      const isMoved = await system.fs.rename(path, descent.top.at(aside)).then(
        () => true,
        () => false,
      );
      if (isMoved) descent.moved.push(aside);
      else await empty(system, inner, { ...descent, depth: descent.depth + 1 });
    });
  }
}

/**
 * Removes a file or a link; a folder, when `emptied` has removed or moved it or all that it holds.
 */
async function removeEntry(system: Pick<System, 'fs'>, path: string, emptied: (folder: HeldFolder) => Promise<void>): Promise<void> {
  try {
    await system.fs.unlink(path);
    return;
  } catch (error) {
    const errno = errnoOf(error) ?? '';
    if (errno === 'ENOENT') return;
    if (!IS_FOLDER.has(errno)) throw error;
    const folder = await HeldFolder.open(system, path).catch((why: unknown) => {
      const other = errnoOf(why);
      if (other === 'ENOENT') return null;
      // It is no folder: what unlink said stands.
      throw other === 'ELOOP' || other === 'ENOTDIR' ? error : why;
    });
    if (folder === null) return;
    try {
      await emptied(folder);
    } finally {
      await folder.close();
    }
  }
  await removeEmptied(system, path);
}

async function deviceOf(folder: HeldFolder): Promise<string> {
  return (await folder.node()).split(':')[0]!;
}

async function removeEmptied(system: Pick<System, 'fs'>, path: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await system.fs.rmdir(path);
      return;
    } catch (error) {
      const errno = errnoOf(error) ?? '';
      if (errno === 'ENOENT') return;
      if (attempt === TRIES || !['ENOTEMPTY', 'EEXIST', 'EBUSY'].includes(errno)) throw error;
      await wait(PAUSE_MS);
    }
  }
}
