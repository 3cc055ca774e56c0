import { readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { onOutput } from '../../base/disk/io-error.ts';
import { newId } from '../../base/disk/owner.ts';
import { removeTree, systemOf } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { storeOf } from '../../base/store/store.ts';
import { readProvenance } from '../record/read-provenance.ts';
import { type Made, WATCH_FOLDER } from './state.ts';

/**
 * The digest of the plan that a merge was made by; null where it is not a merge of this tool, undefined where
 * there is nothing.
 */
export async function digestOf(path: string): Promise<string | null | undefined> {
  try {
    const provenance = await readProvenance(path);
    if (provenance !== null) return provenance.planDigest;
  } catch (error) {
    if (!(error instanceof MergeError)) throw error;
    return null;
  }
  return storeOf(path)
    .stat(path)
    .then(
      () => null,
      () => undefined,
    );
}

/**
 * Removes merges that the watch made: a folder whose provenance is not the one on record was replaced by
 * somebody, and stays. Each leaves its place in one rename, so that nobody meets half of it.
 * @returns the paths that were removed
 */
export async function removeMade(output: string, made: readonly Made[]): Promise<string[]> {
  const removed: string[] = [];
  for (const { output: name, digest } of made) {
    const path = join(output, name);
    if ((await digestOf(path)) !== digest) continue;
    const aside = join(output, WATCH_FOLDER, `removed-${newId()}`);
    await onOutput('remove', path, async () => {
      await rename(path, aside);
      await removeTree(systemOf({}), aside);
    });
    removed.push(path);
  }
  return removed;
}

/** Ends removals that an earlier process began. */
export async function sweep(output: string): Promise<void> {
  const folder = join(output, WATCH_FOLDER);
  for (const name of await readdir(folder)) {
    if (name.startsWith('removed-')) await removeTree(systemOf({}), join(folder, name));
  }
}
