/** What a store says of a path, through links. */
export interface Stat {
  readonly kind: 'file' | 'folder' | 'other';
  /** Bytes. */
  readonly size: number;
  /** Another one where the content may be another: to be compared with what the same path had before. */
  readonly version: string;
  /**
   * The same from every machine and through every mount that sees the file, and another one where it was
   * written again: no numbers of devices and inodes, and not where only names, owners or rights changed.
   */
  readonly identity: string;
  /** When its content was last written, milliseconds since 1970; null where the store does not say. */
  readonly modified: number | null;
  /** The disk, share or bucket that it lies on: what is on one is read in one way. */
  readonly volume: string;
}

/** Something in a folder. A link is one whatever it leads to: `stat` looks through it. */
export interface Entry {
  readonly name: string;
  readonly kind: 'file' | 'folder' | 'link' | 'other';
}

/** A regular file, open for reading. */
export interface OpenFile {
  readonly path: string;
  readonly stat: Stat;
  /**
   * Reads from byte `position` on into the buffer.
   * @returns bytes read: fewer than it holds only where the file ends
   * @throws MergeError E_IO
   */
  read(into: Uint8Array, position: number): Promise<number>;
  /**
   * Reads a few bytes at each of many places: much faster than a call for each.
   * @param into a buffer of `length` bytes for each position, one behind the other
   * @returns bytes read at each: fewer than `length` only where the file ends
   * @throws MergeError E_IO
   */
  readEach(into: Uint8Array, length: number, positions: readonly number[]): Promise<Int32Array>;
  close(): Promise<void>;
}

/** Pieces of a file that are to be read. */
export interface WantedPieces {
  readonly path: string;
  /** Where each begins, in bytes from the beginning of the file, and how many bytes it has. */
  readonly pieces: readonly (readonly [at: number, length: number])[];
}

/** Pieces that were read. */
export interface ReadPieces {
  /**
   * The bytes, in the order asked for, each piece where it would be if all had the length asked for. Whoever has
   * no more use for it gives it back (`batch-buffers.ts`).
   */
  readonly into: Buffer;
  /** [pieces] Bytes read: fewer than asked for only where the file ends. */
  readonly counts: Float64Array;
  /** Of each file as it was open. */
  readonly stats: readonly Stat[];
}

/**
 * Where files are read from. It says only what every place of files can say (a disk, an object store, a
 * hub); writing is the matter of `base/disk`. All throw MergeErrors: E_NOT_FOUND, E_NOT_READABLE,
 * E_TOO_MANY_FILES, E_IO.
 */
export interface Store {
  /** Whether paths that look like this are its own. */
  holds(path: string): boolean;
  /** What a folder holds, hidden names too, in no order; null where the path is no folder. */
  list(folder: string): Promise<Entry[] | null>;
  /** Paths of all that lies below a folder, relative to it and with `/`, through links. */
  listBelow(folder: string): Promise<string[]>;
  stat(path: string): Promise<Stat>;
  /**
   * Opens a regular file, through links; anything else is refused.
   * @param known to be a regular file, from the listing of its folder: may save a request
   */
  open(path: string, known?: boolean): Promise<OpenFile>;
  /**
   * Opens a regular file by a path that {@link Store.resolve} gave, and nothing else: where a part of it
   * became a link meanwhile, E_INPUT_CHANGED.
   */
  openResolved(path: string): Promise<OpenFile>;
  /**
   * Reads pieces of files that are known to be there, many at a time where each takes long. `pieces.ts` asks
   * for a few megabytes at a time.
   * @param all how many pieces and bytes that is
   */
  readPieces(
    wanted: readonly WantedPieces[],
    all: { readonly bytes: number; readonly pieces: number },
    signal?: AbortSignal,
  ): Promise<ReadPieces>;
  /** Where a path leads to, links resolved. */
  resolve(path: string): Promise<string>;
  /** The file of this machine by which native code opens it. */
  localPath(path: string): string;
}
