import { createHash, type Hash } from 'node:crypto';
import { MergeError } from '../base/errors.ts';
import { readExactly, storeOf } from '../base/store/store.ts';
import type { OpenFile, Stat } from '../base/store/types.ts';
import { addSpots, addSpotsOfBoxes, BLOCK_BYTES, type SampledBytes } from './spots.ts';
import { dataStart } from './tensors/table.ts';
import type { TensorFile } from './tensors/types.ts';
import type { Checkpoint } from './types.ts';

const BLOCKS = 64;
/** Blocks of all files of a checkpoint that lies in boxes. */
const MOST_BLOCKS = 1024;

type Sampled = Pick<Checkpoint, 'shards' | 'stored' | 'files' | 'heads'>;

/** What was seen of a checkpoint's content without reading all of it. */
export interface ContentSample {
  /** See {@link fingerprint}. */
  readonly fingerprint: string;
  /**
   * By tensor and place in it, whether all bytes that were looked at there are zero: matrices in the sampled
   * blocks. Checkpoints of one layout are sampled at the same places. `tensorOfSpot` takes a key apart.
   */
  readonly spots: ReadonlyMap<string, boolean>;
}

/**
 * Identifies the content of a checkpoint without reading all of it. SHA-256, in hex, over the following bytes
 * of each shard, in the order of shard names: its size in bytes as a little-endian unsigned 64-bit integer;
 * the bytes before its data section (header length and header); then 64 blocks of 4,096 bytes, block i at
 * byte floor(i * (n - 4096) / 63) of its data section of n bytes, or the whole data section where n is at
 * most 262,144. (Headers alone identify nothing: those of two steps of a run are equal.) Of a checkpoint in
 * boxes: size and bytes of what says where they lie (`.metadata`), then of each file in its order its size
 * and b blocks of all its bytes, b = max(1, min(64, floor(1024 / files))).
 * @throws MergeError E_INPUT_CHANGED, E_NOT_FOUND, E_NOT_READABLE, E_IO
 */
export async function fingerprint(checkpoint: Sampled): Promise<string> {
  return (await sampleOf(checkpoint)).fingerprint;
}

/**
 * The fingerprint of a checkpoint, and what else its bytes show.
 * @throws MergeError as {@link fingerprint} does
 */
export async function sampleOf({ shards, stored = shards, files, heads }: Sampled): Promise<ContentSample> {
  const hash = createHash('sha256');
  const spots = new Map<string, boolean>();
  for (const head of heads) await addFile(hash, head, ({ size }) => [[0, size]]);
  // A checkpoint may lie in thousands of files: a few blocks of each are as many as of a few files.
  const blocks = Math.max(1, Math.min(BLOCKS, Math.floor(MOST_BLOCKS / files.length)));
  const seen: SampledBytes[] = [];
  for (const [i, file] of files.entries()) {
    const tensors = stored[i]?.tensors;
    const whole = tensors?.boxes === null ? tensors : null;
    const start = (size: number): number => (whole === null ? 0 : (dataStart(whole) ?? size));
    const pieces = await addFile(hash, file, ({ size }) => sampledRanges(start(size), size, whole === null ? blocks : BLOCKS));
    if (whole === null || stored !== shards) seen.push(...pieces.map((piece) => ({ ...piece, file: i })));
    else for (const { at, bytes } of pieces) addSpots(spots, whole, at, bytes);
  }
  addSpotsOfBoxes(
    spots,
    shards.map(({ tensors }) => tensors),
    seen,
  );
  return { fingerprint: hash.digest('hex'), spots };
}

/** Adds a file's size and some of its bytes to the hash. */
async function addFile(
  hash: Hash,
  { path, stat: opened }: TensorFile,
  rangesIn: (stat: Stat) => [start: number, end: number][],
): Promise<{ at: number; bytes: Buffer }[]> {
  const file = await storeOf(path).open(path);
  const { stat } = file;
  try {
    if (stat.version !== opened.version) throw inputChanged(path);
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(stat.size));
    hash.update(size);
    // All are in flight together: one after another they would cost a round trip each on a network file
    // system.
    const pieces = await Promise.all(rangesIn(stat).map(async ([start, end]) => ({ at: start, bytes: await readPiece(file, start, end) })));
    for (const { bytes } of pieces) hash.update(bytes);
    return pieces;
  } finally {
    await file.close();
  }
}

async function readPiece(file: OpenFile, start: number, end: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(end - start);
  await readExactly(file, bytes, start);
  return bytes;
}

function sampledRanges(start: number, fileSize: number, count: number): [start: number, end: number][] {
  const dataBytes = fileSize - start;
  if (dataBytes <= count * BLOCK_BYTES) return [[0, fileSize]];
  const blocks = Array.from({ length: count }, (_, i): [number, number] => {
    const at = start + (count === 1 ? 0 : Math.floor((i * (dataBytes - BLOCK_BYTES)) / (count - 1)));
    return [at, at + BLOCK_BYTES];
  });
  return start === 0 ? blocks : [[0, start], ...blocks];
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
