import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type System, writeNewFile } from './system.ts';

/** The heartbeat is touched this often, milliseconds. */
export const HEARTBEAT_MS = 30_000;
/** A heartbeat this far behind the file system's clock, milliseconds, belongs to a process that ended. */
const STALE_MS = 15 * 60_000;
export const HEARTBEAT = 'heartbeat';

/**
 * Whether the heartbeat in a folder is {@link STALE_MS} behind `probe`, a file that is made to learn the file
 * system's time. False where that fails.
 */
export async function heartbeatStopped(partial: string, probe: string, system: System): Promise<boolean> {
  try {
    // Without a heartbeat the process ended while it made the partial, or while it removed it.
    const beat = await stat(join(partial, HEARTBEAT)).catch(() => stat(partial));
    await writeNewFile(system, probe, '');
    const now = await stat(probe);
    return now.mtimeMs - beat.mtimeMs > STALE_MS;
  } catch {
    return false;
  } finally {
    await system.fs.rm(probe, { force: true }).catch(() => {});
  }
}
