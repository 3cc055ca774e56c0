import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { type ErrorCode, MergeError } from '../errors.ts';

/** What identifies a file on this machine, to notice that it changed. */
export interface FileStat {
  readonly size: number;
  readonly dev: bigint;
  readonly ino: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

const CODE_BY_ERRNO: Readonly<Record<string, ErrorCode>> = {
  ENOENT: 'E_NOT_FOUND',
  ENOTDIR: 'E_NOT_FOUND',
  EACCES: 'E_NOT_READABLE',
  EPERM: 'E_NOT_READABLE',
  EISDIR: 'E_NOT_READABLE',
  ELOOP: 'E_NOT_READABLE',
  ENAMETOOLONG: 'E_NOT_FOUND',
  EMFILE: 'E_TOO_MANY_FILES',
  ENFILE: 'E_TOO_MANY_FILES',
};

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is nothing at this path',
  ENOTDIR: 'a part of this path is not a folder',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ELOOP: 'its symbolic links run in a circle',
};

/**
 * A failed system call on an input as the error that users see. An error that is one already passes through.
 */
export function readError(error: unknown, path: string): MergeError {
  if (error instanceof MergeError) return error;
  const { code: errno, syscall, message } = error as NodeJS.ErrnoException;
  const reason = (errno && REASONS[errno]) ?? message;
  return new MergeError((errno && CODE_BY_ERRNO[errno]) || 'E_IO', `${path}: ${reason}`, {
    details: { file: path, ...(errno && { errno }), ...(syscall && { syscall }) },
    cause: error,
  });
}

/** A regular file, opened for reading. */
export interface OpenFile {
  readonly handle: FileHandle;
  readonly stat: FileStat;
}

/**
 * Opens a regular file, through symbolic links. Anything else is refused before it is opened, because opening
 * a FIFO waits for its writer and opening a device can act on it; O_NONBLOCK covers the moment between.
 * @param known to be a regular file, from the listing of its folder: saves a system call of three
 * @throws MergeError E_NOT_FOUND, E_NOT_READABLE, E_TOO_MANY_FILES, E_IO
 */
export async function openRegular(path: string, known = false): Promise<OpenFile> {
  try {
    if (!known) refuseIrregular(path, await stat(path));
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    try {
      const stats = await handle.stat({ bigint: true });
      refuseIrregular(path, stats);
      return { handle, stat: fileStat(stats) };
    } catch (error) {
      await handle.close();
      throw error;
    }
  } catch (error) {
    throw readError(error, path);
  }
}

interface Kind {
  isFile(): boolean;
  isDirectory(): boolean;
  isFIFO(): boolean;
  isSocket(): boolean;
}

function refuseIrregular(path: string, stats: Kind): void {
  if (stats.isFile()) return;
  const kind = stats.isDirectory() ? 'a folder' : stats.isFIFO() ? 'a FIFO' : stats.isSocket() ? 'a socket' : 'a device';
  throw new MergeError('E_NOT_READABLE', `${path}: is ${kind}, not a regular file`, { details: { file: path } });
}

/** The part of a stat that identifies a file. */
export function fileStat(stats: { size: bigint; dev: bigint; ino: bigint; mtimeNs: bigint; ctimeNs: bigint }): FileStat {
  const { dev, ino, mtimeNs, ctimeNs } = stats;
  return { size: Number(stats.size), dev, ino, mtimeNs, ctimeNs };
}

/**
 * Fills `buffer` from `position` of the file.
 * @throws MergeError E_INPUT_CHANGED when the file ends early, E_IO
 */
export async function readExactly(handle: FileHandle, path: string, buffer: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < buffer.length) {
    let bytesRead: number;
    try {
      ({ bytesRead } = await handle.read(buffer, done, buffer.length - done, position + done));
    } catch (error) {
      throw readError(error, path);
    }
    if (bytesRead === 0) {
      throw new MergeError('E_INPUT_CHANGED', `${path}, byte ${position + done}: the file became shorter while it was read`, {
        details: { file: path, position: position + done },
      });
    }
    done += bytesRead;
  }
}
