import fs from 'node:fs/promises';
import type { Warning } from '../errors.ts';
import { errnoOf } from './errno.ts';
import { onOutput } from './io-error.ts';
import type { ProcessIdentity } from './process-identity.ts';

/**
 * The calls of node:fs/promises by which a publication changes anything, so that a test can fail or stop each
 * of them.
 */
export type PublishFs = Pick<typeof fs, 'link' | 'mkdir' | 'open' | 'rename' | 'rm' | 'rmdir' | 'statfs' | 'unlink'>;

/** rename(2) with a flag: fails where something is there, or exchanges the two. */
export type RenameWithFlag = (from: string, to: string, how: 'noreplace' | 'exchange') => void;

export interface PublishHooks {
  /** The native call. Without it the fallbacks for file systems without rename flags are used. */
  readonly rename?: RenameWithFlag;
  readonly onWarning?: (warning: Warning) => void;
  /** Tests only. */
  readonly fs?: PublishFs;
  /** Who this process says it is. Tests only. */
  readonly self?: ProcessIdentity;
}

/** Hooks with their defaults. */
export interface System {
  readonly fs: PublishFs;
  readonly rename: RenameWithFlag;
  readonly warn: (warning: Warning) => void;
}

export function systemOf(hooks: PublishHooks): System {
  return {
    fs: hooks.fs ?? fs,
    rename:
      hooks.rename ??
      (() => {
        throw Object.assign(new Error('no rename with flags here'), { errno: 'ENOSYS' });
      }),
    warn: hooks.onWarning ?? (() => {}),
  };
}

/** fsyncs a file. @throws MergeError for any failure of fsync or close. */
export function syncFile(system: System, path: string): Promise<void> {
  return onOutput('flush', path, async () => {
    const handle = await system.fs.open(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  });
}

/**
 * fsyncs a folder; a file system that cannot (EINVAL, ENOTSUP) is taken at its word. @throws MergeError for
 * any other failure.
 */
export async function syncFolder(system: System, path: string): Promise<void> {
  await onOutput('flush', path, async () => {
    const handle = await system.fs.open(path, 'r');
    try {
      await handle.sync().catch((error: unknown) => {
        if (!['EINVAL', 'ENOTSUP', 'EOPNOTSUPP'].includes(errnoOf(error) ?? '')) throw error;
      });
    } finally {
      await handle.close();
    }
  });
}

/** Writes a small new file and fsyncs it. Fails with EEXIST where there is one. */
export async function writeNewFile(system: System, path: string, text: string): Promise<void> {
  const handle = await system.fs.open(path, 'wx');
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Removes a file or folder with all that is in it; nothing there is fine. NFS keeps removed open files for a
 * moment, hence the retries.
 */
export async function removeTree(system: System, path: string): Promise<void> {
  await system.fs.rm(path, { recursive: true, force: true, maxRetries: 4, retryDelay: 100 });
}
