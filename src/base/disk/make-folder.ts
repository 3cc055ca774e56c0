import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf } from './errno.ts';

/**
 * Makes a folder and those above it, where they are not there. (Of Node's own `recursive` a read-only file
 * system comes back as ENOENT.)
 * @returns the outermost of those that were made, null where there was nothing to make @throws the errno of
 *   mkdir(2)
 */
export async function makeFolder(path: string): Promise<string | null> {
  try {
    await mkdir(path);
    return path;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return null;
    if (errnoOf(error) !== 'ENOENT') throw error;
    const outermost = await makeFolder(dirname(path));
    try {
      await mkdir(path);
    } catch (again) {
      if (errnoOf(again) !== 'EEXIST') throw again;
      return outermost;
    }
    return outermost ?? path;
  }
}
