import type { FreshFile } from './fresh-file.ts';
import type { HeldFolder } from './held-folder.ts';
import { openOwn } from './own-file.ts';
import type { System } from './system.ts';

/** The heartbeat is touched this often, milliseconds. */
export const HEARTBEAT_MS = 30_000;
/** A heartbeat this far behind the file system's clock, milliseconds, belongs to a process that ended. */
const STALE_MS = 15 * 60_000;
export const HEARTBEAT = 'heartbeat';

/** Touches the heartbeat of a folder. @throws MergeError for what is no file; the errno of open(2), write(2) */
export async function beat(system: System, folder: HeldFolder): Promise<void> {
  const handle = await openOwn(system, folder.at(HEARTBEAT), 'write', folder.path);
  try {
    // A write, and not utimes: on a network file system the time is then the server's, like that of a file
    // made there.
    await handle.write('0', 0);
  } finally {
    await handle.close();
  }
}

/** Whether the heartbeat in a folder is {@link STALE_MS} behind the file system's clock. */
export async function heartbeatStopped(system: System, folder: HeldFolder, fresh: FreshFile): Promise<boolean> {
  try {
    // Without a heartbeat the process ended while it made the partial, or while it removed it.
    const handle = await openOwn(system, folder.at(HEARTBEAT), 'read').catch(() => null);
    if (handle === null) return fresh.mtimeMs - (await folder.mtimeMs()) > STALE_MS;
    const { mtimeMs } = await handle.stat().finally(() => handle.close());
    return fresh.mtimeMs - mtimeMs > STALE_MS;
  } catch {
    return false;
  }
}
