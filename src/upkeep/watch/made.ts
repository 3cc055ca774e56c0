import { join } from 'node:path';
import type { HeldFolder } from '../../base/disk/held-folder.ts';
import { onOutput } from '../../base/disk/io-error.ts';
import { newId } from '../../base/disk/new-id.ts';
import { removeTree } from '../../base/disk/remove-tree.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { storeOf } from '../../base/store/store.ts';
import { readProvenance } from '../../merge/record/read-provenance.ts';
import type { Made } from './state.ts';

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
 * somebody, and stays. Each leaves its place in one rename, so that nobody meets half of it, and is looked at
 * where only this user can put anything.
 * @param folder that of the watch's lock
 * @returns the paths that were removed
 */
export async function removeMade(output: string, folder: HeldFolder, made: readonly Made[]): Promise<string[]> {
  const removed: string[] = [];
  for (const { output: name, digest } of made) {
    const path = join(output, name);
    if ((await digestOf(path)) !== digest) continue;
    const aside = folder.at(`removed-${newId()}`);
    await onOutput('remove', path, async () => {
      await SYSTEM.fs.rename(path, aside);
      if ((await digestOf(aside)) === digest) await removeTree(SYSTEM, aside);
      else await SYSTEM.fs.rename(aside, path);
    });
    removed.push(path);
  }
  return removed;
}

/** Ends removals that an earlier process began. @param folder that of the watch's lock */
export async function sweep(folder: HeldFolder): Promise<void> {
  await onOutput('remove', folder.path, async () => {
    for (const name of await SYSTEM.fs.readdir(folder.here)) {
      if (name.startsWith('removed-')) await removeTree(SYSTEM, folder.at(name));
    }
  });
}
