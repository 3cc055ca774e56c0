import { MergeError } from '../errors.ts';
import { BATCH_BYTES, giveBack } from './batch-buffers.ts';
import { storeOf } from './store.ts';
import type { Stat, Store, WantedPieces } from './types.ts';

/** Files of a batch, which are open at a time: far below any `ulimit -n`. */
const BATCH_FILES = 64;
/** Batches asked for before the first is used: while one is looked at, the next is on its way. */
const AHEAD = 2;

/** A piece that was read. */
export interface FoundPiece {
  readonly at: number;
  /** Bytes that were asked for. */
  readonly length: number;
  /** Fewer only where the file ends. */
  readonly bytes: Buffer;
}

/** Pieces of a file that were read. Files with many come in several of these. */
export interface FoundPieces {
  /** Index of the file among those asked for. */
  readonly file: number;
  /** Of the file as it was open for these. */
  readonly stat: Stat;
  /** In the order asked for. */
  readonly pieces: readonly FoundPiece[];
  /** Whether no more of this file come. */
  readonly last: boolean;
}

interface Batch {
  readonly store: Store;
  readonly wanted: WantedPieces[];
  readonly files: number[];
  readonly last: boolean[];
  bytes: number;
  pieces: number;
}

/**
 * Reads pieces of many files with many requests in flight, and of them no more than a few megabytes ahead of
 * what is used. Pieces of more than 4 MiB are a request each and are held whole. Bytes are good until the next
 * are asked for.
 * @param wanted asked for the next only when it is soon to be read
 * @throws MergeError E_NOT_FOUND, E_NOT_READABLE, E_TOO_MANY_FILES, E_IO; `signal.reason` on an abort
 */
export async function* readPieces(wanted: Iterable<WantedPieces>, signal?: AbortSignal): AsyncGenerator<FoundPieces, void> {
  const batches = batchesOf(wanted);
  const ahead: Promise<FoundBatch>[] = [];
  const ask = () => {
    const next = batches.next();
    if (next.done) return;
    const found = readBatch(next.value, signal);
    // One that fails while another is looked at is told when its turn comes.
    found.catch(() => {});
    ahead.push(found);
  };
  try {
    for (let i = 0; i < AHEAD; i++) ask();
    for (let found = ahead.shift(); found !== undefined; found = ahead.shift()) {
      const { into, pieces } = await found;
      signal?.throwIfAborted();
      ask();
      yield* pieces;
      giveBack(into);
    }
  } finally {
    await Promise.allSettled(ahead);
  }
}

function* batchesOf(wanted: Iterable<WantedPieces>): Generator<Batch, void> {
  let batch: Batch | null = null;
  let file = -1;
  for (const { path, pieces } of wanted) {
    file++;
    const store = storeOf(path);
    if (batch !== null && (batch.store !== store || batch.files.length >= BATCH_FILES)) {
      yield batch;
      batch = null;
    }
    let from = 0;
    do {
      batch ??= { store, wanted: [], files: [], last: [], bytes: 0, pieces: 0 };
      let past = from;
      while (past < pieces.length && (batch.bytes === 0 || batch.bytes + pieces[past]![1] <= BATCH_BYTES))
        batch.bytes += pieces[past++]![1];
      // A file of which no piece fits any more begins the next batch.
      if (past > from || pieces.length === 0) {
        batch.wanted.push({ path, pieces: from === 0 && past === pieces.length ? pieces : pieces.slice(from, past) });
        batch.files.push(file);
        batch.last.push(past === pieces.length);
        batch.pieces += past - from;
      }
      from = past;
      if (from === pieces.length) break;
      yield batch;
      batch = null;
    } while (true);
  }
  if (batch !== null) yield batch;
}

interface FoundBatch {
  readonly into: Buffer;
  readonly pieces: readonly FoundPieces[];
}

async function readBatch({ store, wanted, files, last, bytes, pieces }: Batch, signal?: AbortSignal): Promise<FoundBatch> {
  const { into, counts, stats } = await store.readPieces(wanted, { bytes, pieces }, signal);
  let [place, from] = [0, 0];
  const found = wanted.map(({ pieces }, i) => ({
    file: files[i]!,
    stat: stats[i]!,
    pieces: pieces.map(([at, length]) => {
      const bytes = into.subarray(from, from + counts[place++]!);
      from += length;
      return { at, length, bytes };
    }),
    last: last[i]!,
  }));
  return { into, pieces: found };
}

/** @throws MergeError E_INPUT_CHANGED where the file ended before the piece did */
export function refuseShort(path: string, { at, length, bytes }: FoundPiece): void {
  if (bytes.length === length) return;
  const position = at + bytes.length;
  throw new MergeError('E_INPUT_CHANGED', `${path}, byte ${position}: the file became shorter while it was read`, {
    details: { file: path, position },
  });
}
