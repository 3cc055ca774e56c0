import { type FileHandle, mkdir, open, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { onOutput, toMergeError } from '../../base/disk/io-error.ts';
import { MergeError } from '../../base/errors.ts';
import type { SideFile } from '../../checkpoints/side-files.ts';

/** Optimizer state is twice the size of a model and more: it passes through in pieces. */
const PIECE = 4 * 2 ** 20;

/** A file to copy; where its size is known, another size is a change that nobody asked for. */
type Copied = Pick<SideFile, 'name' | 'path'> & Partial<Pick<SideFile, 'size'>>;

/**
 * Copies files into `dir` by content: modes, owners, times and links of the source mean nothing in the copy,
 * and no file system feature is needed.
 * @param replaced contents to write instead of the source's, by name
 * @returns bytes written
 * @throws MergeError E_NOT_FOUND, E_NOT_READABLE, E_INPUT_CHANGED for a source; E_NO_SPACE, E_IO for the
 *   copy; `signal.reason` on an abort
 */
export async function copySideFiles(
  files: readonly Copied[],
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
      await onOutput('write', target, () => writeFile(target, edited));
      bytes += Buffer.byteLength(edited);
    }
  }
  return bytes;
}

async function copyContent({ path, size }: Copied, target: string, signal?: AbortSignal): Promise<number> {
  const source = await onInput(path, () => open(path, 'r'));
  try {
    const copy = await onOutput('create', target, () => open(target, 'w'));
    const copied = await pump({ source, path }, { copy, target }, signal).finally(() => onOutput('close', target, () => copy.close()));
    if (size !== undefined && copied !== size) {
      throw new MergeError('E_INPUT_CHANGED', `${path} had ${size} bytes when the merge was planned, and ${copied} when it was copied`, {
        details: { file: path },
      });
    }
    return copied;
  } finally {
    await source.close();
  }
}

async function pump(
  { source, path }: { readonly source: FileHandle; readonly path: string },
  { copy, target }: { readonly copy: FileHandle; readonly target: string },
  signal?: AbortSignal,
): Promise<number> {
  const buffer = Buffer.allocUnsafe(PIECE);
  for (let copied = 0; ; ) {
    signal?.throwIfAborted();
    const { bytesRead } = await onInput(path, () => source.read(buffer, 0, buffer.length, null));
    if (bytesRead === 0) return copied;
    // A FileHandle's writeFile goes on from the current position.
    await onOutput('write', target, () => copy.writeFile(buffer.subarray(0, bytesRead)));
    copied += bytesRead;
  }
}

async function onInput<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw toMergeError(error, { action: 'read', file: path, side: 'input' });
  }
}
