import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf } from '../../base/disk/errno.ts';
import { onOutput } from '../../base/disk/io-error.ts';
import { MergeError } from '../../base/errors.ts';
import type { OpenFile } from '../../base/store/types.ts';
import { openFound } from '../../checkpoints/link-ground.ts';
import type { SideFile } from '../../checkpoints/side-files.ts';

/** Optimizer state is twice the size of a model and more: it passes through in pieces. */
const PIECE = 4 * 2 ** 20;

/**
 * Copies files into `dir` by content: modes, owners, times and links of the source mean nothing in the copy,
 * and no file system feature is needed. What is copied is the very file that was looked at while planning.
 * @param replaced contents to write instead of the source's, by name
 * @returns bytes written
 * @throws MergeError E_NOT_FOUND, E_NOT_READABLE, E_INPUT_CHANGED for a source; E_NO_SPACE, E_IO for the
 *   copy; `signal.reason` on an abort
 */
export async function copySideFiles(
  files: readonly SideFile[],
  dir: string,
  replaced: ReadonlyMap<string, string> = new Map(),
  signal?: AbortSignal,
): Promise<number> {
  let bytes = 0;
  for (const file of files) {
    const target = join(dir, file.name);
    await onOutput('create', target, () => mkdir(dirname(target), { recursive: true }));
    const edited = replaced.get(file.name);
    if (edited === undefined) bytes += await copyContent(file, target, signal);
    else {
      const copy = await makeAnew(target);
      await onOutput('write', target, () => copy.writeFile(edited)).finally(() => onOutput('close', target, () => copy.close()));
      bytes += Buffer.byteLength(edited);
    }
  }
  return bytes;
}

async function copyContent(file: SideFile, target: string, signal?: AbortSignal): Promise<number> {
  const source = await openFound(file);
  try {
    const copy = await makeAnew(target);
    return await pump(source, file, { copy, target }, signal).finally(() => onOutput('close', target, () => copy.close()));
  } finally {
    await source.close();
  }
}

async function pump(
  source: OpenFile,
  { path, size }: SideFile,
  { copy, target }: { readonly copy: FileHandle; readonly target: string },
  signal?: AbortSignal,
): Promise<number> {
  const buffer = Buffer.allocUnsafe(Math.min(PIECE, size + 1));
  let copied = 0;
  // One that grows meanwhile is not followed.
  while (copied <= size) {
    signal?.throwIfAborted();
    const bytes = await source.read(buffer, copied);
    if (bytes === 0) break;
    // A FileHandle's writeFile goes on from the current position.
    await onOutput('write', target, () => copy.writeFile(buffer.subarray(0, bytes)));
    copied += bytes;
  }
  if (copied === size) return copied;
  throw new MergeError('E_INPUT_CHANGED', `${path} had ${size} bytes when the merge was planned, and another number while it was copied`, {
    details: { file: path },
  });
}

/** A new file: one that an interrupted run left is removed, and nothing that has the name is written into. */
async function makeAnew(target: string): Promise<FileHandle> {
  return onOutput('create', target, async () => {
    await unlink(target).catch((error: unknown) => {
      if (errnoOf(error) !== 'ENOENT') throw error;
    });
    return open(target, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW);
  });
}
