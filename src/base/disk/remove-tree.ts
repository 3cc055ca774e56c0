import type { Dirent } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { errnoOf } from './errno.ts';
import { HeldFolder } from './held-folder.ts';
import type { System } from './system.ts';

/** Tries of a folder that is not empty yet: NFS keeps removed open files for a moment. */
const TRIES = 5;
const PAUSE_MS = 100;

/**
 * Removes a file, a link or a folder with all that is in it; nothing there is fine. Links are removed and
 * never followed: every folder on the way down is held open, so that nobody can put a link into its place
 * while this runs.
 */
export async function removeTree(system: Pick<System, 'fs'>, path: string): Promise<void> {
  try {
    await system.fs.unlink(path);
    return;
  } catch (error) {
    const errno = errnoOf(error) ?? '';
    if (errno === 'ENOENT') return;
    // What unlink(2) says of a folder: Linux EISDIR, others EPERM.
    if (errno !== 'EISDIR' && errno !== 'EPERM') throw error;
    const folder = await HeldFolder.open(system, path).catch((why: unknown) => {
      const other = errnoOf(why);
      if (other === 'ENOENT') return null;
      // It is no folder: what unlink said stands.
      throw other === 'ELOOP' || other === 'ENOTDIR' ? error : why;
    });
    if (folder === null) return;
    try {
      await removeContent(system, folder);
    } finally {
      await folder.close();
    }
  }
  await removeEmptied(system, path);
}

/** Removes all that a held folder holds, but what `keep` names. */
export async function removeContent(system: Pick<System, 'fs'>, folder: HeldFolder, keep?: (name: string) => boolean): Promise<void> {
  const entries: Dirent[] = await system.fs.readdir(folder.here, { withFileTypes: true });
  for (const { name } of entries) if (keep?.(name) !== true) await removeTree(system, folder.at(name));
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
