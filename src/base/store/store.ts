import { MergeError } from '../errors.ts';
import { localStore } from './local.ts';
import type { OpenFile, Store } from './types.ts';

/** The first that holds a path is where it is read from. */
const STORES: readonly Store[] = [localStore];

/** The store that a path names: what everything that reads checkpoints asks first. */
export function storeOf(path: string): Store {
  return STORES.find((store) => store.holds(path)) ?? localStore;
}

/**
 * Fills the buffer from byte `position` of a file on.
 * @throws MergeError E_INPUT_CHANGED when the file ends early, E_IO
 */
export async function readExactly(file: OpenFile, into: Uint8Array, position: number): Promise<void> {
  const bytes = await file.read(into, position);
  if (bytes === into.length) return;
  const { path } = file;
  throw new MergeError('E_INPUT_CHANGED', `${path}, byte ${position + bytes}: the file became shorter while it was read`, {
    details: { file: path, position: position + bytes },
  });
}

/**
 * All of a file.
 * @param limit bytes: what is longer is some other kind of file, and is not read
 * @throws MergeError E_NOT_FOUND; E_NOT_READABLE for what is no regular file, cannot be read or is longer;
 *   E_IO
 */
export async function readWhole(path: string, limit: number): Promise<Buffer> {
  const file = await storeOf(path).open(path);
  try {
    const { size } = file.stat;
    if (size > limit) {
      throw new MergeError('E_NOT_READABLE', `${path}: has ${size} bytes, and a file of its kind is read up to ${limit} bytes`, {
        details: { file: path },
      });
    }
    const bytes = Buffer.allocUnsafe(size);
    await readExactly(file, bytes, 0);
    return bytes;
  } finally {
    await file.close();
  }
}

/**
 * The first bytes of a file, or all of a shorter one.
 * @throws MergeError E_NOT_FOUND, E_NOT_READABLE, E_IO
 */
export async function readStart(path: string, bytes: number): Promise<Buffer> {
  const file = await storeOf(path).open(path);
  try {
    const start = Buffer.allocUnsafe(Math.min(bytes, file.stat.size));
    return start.subarray(0, await file.read(start, 0));
  } finally {
    await file.close();
  }
}

/**
 * As {@link readWhole}, and null where nothing is at the path (a link that leads nowhere is nothing).
 * @throws MergeError E_NOT_READABLE, E_IO
 */
export async function readIfThere(path: string, limit: number): Promise<Buffer | null> {
  try {
    return await readWhole(path, limit);
  } catch (error) {
    if (error instanceof MergeError && error.code === 'E_NOT_FOUND') return null;
    throw error;
  }
}
