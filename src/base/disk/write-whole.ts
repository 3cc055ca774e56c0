import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { flush } from '../machine/flush.ts';
import { toMergeError } from './io-error.ts';
import { newId } from './new-id.ts';
import { syncFolder } from './own-file.ts';
import { removeTree } from './remove-tree.ts';
import { SYSTEM } from './system.ts';

/**
 * Chunks are gathered into writes of about this many bytes, so that many small ones do not cost a system call
 * each.
 */
const WRITE_BYTES = 4 * 1024 * 1024;

/**
 * Writes a file that appears whole or not at all: a hidden sibling is written, fsynced and renamed over
 * `path`.
 * @throws MergeError of the side of outputs, see `toMergeError`
 */
export async function writeWhole(path: string, chunks: readonly Uint8Array[]): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${newId()}.tmp`);
  try {
    const handle = await SYSTEM.fs.open(temporary, 'wx');
    try {
      await writeAll(handle, chunks);
      await flush(handle);
    } finally {
      await handle.close();
    }
    await SYSTEM.fs.rename(temporary, path);
    await syncFolder(SYSTEM, dirname(path));
  } catch (error) {
    await removeTree(SYSTEM, temporary).catch(() => {});
    throw toMergeError(error, { action: 'write', file: path, side: 'output' });
  }
}

async function writeAll(handle: FileHandle, chunks: readonly Uint8Array[]): Promise<void> {
  let batch: Uint8Array[] = [];
  let size = 0;
  for (const chunk of chunks) {
    batch.push(chunk);
    size += chunk.byteLength;
    if (size < WRITE_BYTES) continue;
    await writeBatch(handle, batch);
    batch = [];
    size = 0;
  }
  await writeBatch(handle, batch);
}

/** `appendFile` writes all of it, where `write` and `writev` may stop short. */
async function writeBatch(handle: FileHandle, batch: readonly Uint8Array[]): Promise<void> {
  const [only] = batch;
  if (only === undefined) return;
  await handle.appendFile(batch.length === 1 ? only : Buffer.concat(batch));
}
