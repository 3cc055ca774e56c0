/**
 * What of the addon reading from disks needs; `merge/native/binding.ts` has all of it. Native code knows
 * paths, bytes and numbers.
 */

/**
 * Raised when the addon's interface and `native/napi` change together; the loader refuses a binary with another
 * number.
 */
export const NATIVE_API_VERSION = 5;

/** Pieces of files that are to be read. */
export interface PiecesJob {
  /** Paths, or descriptors, which have to stay open meanwhile. */
  readonly files: readonly (string | number)[];
  /** [pieces] Index into files; the pieces of a file stand together. */
  readonly of: Int32Array;
  /** [pieces] Bytes from the beginning of the file. */
  readonly offsets: Float64Array;
  /** [pieces] Bytes. */
  readonly lengths: Float64Array;
  /** Where the pieces go, one behind the other: as many bytes as all lengths together. */
  readonly into: Uint8Array;
  /** Reads in flight where each takes long, from 1 on; where the page cache answers, one after another. */
  readonly inFlight: number;
  /** Of shared memory: once its first element is not 0 the call ends with E_CANCELLED. */
  readonly cancel: Int32Array;
}

export interface PiecesRead {
  /** [pieces] Bytes that were read: fewer than asked for only where the file ends. */
  readonly counts: Float64Array;
  /** [files x 4] Device, inode, time of the last write in nanoseconds, size; while the file was open. */
  readonly stats: BigInt64Array;
}

export interface Addon {
  readonly apiVersion: number;
  /**
   * Opens files and reads pieces of them, as many at a time as `inFlight` says, off the JS thread. Anything but
   * a regular file is refused before it is opened. Rejects with a `NativeFailure` whose `fileIndex` counts
   * `files`.
   */
  readPieces(job: PiecesJob): Promise<PiecesRead>;
}
