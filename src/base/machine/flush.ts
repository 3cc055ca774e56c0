import { fdatasync, fsync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { promisify } from 'node:util';

const BY_DESCRIPTOR = { sync: promisify(fsync), datasync: promisify(fdatasync) } as const;

/** What a flush is: with all that the file system keeps of a file, or with what it takes to read it again. */
export type Flush = keyof typeof BY_DESCRIPTOR;

/** Whether a handle can flush itself. Those of Yarn's Plug'n'Play, which stand in for Node's, cannot. */
export type FlushedBy = 'handle' | 'descriptor';

/**
 * Has what was written to a file, or what changed in a folder, put on the disk.
 * @throws the errno of fsync(2), fdatasync(2)
 */
export async function flush(handle: FileHandle, how: Flush = 'sync'): Promise<FlushedBy> {
  try {
    await handle[how]();
    return 'handle';
  } catch (error) {
    // What the system says has a code. "Method not implemented" and "not a function" have none.
    if ((error as NodeJS.ErrnoException).code !== undefined) throw error;
    await BY_DESCRIPTOR[how](handle.fd);
    return 'descriptor';
  }
}
