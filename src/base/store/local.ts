import { type BigIntStats, constants, type Dirent, read, readSync } from 'node:fs';
import { type FileHandle, open, readdir, readlink, realpath, stat } from 'node:fs/promises';
import { errnoMeaning, errnoOf, errnoText } from '../disk/errno.ts';
import { toMergeError } from '../disk/io-error.ts';
import { MergeError } from '../errors.ts';
import type { Addon, PiecesRead } from '../native/addon.ts';
import { addonIfThere } from '../native/load-addon.ts';
import { whyNothing } from '../not-here.ts';
import { Turns } from '../turns.ts';
import { batchBuffer } from './batch-buffers.ts';
import type { Entry, OpenFile, ReadPieces, Stat, Store, WantedPieces } from './types.ts';

/** What identifies a file on this machine, to notice that it changed. */
export interface FileStat {
  readonly size: number;
  readonly dev: bigint;
  readonly ino: bigint;
  readonly mtimeNs: bigint;
}

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
function readError(error: unknown, path: string): MergeError {
  if (error instanceof MergeError) return error;
  const errno = errnoOf(error);
  if (errno === undefined) return toMergeError(error, { action: 'read', file: path, side: 'input' });
  const { syscall } = error as NodeJS.ErrnoException;
  const said = `${errnoText(errno) ?? 'cannot be read'} (${syscall === undefined ? errno : `${errno} from ${syscall}`})`;
  const { input, help } = errnoMeaning(errno);
  const why: { readonly problem?: string; readonly help?: string | undefined } | undefined =
    errno === 'ENOENT' ? whyNothing(path) : { help };
  return new MergeError(input, `${path}: ${why?.problem ?? REASONS[errno] ?? said}`, {
    details: { file: path, errno, ...(syscall !== undefined && { syscall }) },
    ...(why?.help === undefined ? {} : { help: why.help }),
    cause: error,
  });
}

/** What this machine says of a path: more than any store does. */
export type LocalStat = Stat & FileStat;

/**
 * The files of this machine, mounts included.
 *
 * Opening refuses everything but regular files before it opens them, because opening a FIFO waits for its
 * writer and opening a device can act on it; O_NONBLOCK covers the moment between. Links are followed
 * everywhere: the Hub's cache is made of them.
 */
export const localStore: Store = {
  holds: () => true,
  async list(folder) {
    try {
      return (await readdir(folder, { withFileTypes: true })).map(entryOf);
    } catch (error) {
      if (errnoOf(error) === 'ENOTDIR') return null;
      throw readError(error, folder);
    }
  },
  listBelow: (folder) => orReadError(folder, () => readdir(folder, { recursive: true })),
  stat: (path) => orReadError(path, async () => localStat(await stat(path, { bigint: true }))),
  open: (path, known = false) => orReadError(path, () => openRegular(path, known)),
  openResolved: (path) => orReadError(path, () => openRegular(path, false, true)),
  readPieces(wanted, all, signal) {
    const addon = addonIfThere();
    return addon === null ? piecesByNode(wanted, all, signal) : piecesByAddon(addon, wanted, all, signal);
  },
  resolve: (path) =>
    orReadError(path, async () => {
      try {
        return await realpath(path);
      } catch (error) {
        throw await leadsToNothing(path, error);
      }
    }),
  localPath: (path) => path,
};

/** A link to what is not there as an error that names where it leads; any other error as it is. */
async function leadsToNothing(path: string, error: unknown): Promise<unknown> {
  const target = errnoOf(error) === 'ENOENT' ? await readlink(path).catch(() => null) : null;
  if (target === null) return error;
  return new MergeError('E_NOT_FOUND', `${path}: a link that leads to nothing (${target})`, { details: { file: path }, cause: error });
}

/** The `version` of a file as another caller of stat(2) found it. */
export function versionOf({ dev, ino, mtimeNs, size }: FileStat): string {
  return `${dev}:${ino}:${inMilliseconds(mtimeNs)}:${size}`;
}

/**
 * Times are compared to the millisecond: kernels stamp files at ticks of one to ten, and neither every
 * runtime (Deno) nor every file system tells more.
 */
function inMilliseconds(ns: bigint): bigint {
  return ns / 1_000_000n;
}

function entryOf(entry: Dirent): Entry {
  const kind = entry.isFile() ? 'file' : entry.isDirectory() ? 'folder' : entry.isSymbolicLink() ? 'link' : 'other';
  return { name: entry.name, kind };
}

function localStat(stats: BigIntStats): LocalStat {
  return describedStat(stats, stats.isFile() ? 'file' : stats.isDirectory() ? 'folder' : 'other');
}

function describedStat({ size, dev, ino, mtimeNs }: Pick<BigIntStats, 'size' | 'dev' | 'ino' | 'mtimeNs'>, kind: Stat['kind']): LocalStat {
  const file = { size: Number(size), dev, ino, mtimeNs };
  return {
    ...file,
    kind,
    // The time of the last status change is left out: a hard link made by a backup moves it.
    version: versionOf(file),
    identity: `${file.size}:${inMilliseconds(mtimeNs)}`,
    modified: Number(mtimeNs / 1_000_000n),
    volume: String(dev),
  };
}

/** Calls of the addon at a time: each waits on a thread of libuv's pool, which has four. */
const CALLS = 2;
/** Reads in flight, of all calls together: a network or a disk answers them in hardly more time than one. */
const READS_IN_FLIGHT = 128;
const calls = new Turns(CALLS);

async function piecesByAddon(
  addon: Addon,
  wanted: readonly WantedPieces[],
  { bytes, pieces }: { readonly bytes: number; readonly pieces: number },
  signal?: AbortSignal,
): Promise<ReadPieces> {
  const of = new Int32Array(pieces);
  const [offsets, lengths] = [new Float64Array(pieces), new Float64Array(pieces)];
  let i = 0;
  for (const [file, { pieces }] of wanted.entries()) {
    for (const [at, length] of pieces) {
      of[i] = file;
      offsets[i] = at;
      lengths[i++] = length;
    }
  }
  const files = wanted.map(({ path }) => path);
  return calls.take(async () => {
    const into = batchBuffer(bytes);
    const { counts, stats } = await native(addon, files, (f) => files[f] ?? '', { of, offsets, lengths, into }, signal);
    return { into, counts, stats: files.map((_, f) => statOf(stats, f)) };
  });
}

/** @param pathOf of a file that an error is about */
async function native(
  addon: Addon,
  files: readonly (string | number)[],
  pathOf: (file: number) => string,
  pieces: { readonly of: Int32Array; readonly offsets: Float64Array; readonly lengths: Float64Array; readonly into: Uint8Array },
  signal?: AbortSignal,
): Promise<PiecesRead> {
  signal?.throwIfAborted();
  const cancel = new Int32Array(new SharedArrayBuffer(4));
  const stop = () => Atomics.store(cancel, 0, 1);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    return await addon.readPieces({ files, ...pieces, inFlight: READS_IN_FLIGHT / CALLS, cancel });
  } catch (error) {
    signal?.throwIfAborted();
    const { fileIndex } = error as { readonly fileIndex?: number };
    throw readError(error, pathOf(fileIndex ?? 0));
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

function statOf(stats: BigInt64Array, file: number): LocalStat {
  const [dev, ino, mtimeNs, size] = stats.subarray(4 * file, 4 * file + 4) as unknown as [bigint, bigint, bigint, bigint];
  return describedStat({ dev: BigInt.asUintN(64, dev), ino: BigInt.asUintN(64, ino), mtimeNs, size }, 'file');
}

/** Where there is no addon: four at a time, as many threads as Node has for it. */
async function piecesByNode(
  wanted: readonly WantedPieces[],
  { bytes, pieces }: { readonly bytes: number; readonly pieces: number },
  signal?: AbortSignal,
): Promise<ReadPieces> {
  const into = batchBuffer(bytes);
  const counts = new Float64Array(pieces);
  const stats: Stat[] = [];
  let [place, from] = [0, 0];
  for (const { path, pieces } of wanted) {
    signal?.throwIfAborted();
    const file = await localStore.open(path);
    try {
      stats.push(file.stat);
      const reads = pieces.map(async ([at, length]) => {
        const [own, start] = [place++, from];
        from += length;
        counts[own] = await file.read(into.subarray(start, start + length), at);
      });
      await Promise.all(reads);
    } finally {
      await file.close();
    }
  }
  return { into, counts, stats };
}

async function openRegular(path: string, known: boolean, resolved = false): Promise<OpenFile> {
  if (!known) refuseIrregular(path, await stat(path));
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY | (resolved ? constants.O_NOFOLLOW : 0);
  const handle = await open(path, flags).catch((error: unknown) => {
    throw resolved && (error as NodeJS.ErrnoException).code === 'ELOOP' ? becameLink(path, error) : error;
  });
  try {
    if (resolved) await refuseElsewhere(path, handle);
    const stats = await handle.stat({ bigint: true });
    refuseIrregular(path, stats);
    return {
      path,
      stat: localStat(stats),
      read: (into, position) => readAll(handle, path, into, position),
      readEach: (into, length, positions) => readEach(handle, path, { into, length }, positions),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * O_NOFOLLOW says nothing of the folders on the way. Linux does: what is open there has this path. Letters
 * may differ in case, where the file system does not tell them apart.
 */
async function refuseElsewhere(path: string, handle: FileHandle): Promise<void> {
  const opened = await readlink(`/proc/self/fd/${handle.fd}`).catch(() => path);
  if (opened.toLowerCase() !== path.toLowerCase()) throw becameLink(path);
}

function becameLink(path: string, cause?: unknown): MergeError {
  return new MergeError('E_INPUT_CHANGED', `${path}: a part of it became a link after it was looked at`, {
    details: { file: path },
    cause,
  });
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

/** Reads until the buffer is full or the file ends: a signal may cut a read short. */
async function readAll(handle: FileHandle, path: string, into: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < into.length) {
    const bytes = await readOnce(handle, path, into.subarray(done), position + done);
    if (bytes === 0) break;
    done += bytes;
  }
  return done;
}

/** Milliseconds of one read from which on it is not the page cache that answers. */
const SLOW_READ = 0.05;
/** Reads before that is known. */
const TRIED = 16;

/**
 * What is in the page cache is read at once: waiting for the thread pool takes many times as long. A disk or
 * network that takes longer is asked for all at the same time.
 */
async function readEach(
  handle: FileHandle,
  path: string,
  { into, length }: { readonly into: Uint8Array; readonly length: number },
  positions: readonly number[],
): Promise<Int32Array> {
  const counts = new Int32Array(positions.length);
  const started = performance.now();
  let i = 0;
  for (; i < positions.length; i++) {
    if (i === TRIED && performance.now() - started > TRIED * SLOW_READ) break;
    try {
      counts[i] = readSync(handle.fd, into, i * length, length, positions[i]!);
    } catch (error) {
      throw readError(error, path);
    }
    // Cut by the end of the file, or by a signal.
    if (counts[i]! < length) counts[i] = await readAll(handle, path, into.subarray(i * length, (i + 1) * length), positions[i]!);
  }
  if (i === positions.length) return counts;
  const addon = addonIfThere();
  if (addon === null) {
    const rest = Array.from(positions.slice(i), async (position, j) => {
      counts[i + j] = await readAll(handle, path, into.subarray((i + j) * length, (i + j + 1) * length), position);
    });
    await Promise.all(rest);
    return counts;
  }
  const left = positions.length - i;
  const pieces = {
    of: new Int32Array(left),
    offsets: Float64Array.from(positions.slice(i)),
    lengths: new Float64Array(left).fill(length),
    into: into.subarray(i * length, positions.length * length),
  };
  const found = await calls.take(() => native(addon, [handle.fd], () => path, pieces));
  counts.set(found.counts, i);
  return counts;
}

/** By callback: a promise of FileHandle costs more than reading 4 KiB, and fingerprints take thousands. */
function readOnce(handle: FileHandle, path: string, into: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(handle.fd, into, 0, into.length, position, (error, bytes) => {
      if (error === null) resolve(bytes);
      else reject(readError(error, path));
    });
  });
}

async function orReadError<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw readError(error, path);
  }
}
