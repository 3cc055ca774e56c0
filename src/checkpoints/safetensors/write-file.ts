import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { encodeTable, type HeaderMetadata, layOutTensors, type TensorSpec } from './encode-header.ts';

/** A tensor with its bytes, little-endian and in row-major order. */
export interface TensorData extends TensorSpec {
  readonly data: Uint8Array;
}

/**
 * Tensors are gathered into writes of about this many bytes, so that many small ones do not cost a system
 * call each.
 */
const WRITE_BYTES = 4 * 1024 * 1024;

/**
 * Writes a safetensors file: 8-byte aligned header, data in the order given. The file appears whole or not at
 * all (a hidden sibling is written, fsynced and renamed over `path`). For data that is already in memory;
 * merging has its own way to disk.
 * @param options.metadata `__metadata__`; transformers asks for `{ format: 'pt' }`
 * @throws MergeError E_SIZE_MISMATCH when a tensor's data does not fit its dtype and shape, what
 *   `encodeHeader` throws, E_NO_SPACE, E_READ_ONLY, E_IO
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<TensorData>,
  options: { readonly metadata?: HeaderMetadata } = {},
): Promise<void> {
  const list = [...tensors];
  const table = layOutTensors(list);
  list.forEach(({ name, dtype, shape, data }, row) => {
    const bytes = table.end[row]! - table.begin[row]!;
    if (data.byteLength === bytes) return;
    throw new MergeError(
      'E_SIZE_MISMATCH',
      `tensor ${JSON.stringify(name)}: ${dtype} of shape [${shape.join(', ')}] needs ${bytes} bytes, its data has ${data.byteLength}`,
      { details: { file: path, tensor: name }, help: 'Correct what is being written.' },
    );
  });
  const header = encodeTable(table, options.metadata ?? null);
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const handle = await open(temporary, 'wx');
    try {
      await writeAll(handle, [header, ...list.map(({ data }) => data)]);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true });
    throw writeError(error, path);
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

/**
 * Makes the rename durable. Some file systems cannot sync a folder and say so with EINVAL or ENOTSUP, which
 * is no failure.
 */
async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EINVAL' && code !== 'ENOTSUP') throw error;
  } finally {
    await handle.close();
  }
}

function writeError(error: unknown, path: string): MergeError {
  if (error instanceof MergeError) return error;
  const { code: errno, syscall, message } = error as NodeJS.ErrnoException;
  const code =
    errno === 'ENOSPC' || errno === 'EDQUOT' || errno === 'EFBIG'
      ? 'E_NO_SPACE'
      : errno === 'EACCES' || errno === 'EPERM' || errno === 'EROFS'
        ? 'E_READ_ONLY'
        : 'E_IO';
  const details = { file: path, ...(errno && { errno }), ...(syscall && { syscall }) };
  return new MergeError(code, `${path}: cannot be written: ${message}`, { details, cause: error });
}
