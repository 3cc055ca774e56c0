import { createHash, type Hash } from 'node:crypto';
import { MergeError } from '../base/errors.ts';
import { type FoundPieces, readPieces, refuseShort } from '../base/store/pieces.ts';
import { storeOf } from '../base/store/store.ts';
import type { WantedPieces } from '../base/store/types.ts';
import { isOfHeader } from './containers/safetensors/scan-header.ts';
import { addSpots, BLOCK_BYTES, BoxSpots, type Spots } from './spots.ts';
import { dataStart } from './tensors/table.ts';
import type { TensorFile, TensorTable } from './tensors/types.ts';
import type { Checkpoint } from './types.ts';

const BLOCKS = 64;
/** Blocks of all files of a checkpoint that lies in boxes. */
const MOST_BLOCKS = 1024;
/** Bytes of a header that are read at a time. */
const HEAD_BYTES = 2 ** 20;
/** What fingerprints of today's definition begin with. */
const SECOND = 'v2-';

type Sampled = Pick<Checkpoint, 'shards' | 'stored' | 'files' | 'heads'>;

/** What was seen of a checkpoint's content without reading all of it. */
export interface ContentSample {
  /** See {@link fingerprint}. */
  readonly fingerprint: string;
  /** Of all files, see {@link FileDigest}. */
  readonly spots: Spots;
}

/** What was seen of one of a checkpoint's files. */
export interface FileDigest {
  /** 32 bytes: SHA-256 of what {@link fingerprint} says of a file. */
  readonly digest: Buffer;
  /**
   * By tensor and place in it, whether all bytes that were looked at there are zero: matrices in the sampled
   * blocks. Checkpoints of one layout are sampled at the same places. `tensorOfSpot` takes a key apart.
   */
  readonly spots: Spots;
}

/**
 * Identifies the content of a checkpoint without reading all of it: `v2-` and in hex the SHA-256 of the
 * SHA-256 digests (32 bytes each) of its files, in the order of shard names. That of a file is over its size
 * in bytes as a little-endian unsigned 64-bit integer; the bytes before its data section (header length and
 * header); then 64 blocks of 4,096 bytes, block i at byte floor(i * (n - 4096) / 63) of its data section of n
 * bytes, or the whole data section where n is at most 262,144. (Headers alone identify nothing: those of two
 * steps of a run are equal.) Of a checkpoint in boxes: first come the files that say where they lie
 * (`.metadata`), of each its size and bytes; then of each other file in its order its size and b blocks of all
 * its bytes, b = max(1, min(64, floor(1024 / files))).
 * @throws MergeError E_INPUT_CHANGED, E_NOT_FOUND, E_NOT_READABLE, E_IO
 */
export async function fingerprint(checkpoint: Sampled, signal?: AbortSignal): Promise<string> {
  return (await sampleOf(checkpoint, signal)).fingerprint;
}

/**
 * The fingerprint of a checkpoint, and what else its bytes show.
 * @throws MergeError as {@link fingerprint} does
 */
export async function sampleOf(checkpoint: Sampled, signal?: AbortSignal): Promise<ContentSample> {
  const digests: FileDigest[] = [];
  for await (const found of digestsOfFiles(checkpoint, everyFile(checkpoint), signal)) digests.push(found);
  return combinedSample(digests);
}

/** What the digests of all files of a checkpoint, in the order of {@link digestOfFile}, say together. */
export function combinedSample(files: readonly FileDigest[]): ContentSample {
  const hash = createHash('sha256');
  const spots = new Map<string, boolean>();
  for (const { digest, spots: own } of files) {
    hash.update(digest);
    for (const [key, zero] of own) spots.set(key, zero);
  }
  return { fingerprint: `${SECOND}${hash.digest('hex')}`, spots };
}

/**
 * What a fingerprint says of one file. Whoever has all of them has that of the checkpoint
 * ({@link combinedSample}), so that several processes can share the work.
 * @param file index into its `heads`, which come first, and `files`
 * @throws MergeError as {@link fingerprint} does
 */
export async function digestOfFile(checkpoint: Sampled, file: number, signal?: AbortSignal): Promise<FileDigest> {
  const { value } = await digestsOfFiles(checkpoint, [file], signal).next();
  return value as FileDigest;
}

/**
 * {@link digestOfFile} for several files, in their order: much faster than one after another.
 * @throws MergeError as {@link fingerprint} does
 */
export async function* digestsOfFiles(
  checkpoint: Sampled,
  which: readonly number[],
  signal?: AbortSignal,
): AsyncGenerator<FileDigest, void> {
  const { shards, stored = shards, heads } = checkpoint;
  let hash = createHash('sha256');
  let spots = new Map<string, boolean>();
  // Needed of few checkpoints, and of none is it made twice.
  let boxSpots: BoxSpots | undefined;
  for await (const { file: i, stat, pieces, last, first, begun } of sampledPieces(checkpoint, which, { signal, begin: true })) {
    const file = which[i]! - heads.length;
    const table = stored[file]?.tensors;
    // Headers may be long, and show nothing.
    const start = table?.boxes === null ? (dataStart(table) ?? stat.size) : 0;
    if (first) hash = begun?.copy() ?? createHash('sha256').update(sizeBytes(stat.size));
    let inHead = begun === undefined && table !== undefined;
    for (const piece of pieces) {
      if (inHead && piece.at >= start) {
        remember(table!, stat.size, hash);
        inHead = false;
      }
      hash.update(piece.bytes);
    }
    const data = file < 0 ? [] : pieces.filter(({ at }) => at >= start);
    if (data.length > 0 && table?.boxes === null && stored === shards) addSpots(spots, table, data);
    else if (data.length > 0) {
      boxSpots ??= new BoxSpots(shards.map(({ tensors }) => tensors));
      boxSpots.add(spots, file, data);
    }
    if (!last) continue;
    yield { digest: hash.digest(), spots };
    spots = new Map();
  }
}

/**
 * Digests that have taken in the size and the header of a file, by the table that was read from that header and
 * the size. The steps of a run have the same, so that one of each is read again.
 */
const headDigests = new WeakMap<TensorTable, Map<number, Hash>>();

function remember(table: TensorTable, size: number, hash: Hash): void {
  if (!isOfHeader(table)) return;
  const known = headDigests.get(table) ?? new Map<number, Hash>();
  headDigests.set(table, known);
  if (!known.has(size)) known.set(size, hash.copy());
}

/**
 * The fingerprint of a checkpoint in the definition of a recorded one, to compare the two. Versions up to
 * 0.1.0 took SHA-256 over the same bytes of all files, one behind the other.
 * @throws MergeError as {@link fingerprint} does
 */
export async function fingerprintLike(checkpoint: Sampled, recorded: string, signal?: AbortSignal): Promise<string> {
  if (hasTodaysDefinition(recorded)) return fingerprint(checkpoint, signal);
  const hash = createHash('sha256');
  for await (const { first, stat, pieces } of sampledPieces(checkpoint, everyFile(checkpoint), { signal, begin: false })) {
    if (first) hash.update(sizeBytes(stat.size));
    for (const { bytes } of pieces) hash.update(bytes);
  }
  return hash.digest('hex');
}

/** Whether a checkpoint of this fingerprint has a recorded one as well, be it of an earlier definition. */
export async function isSampled(checkpoint: Sampled, recorded: string | undefined, now: string): Promise<boolean> {
  if (recorded === undefined || recorded === now) return recorded === now;
  return !hasTodaysDefinition(recorded) && (await fingerprintLike(checkpoint, recorded)) === recorded;
}

/** Whether a recorded fingerprint is one that {@link fingerprint} gives of some checkpoint. */
export function hasTodaysDefinition(recorded: string): boolean {
  return recorded.startsWith(SECOND);
}

function everyFile({ heads, files }: Sampled): number[] {
  return Array.from({ length: heads.length + files.length }, (_, i) => i);
}

function sizeBytes(size: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(size));
  return bytes;
}

interface SampledPieces extends FoundPieces {
  /** Whether nothing of this file came before. */
  readonly first: boolean;
  /** A digest that has taken in what comes before these, where that is known and was not read. */
  readonly begun: Hash | undefined;
}

/**
 * What is looked at of some files, in their order.
 * @param options `begin`: whether a header of which a digest is known is left out
 */
async function* sampledPieces(
  { shards, stored = shards, files, heads }: Sampled,
  which: readonly number[],
  { signal, begin }: { readonly signal: AbortSignal | undefined; readonly begin: boolean },
): AsyncGenerator<SampledPieces, void> {
  // A checkpoint may lie in thousands of files: a few blocks of each are as many as of a few files.
  const blocks = Math.max(1, Math.min(BLOCKS, Math.floor(MOST_BLOCKS / files.length)));
  const fileOf = (i: number): TensorFile => (i < heads.length ? heads[i]! : files[i - heads.length]!);
  const digests: (Hash | undefined)[] = [];
  function* wanted(): Generator<WantedPieces, void> {
    for (const i of which) {
      const { path, stat } = fileOf(i);
      const { size } = stat;
      const table = stored[i - heads.length]?.tensors;
      const whole = table?.boxes === null ? table : null;
      const begun = begin && whole !== null ? headDigests.get(whole)?.get(size) : undefined;
      digests.push(begun);
      if (i < heads.length) {
        yield { path, pieces: inTurn(0, size) };
        continue;
      }
      const start = whole === null ? 0 : (dataStart(whole) ?? size);
      const sampled = sampledData(start, size, whole === null ? blocks : BLOCKS);
      yield { path, pieces: begun === undefined ? [...inTurn(0, start), ...sampled] : sampled };
    }
  }
  let before = -1;
  for await (const found of readPieces(wanted(), signal)) {
    const { path, stat } = fileOf(which[found.file]!);
    if (found.stat.version !== stat.version) throw inputChanged(path);
    for (const piece of found.pieces) refuseShort(path, piece);
    yield { ...found, first: found.file !== before, begun: digests[found.file] };
    before = found.file;
  }
}

/** Bytes from `start` on, a piece after the other. */
function inTurn(start: number, end: number): [at: number, length: number][] {
  return Array.from({ length: Math.ceil((end - start) / HEAD_BYTES) }, (_, i) => {
    const at = start + i * HEAD_BYTES;
    return [at, Math.min(HEAD_BYTES, end - at)];
  });
}

function sampledData(start: number, size: number, count: number): [at: number, length: number][] {
  const dataBytes = size - start;
  if (dataBytes <= count * BLOCK_BYTES) return dataBytes === 0 ? [] : [[start, dataBytes]];
  return Array.from({ length: count }, (_, i) => {
    const at = start + (count === 1 ? 0 : Math.floor((i * (dataBytes - BLOCK_BYTES)) / (count - 1)));
    return [at, BLOCK_BYTES];
  });
}

/**
 * What identifies an input when a merge is resumed, maybe by another machine: its fingerprint, then what the
 * store says of each shard wherever it is seen from.
 * @param fingerprint as {@link fingerprint} gives it for this checkpoint
 */
export function inputIdentity(fingerprint: string, { files, heads }: Pick<Checkpoint, 'files' | 'heads'>): string {
  return [fingerprint, ...[...heads, ...files].map(({ stat }) => stat.identity)].join(' ');
}

/**
 * Checks that no shard changed since the checkpoint was opened.
 * @throws MergeError E_INPUT_CHANGED naming the file, E_NOT_READABLE, E_IO
 */
export async function assertUnchanged({ files, heads }: Pick<Checkpoint, 'files' | 'heads'>): Promise<void> {
  for (const { path, stat: opened } of [...heads, ...files]) {
    const now = await storeOf(path)
      .stat(path)
      .catch((problem: MergeError) => {
        throw problem.code === 'E_NOT_FOUND' ? inputChanged(path, problem) : problem;
      });
    if (now.version !== opened.version) throw inputChanged(path);
  }
}

function inputChanged(path: string, cause?: unknown): MergeError {
  return new MergeError('E_INPUT_CHANGED', `${path}: the file changed since it was opened`, { details: { file: path }, cause });
}
