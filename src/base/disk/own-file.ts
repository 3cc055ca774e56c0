import { constants, lstatSync, mkdirSync, writeSync } from 'node:fs';
import { chmod, copyFile, type FileHandle, stat, utimes } from 'node:fs/promises';
import { MergeError } from '../errors.ts';
import { flush } from '../machine/flush.ts';
import { errnoOf } from './errno.ts';
import { onOutput } from './io-error.ts';
import type { System } from './system.ts';

const { O_RDONLY, O_WRONLY, O_RDWR, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
const WAYS = { read: O_RDONLY, flush: O_RDONLY, write: O_RDWR, append: O_WRONLY | O_APPEND | O_CREAT } as const;

/**
 * Opens a file that this program made, and that may be there: never through a link at its end, and never one
 * that has another name too, since writing to it would change what has the other name.
 * @param shown the path for people
 * @throws MergeError E_OUTPUT_KIND for what is no regular file or has several names; the errno of open(2)
 */
export async function openOwn(system: Pick<System, 'fs'>, path: string, how: keyof typeof WAYS, shown = path): Promise<FileHandle> {
  const handle = await system.fs.open(path, WAYS[how] | O_NOFOLLOW | O_NONBLOCK);
  try {
    const stats = await handle.stat();
    // A record of an owner has two names for a moment, until it is linked into its place.
    const wrong = !stats.isFile() ? 'is no regular file' : how !== 'read' && stats.nlink > 1 ? 'has a second name (a hard link)' : null;
    if (wrong === null) return handle;
    throw new MergeError('E_OUTPUT_KIND', `${shown} ${wrong}, and is not used`, {
      details: { file: shown },
      help: 'This program made no such thing: see who put it there, and remove it.',
    });
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Most bytes of a record of who works where. */
const MOST_BYTES = 2 ** 20;

/**
 * The bytes of a small file that this program made.
 * @throws MergeError E_OUTPUT_KIND for what is no regular file or has more than `limit` bytes; the errno
 */
export async function readOwn(system: Pick<System, 'fs'>, path: string, { limit = MOST_BYTES, shown = path } = {}): Promise<Buffer> {
  const handle = await openOwn(system, path, 'read', shown);
  try {
    const { size } = await handle.stat();
    if (size > limit)
      throw new MergeError('E_OUTPUT_KIND', `${shown} has ${size} bytes, more than the ${limit} that it can have`, {
        details: { file: shown },
      });
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

/** Cuts a file that this program made. @throws MergeError E_OUTPUT_KIND as {@link openOwn}; the errno */
export async function truncateOwn(system: System, path: string, bytes: number): Promise<void> {
  const handle = await openOwn(system, path, 'write');
  try {
    await handle.truncate(bytes);
  } finally {
    await handle.close();
  }
}

/**
 * Writes over parts of a file that this program made.
 * @throws MergeError E_OUTPUT_KIND as {@link openOwn}; the errno
 */
export async function patchOwn(
  system: System,
  path: string,
  patches: readonly { readonly offset: number; readonly bytes: Uint8Array }[],
): Promise<void> {
  const handle = await openOwn(system, path, 'write');
  try {
    // A patch is a few bytes into the page cache: to hand each to another thread takes ten times as long.
    for (const { offset, bytes } of patches) {
      for (let at = 0; at < bytes.length; ) at += writeSync(handle.fd, bytes, at, bytes.length - at, offset + at);
    }
  } finally {
    await handle.close();
  }
}

/** fsyncs a file that this program made. @throws MergeError for any failure of fsync or close. */
export function syncFile(system: System, path: string, shown = path): Promise<void> {
  return onOutput('flush', shown, async () => {
    const handle = await openOwn(system, path, 'flush', shown);
    try {
      await flush(handle);
    } finally {
      await handle.close();
    }
  });
}

/** What a file system says that cannot flush folders. */
export const CANNOT_FLUSH: ReadonlySet<string> = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP']);

/**
 * fsyncs a folder; a file system that cannot (EINVAL, ENOTSUP) is taken at its word. @throws MergeError for
 * any other failure.
 */
export async function syncFolder(system: System, path: string, shown = path): Promise<void> {
  await onOutput('flush', shown, async () => {
    const handle = await system.fs.open(path, 'r');
    try {
      await flush(handle).catch((error: unknown) => {
        if (!CANNOT_FLUSH.has(errnoOf(error) ?? '')) throw error;
      });
    } finally {
      await handle.close();
    }
  });
}

/**
 * Writes a new file and fsyncs it.
 * @throws EEXIST where there is anything, a link included, and other errnos
 */
export async function writeNewFile(system: System, path: string, text: string | Uint8Array): Promise<void> {
  const handle = await system.fs.open(path, 'wx');
  try {
    await handle.writeFile(text);
    await flush(handle);
  } finally {
    await handle.close();
  }
}

/** Whether there is anything of this name, a link that leads nowhere included. */
export function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    // A name that cannot be looked up: too long, or in a folder that is closed to us.
    return false;
  }
}

/** Makes a folder in a folder of our own, and those between them. @throws the errno of mkdir(2) */
export function makeFoldersSync(path: string): void {
  mkdirSync(path, { recursive: true });
}

/**
 * Begins a file of a folder of our own anew: one that an interrupted run left is removed, and nothing that has
 * the name is written into.
 * @throws the errno of unlink(2), open(2)
 */
export async function openAnew(system: System, path: string): Promise<FileHandle> {
  await system.fs.unlink(path).catch((error: unknown) => {
    if (errnoOf(error) !== 'ENOENT') throw error;
  });
  return system.fs.open(path, 'wx');
}

/** Writes a file as {@link openAnew} begins it. @throws the errno of unlink(2), open(2), write(2) */
export async function writeAnew(system: System, path: string, content: string | Uint8Array): Promise<void> {
  const handle = await openAnew(system, path);
  try {
    await handle.writeFile(content);
  } finally {
    await handle.close();
  }
}

/**
 * Copies a file, and the time of its last change to the millisecond, by which a signature knows it.
 * @throws EEXIST where the target is there; other errnos
 */
export async function copyWithTime(file: string, target: string): Promise<void> {
  const { mtimeMs } = await stat(file);
  await copyFile(file, target, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
  // The middle of the millisecond: seconds as a float64 are a little off.
  const seconds = (Math.floor(mtimeMs) + 0.5) / 1000;
  await utimes(target, seconds, seconds);
}

/**
 * Copies a file's content, whatever its owner and rights, into one that this user can write to. Links are
 * followed. @throws EEXIST where the target is there; other errnos
 */
export async function copyAnew(file: string, target: string): Promise<void> {
  await copyFile(file, target, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
  await chmod(target, 0o644);
}
