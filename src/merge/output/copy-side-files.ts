import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { onOutput } from '../../base/disk/io-error.ts';
import { makeFoldersSync, openAnew } from '../../base/disk/own-file.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { storeOf } from '../../base/store/store.ts';
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

/** Bytes of a file that is there. */
interface Range {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

/** The checksum of a file in the folder, in hexadecimal digits. */
interface ChecksumOf {
  readonly algorithm: string;
  readonly of: string;
}

/**
 * Puts a file together from bytes, from ranges of other files, and from what checksums of files are that were
 * written before it.
 * @throws MergeError E_INPUT_CHANGED where a range is not there any more; E_NO_SPACE, E_IO; `signal.reason`
 */
export async function composeFile(
  { name, parts }: { readonly name: string; readonly parts: readonly (Uint8Array | Range | ChecksumOf)[] },
  { dir, shown }: CopyTarget,
  sum: NonNullable<CopyOptions['sum']>,
  signal?: AbortSignal,
): Promise<CopiedFile> {
  const target = { path: join(dir, name), shown: join(shown, name) };
  await onOutput('create', target.shown, async () => makeFoldersSync(dirname(target.path)));
  const made = await makeAnew(target);
  let bytes = 0;
  let crc = 0;
  const write = async (piece: Uint8Array): Promise<void> => {
    await onOutput('write', target.shown, () => made.writeFile(piece));
    crc = sum(piece, crc);
    bytes += piece.length;
  };
  try {
    for (const part of parts) {
      signal?.throwIfAborted();
      if (part instanceof Uint8Array) await write(part);
      else if ('of' in part) await write(Buffer.from(await digestOf(join(dir, part.of), part.algorithm)));
      else for await (const piece of piecesOf(part)) await write(piece);
    }
  } finally {
    await onOutput('close', target.shown, () => made.close());
  }
  return { name, bytes, crc };
}

async function digestOf(path: string, algorithm: string): Promise<string> {
  const hash = createHash(algorithm);
  const { size } = await storeOf(path).stat(path);
  for await (const piece of piecesOf({ path, offset: 0, length: size })) hash.update(piece);
  return hash.digest('hex');
}

async function* piecesOf({ path, offset, length }: Range): AsyncGenerator<Uint8Array> {
  const file = await storeOf(path).open(path);
  try {
    const buffer = Buffer.allocUnsafe(Math.min(PIECE, length));
    for (let done = 0; done < length; ) {
      const bytes = await file.read(buffer.subarray(0, Math.min(PIECE, length - done)), offset + done);
      if (bytes === 0)
        throw new MergeError('E_INPUT_CHANGED', `${path} ends at byte ${offset + done}, inside what was planned to be copied`, {
          details: { file: path },
        });
      yield buffer.subarray(0, bytes);
      done += bytes;
    }
  } finally {
    await file.close();
  }
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
