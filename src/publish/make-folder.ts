import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf } from './io-error.ts';

/** Makes a folder and those above it, where they are not there. (Of Node's own `recursive` a read-only file system comes back as ENOENT.) @throws the errno of mkdir(2) */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return;
    if (errnoOf(error) !== 'ENOENT') throw error;
    await makeFolder(dirname(path));
    await mkdir(path).catch((again: unknown) => {
      if (errnoOf(again) !== 'EEXIST') throw again;
    });
  }
}
