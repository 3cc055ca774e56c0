export type InputMode = 'map' | 'read';

/**
 * What `fstat` said when the file was opened; compared at the end, so that an input changing under the merge
 * is noticed.
 */
export interface NativeStat {
  readonly size: number;
  readonly dev: bigint;
  readonly ino: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/**
 * A read-only input. In mode `map` the file descriptor is closed once mapped (so that 300 inputs need no 300
 * descriptors), and a mapping that the system refuses (ENOMEM under ulimit -v) falls back to `read`; `mode`
 * says which it became.
 */
export interface NativeInput {
  readonly mode: InputMode;
  readonly stat: NativeStat;
  /** Gives mapping or descriptor back. Idempotent; deferred by native code until no call uses it. */
  close(): void;
}

/** An output file opened for positioned writes. It was created by {@link NativeBinding.openOutput}. */
export interface NativeOutput {
  /** A small write by the caller (the header), whole or an error. */
  write(offset: number, bytes: Uint8Array): void;
  /** Flushes data and metadata to the device. Runs off the JS thread. */
  sync(): Promise<void>;
  close(): void;
}
