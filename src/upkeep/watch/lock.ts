import { acquireLock, type FolderLock, type LockedWork } from '../../base/disk/folder-lock.ts';
import { makeWatchFolder } from './state.ts';
import type { WatchOptions } from './types.ts';

/**
 * Takes the lock of a watch's folder, which is made where it is not there: one process at a time decides what
 * is due there.
 * @throws MergeError E_BUSY, E_OTHER_USER; of the side of outputs
 */
export async function lockWatch({ output }: Pick<WatchOptions, 'output'>, turn?: LockedWork['turn']): Promise<FolderLock> {
  return acquireLock(await makeWatchFolder(output), {
    name: 'watch',
    output,
    code: 'E_BUSY',
    busy: 'is being watched',
    help: 'Where another watch is meant: end it, or give this one another folder with -o.',
    ...(turn !== undefined && { turn }),
  });
}
