import type { RoundingSums } from '../record/rounding.ts';

/**
 * An output on its way: a hidden sibling `.NAME.partial-<id>` that becomes OUT in one rename, or nothing. The
 * engine writes tensor files into `dir` (natively, by path), journals the units that are safe on disk, adds
 * side files, then finishes.
 */
export interface Publication {
  /** OUT as given. */
  readonly output: string;
  readonly kind: 'folder' | 'file';
  /**
   * Folder to write into, for system calls (it is held open, and this leads to it whoever renames what); for
   * kind `file` it holds one file, named as OUT is, which is renamed out of it at the end.
   */
  readonly dir: string;
  /** The hidden sibling, for people. */
  readonly partial: string;
  /** Units that an earlier run finished, by `unitKey`; empty unless resuming. */
  readonly finished: ReadonlyMap<string, JournalUnit>;
  /** Takes a unit that turned out to be damaged from `finished`: it is made anew. */
  distrust(key: string): void;
  /** Records that a unit is fsynced; the line itself is fsynced before this resolves. */
  journal(unit: JournalUnit): Promise<void>;
  /**
   * fsyncs what is in `dir` and the folder, renames it to OUT, fsyncs the parent, removes the rest. When it
   * throws, `abandon` is still due.
   */
  finish(): Promise<void>;
  /**
   * Ends without an OUT. With `keep` the partial stays when at least one unit is journaled (true is returned
   * then), else it and parents made for it are removed. Never throws.
   */
  abandon(options: { readonly keep: boolean }): Promise<boolean>;
}

/**
 * One resumable piece of an output: bytes [start, end) of a file (header included in the first), with the
 * CRC32C of exactly these bytes.
 */
export interface JournalUnit {
  readonly file: string;
  readonly start: number;
  readonly end: number;
  readonly crc: number;
  /** NaN and infinity found while the unit was made, which a resumed merge must not forget. */
  readonly nonfinite: readonly UnitNonfinite[];
  /** How far quantising anew moved the unit's values; absent where nothing was quantised. */
  readonly rounding?: readonly RoundingSums[];
  /** Of every tensor, in the order of the file; absent where the output's container does not ask for it. */
  readonly crc32?: readonly TensorSum[];
}

/** CRC-32 of `bytes` bytes of a tensor (its row in the layout shard) that a unit has: all, or a piece. */
export interface TensorSum {
  readonly row: number;
  readonly bytes: number;
  readonly crc: number;
}

/**
 * Counts of one tensor (its row in the layout shard): of the input values of the output's member of this
 * number, or with -1 of sums that were out of range in the output. (The engine numbers the members of the
 * whole run, and overflows of its output k as -1-k.)
 */
export interface UnitNonfinite {
  readonly row: number;
  readonly member: number;
  readonly nan: number;
  readonly inf: number;
  /** Finite sums that became the largest finite number of the output's dtype. */
  readonly saturated: number;
}

export interface PublicationRequest {
  readonly output: string;
  readonly kind: 'folder' | 'file';
  /** Replace an existing OUT. */
  readonly force: boolean;
  /** Continue a partial of the same `identity`, where there is one, and leave those of others alone. */
  readonly resume: boolean;
  /**
   * Digest of all that decides the bytes of the output (plan digest; fingerprints, sizes and times of the
   * inputs). A partial of another identity is never continued.
   */
  readonly identity: string;
  /**
   * The parts behind `identity` by a name for messages ('weights', 'checkpoint-2000'), so that a refused
   * resume can say which of them changed.
   */
  readonly identityParts?: Readonly<Record<string, string>>;
  /** Digest of what was asked for, where it is known (`plan/request-digest.ts`); recorded in the partial. */
  readonly request?: string | undefined;
  /**
   * Which journal of the partial this process writes: a name of its own where several write to one partial.
   */
  readonly writer?: string | undefined;
  /** Bytes that will be written, checked against the free space before anything is made. */
  readonly bytes: number;
  /** Skip every fsync. Benches only: nothing is durable, resume is not offered. */
  readonly unsafeNoSync?: boolean;
}
