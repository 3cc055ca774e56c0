import { dirname } from 'node:path';
import { errnoOf } from './errno.ts';
import { SYSTEM } from './system.ts';

/** Of a folder that only this user may look into. */
export const PRIVATE = 0o700;
/** Of a folder that others may read, and only this user may write to, whatever the umask. */
export const READABLE = 0o755;

/**
 * Makes a folder and those above it, where they are not there. (Of Node's own `recursive` a read-only file
 * system comes back as ENOENT.)
 * @param mode of the folder itself; those above it have the modes of the umask
 * @returns the outermost of those that were made, null where there was nothing to make @throws the errno of
 *   mkdir(2)
 */
export async function makeFolder(path: string, mode?: number): Promise<string | null> {
  try {
    await SYSTEM.fs.mkdir(path, mode);
    return path;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return null;
    if (errnoOf(error) !== 'ENOENT') throw error;
    const outermost = await makeFolder(dirname(path));
    try {
      await SYSTEM.fs.mkdir(path, mode);
    } catch (again) {
      if (errnoOf(again) !== 'EEXIST') throw again;
      return outermost;
    }
    return outermost ?? path;
  }
}
