import { createHash } from 'node:crypto';
import { read } from 'node:fs';
import { type FileHandle, stat } from 'node:fs/promises';
import { type FileStat, fileStat, openRegular, readError, readExactly } from '../base/disk/read-file.ts';
import { MergeError } from '../base/errors.ts';
import type { Checkpoint, Shard } from './types.ts';

const BLOCKS = 64;
const BLOCK_BYTES = 4096;

/**
 * Identifies the content of a checkpoint without reading all of it. SHA-256, in hex, over the following bytes
 * of each shard, in the order of shard names: its size in bytes as a little-endian unsigned 64-bit integer;
 * the bytes before its data section (header length and header); then 64 blocks of 4,096 bytes, block i at
 * byte floor(i * (n - 4096) / 63) of its data section of n bytes, or the whole data section where n is at
 * most 262,144. (Headers alone identify nothing: those of two steps of a run are equal.)
 * @throws MergeError E_INPUT_CHANGED, E_NOT_FOUND, E_NOT_READABLE, E_IO
 */
export async function fingerprint(checkpoint: Pick<Checkpoint, 'shards'>): Promise<string> {
  const hash = createHash('sha256');
  for (const { path, stat: opened, header } of checkpoint.shards) {
    const { handle, stat } = await openRegular(path);
    try {
      if (changed(opened, stat)) throw inputChanged(path);
      const size = Buffer.alloc(8);
      size.writeBigUInt64LE(BigInt(stat.size));
      hash.update(size);
      // All are in flight together: one after another they would cost a round trip each on a network file
      // system.
      const pieces = sampledRanges(header.dataStart, stat.size).map(([start, end]) => readPiece(handle, path, start, end));
      for (const bytes of await Promise.all(pieces)) hash.update(bytes);
    } finally {
      await handle.close();
    }
  }
  return hash.digest('hex');
}

/**
 * By callback: a promise of FileHandle costs more than reading 4 KiB, and there are 64 of them in every
 * shard.
 */
function readPiece(handle: FileHandle, path: string, start: number, end: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(end - start);
  return new Promise((resolve, reject) => {
    read(handle.fd, bytes, 0, bytes.length, start, (error, done) => {
      if (error !== null) reject(readError(error, path));
      else if (done === bytes.length) resolve(bytes);
      // A short read is rare (a signal, the end of a file that shrank): the slower way goes on or says what
      // is wrong.
      else readExactly(handle, path, bytes.subarray(done), start + done).then(() => resolve(bytes), reject);
    });
  });
}

function sampledRanges(dataStart: number, fileSize: number): [start: number, end: number][] {
  const dataBytes = fileSize - dataStart;
  if (dataBytes <= BLOCKS * BLOCK_BYTES) return [[0, fileSize]];
  const blocks = Array.from({ length: BLOCKS }, (_, i): [number, number] => {
    const start = dataStart + Math.floor((i * (dataBytes - BLOCK_BYTES)) / (BLOCKS - 1));
    return [start, start + BLOCK_BYTES];
  });
  return [[0, dataStart], ...blocks];
}

/**
 * What identifies a file on this machine: device, inode, mtime and ctime in nanoseconds, size in bytes.
 * Resuming needs all of them equal.
 */
export function fileIdentity({ stat: { dev, ino, mtimeNs, ctimeNs, size } }: Pick<Shard, 'stat'>): string {
  return `${dev}:${ino}:${mtimeNs}:${ctimeNs}:${size}`;
}

/**
 * Checks that no shard changed since the checkpoint was opened. The time of the last status change is left
 * out: a hard link made by a backup moves it.
 * @throws MergeError E_INPUT_CHANGED naming the file, E_NOT_READABLE, E_IO
 */
export async function assertUnchanged(checkpoint: Pick<Checkpoint, 'shards'>): Promise<void> {
  for (const { path, stat: opened } of checkpoint.shards) {
    const now = await stat(path, { bigint: true }).catch((error: unknown) => {
      const problem = readError(error, path);
      throw problem.code === 'E_NOT_FOUND' ? inputChanged(path, problem) : problem;
    });
    if (changed(opened, fileStat(now))) throw inputChanged(path);
  }
}

function changed(a: FileStat, b: FileStat): boolean {
  return a.size !== b.size || a.mtimeNs !== b.mtimeNs || a.ino !== b.ino || a.dev !== b.dev;
}

function inputChanged(path: string, cause?: unknown): MergeError {
  return new MergeError('E_INPUT_CHANGED', `${path}: the file changed since it was opened`, { details: { file: path }, cause });
}
