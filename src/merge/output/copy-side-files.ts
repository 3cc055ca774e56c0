import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { onOutput } from '../../base/disk/io-error.ts';
import { makeFoldersSync, openAnew } from '../../base/disk/own-file.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import type { OpenFile } from '../../base/store/types.ts';
import { openFound } from '../../checkpoints/link-ground.ts';
import type { SideFile } from '../../checkpoints/side-files.ts';

/** Optimizer state is twice the size of a model and more: it passes through in pieces. */
const PIECE = 4 * 2 ** 20;

/** Where copies go: the folder for system calls, and its name for people. */
export interface CopyTarget {
  readonly dir: string;
  readonly shown: string;
}

/** A file that was copied. */
export interface CopiedFile {
  readonly name: string;
  readonly bytes: number;
  /** As `sum` makes it; 0 where there is none. */
  readonly crc: number;
}

export interface CopyOptions {
  /** Contents to write instead of the source's, by name. */
  readonly replaced?: ReadonlyMap<string, string> | undefined;
  /** The checksum of what was before and `bytes`, of what is written. */
  readonly sum?: ((bytes: Uint8Array, before: number) => number) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Copies files into a folder by content: modes, owners, times and links of the source mean nothing in the
 * copy, and no file system feature is needed. What is copied is the very file that was looked at while
 * planning.
 * @throws MergeError E_NOT_FOUND, E_NOT_READABLE, E_INPUT_CHANGED for a source; E_NO_SPACE, E_IO for the
 *   copy; `signal.reason` on an abort
 */
export async function copySideFiles(
  files: readonly SideFile[],
  { dir, shown }: CopyTarget,
  { replaced, sum = () => 0, signal }: CopyOptions = {},
): Promise<readonly CopiedFile[]> {
  const copied: CopiedFile[] = [];
  for (const file of files) {
    const target = { path: join(dir, file.name), shown: join(shown, file.name) };
    await onOutput('create', target.shown, async () => makeFoldersSync(dirname(target.path)));
    const edited = replaced?.get(file.name);
    if (edited === undefined) copied.push({ name: file.name, ...(await copyContent(file, target, sum, signal)) });
    else {
      const copy = await makeAnew(target);
      await onOutput('write', target.shown, () => copy.writeFile(edited)).finally(() =>
        onOutput('close', target.shown, () => copy.close()),
      );
      const bytes = Buffer.from(edited);
      copied.push({ name: file.name, bytes: bytes.length, crc: sum(bytes, 0) });
    }
  }
  return copied;
}

type Copied = Omit<CopiedFile, 'name'>;

async function copyContent(file: SideFile, target: Target, sum: NonNullable<CopyOptions['sum']>, signal?: AbortSignal): Promise<Copied> {
  const source = await openFound(file);
  try {
    const copy = await makeAnew(target);
    return await pump(source, file, { copy, shown: target.shown, sum }, signal).finally(() =>
      onOutput('close', target.shown, () => copy.close()),
    );
  } finally {
    await source.close();
  }
}

async function pump(
  source: OpenFile,
  { path, size }: SideFile,
  { copy, shown, sum }: { readonly copy: FileHandle; readonly shown: string; readonly sum: NonNullable<CopyOptions['sum']> },
  signal?: AbortSignal,
): Promise<Copied> {
  const buffer = Buffer.allocUnsafe(Math.min(PIECE, size + 1));
  let copied = 0;
  let crc = 0;
  // One that grows meanwhile is not followed.
  while (copied <= size) {
    signal?.throwIfAborted();
    const bytes = await source.read(buffer, copied);
    if (bytes === 0) break;
    // A FileHandle's writeFile goes on from the current position.
    await onOutput('write', shown, () => copy.writeFile(buffer.subarray(0, bytes)));
    crc = sum(buffer.subarray(0, bytes), crc);
    copied += bytes;
  }
  if (copied === size) return { bytes: copied, crc };
  throw new MergeError('E_INPUT_CHANGED', `${path} had ${size} bytes when the merge was planned, and another number while it was copied`, {
    details: { file: path },
  });
}

interface Target {
  readonly path: string;
  readonly shown: string;
}

async function makeAnew({ path, shown }: Target): Promise<FileHandle> {
  return onOutput('create', shown, () => openAnew(SYSTEM, path));
}
