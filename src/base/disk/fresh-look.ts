import { isGoneError } from './io-error.ts';
import { constants, type System } from './system.ts';

// Network file systems answer looks at names from what they knew a moment ago: NFS for up to a minute, of names that
// were not there, too. To open something is to ask the server anew (close-to-open consistency, nfs(5)).

const LOOK = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Whether there is nothing of this name, by a fresh open. What cannot be told counts as no. */
export async function isRemoved(system: Pick<System, 'fs'>, path: string): Promise<boolean> {
  try {
    await (await system.fs.open(path, LOOK)).close();
    return false;
  } catch (error) {
    return isGoneError(error);
  }
}

/** Before a look at what another machine may have made in a folder since this one looked. Never throws. */
export async function askAnew(system: Pick<System, 'fs'>, folder: string): Promise<void> {
  await system.fs
    .open(folder, LOOK | constants.O_DIRECTORY)
    .then((handle) => handle.close())
    .catch(() => {});
}
