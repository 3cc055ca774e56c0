/**
 * The narrow boundary: all that TypeScript and C++ say to each other. Native code sees bytes, offsets, dtype
 * codes and weights; never a tensor name, a recipe or a policy. Everything here is internal to the package.
 * What an operation takes and gives stands in its own file, what
 * reading needs in `base/native/addon.ts`.
 */

import type { Addon } from '../../base/native/addon.ts';
import type { CombineJob, CombineResult } from './combine.ts';
import type { GramJob, GramResult } from './gram.ts';
import type { InputMode, NativeInput, NativeOutput } from './handles.ts';
import type { RequantiseJob, RequantiseResult } from './requantise.ts';

export type Isa = 'scalar' | 'avx2' | 'avx512' | 'neon';

export interface CpuInfo {
  /** The kernels in use: the best available, or the one CKPT_MERGE_ISA forces downwards. */
  readonly active: Isa;
  /** Kernels this CPU can run, slowest first. */
  readonly available: readonly Isa[];
  /** Kernels compiled into the binary, slowest first. */
  readonly compiled: readonly Isa[];
}

export interface NativeEngineOptions {
  /** Compute threads, at least 1. */
  readonly threads: number;
  /**
   * Most bytes of native buffers (tiles, read requests); the engine shrinks tiles, then threads, to fit, and
   * throws E_NO_MEMORY when nothing fits.
   */
  readonly memoryBytes: number;
  /** The widest call that will come: inputs and outputs of one `combine`. */
  readonly maxInputs: number;
  readonly maxOutputs: number;
  /** Whether any input will be in mode `read` (then read requests are charged to the memory). */
  readonly reads: boolean;
  /**
   * Whether inputs of any call will lie in boxes (then what they are gathered in, a tile of each input and
   * thread, is charged to the memory).
   */
  readonly gathers?: boolean;
  /**
   * I/O tile in output bytes of the widest dtype; 0 = default (256 KiB, shrunk to fit). A test sets odd
   * values.
   */
  readonly tileBytes?: number;
  /** Size of one positioned read; 0 = default 1 MiB. */
  readonly requestBytes?: number;
  /** Positioned reads in flight; 0 = default max(32, threads). */
  readonly requestsInFlight?: number;
  /** Drop input pages that were not resident before, and written pages already flushed, behind the work. */
  readonly dropCache?: boolean;
  /**
   * Start write-back as the work goes on, so that the final fsync is short and dirty pages stay under 1 GiB.
   */
  readonly flushBehind?: boolean;
  /** Kernels to use instead of the active ones. Tests and benches only. */
  readonly isa?: Isa;
  /** Injected latency of each positioned read, in microseconds. Tests and benches only. */
  readonly readDelayMicros?: number;
}

/** What the engine settled on. */
export interface NativeEngineShape {
  readonly threads: number;
  readonly tileBytes: number;
  readonly requestBytes: number;
  readonly requestsInFlight: number;
  /** Bytes of native buffers this shape can allocate at most. */
  readonly bufferBytes: number;
}

/** The engine and its operations: each has a file here, in `native/napi` and in `native/ops`. */
export interface NativeEngine {
  readonly shape: NativeEngineShape;
  /**
   * Rejects with a {@link NativeFailure}. Calls may overlap (two at most); their tiles share the same
   * threads.
   */
  combine(job: CombineJob): Promise<CombineResult>;
  /** The same rules. The same bits whatever instruction set, threads and tiles. */
  gram(job: GramJob): Promise<GramResult>;
  /**
   * Dequantises, averages and quantises anew. Rejects with a {@link NativeFailure}, `segment` the strip. One
   * at a time: a second call waits.
   */
  requantise(job: RequantiseJob): Promise<RequantiseResult>;
  /** Ends the threads and frees the buffers. Idempotent; waits for calls in flight. */
  close(): void;
}

/**
 * Errors from native code: `code` is the reason, the indices say where; TypeScript adds the names that native
 * code cannot know.
 */
export interface NativeFailure extends Error {
  readonly code:
    | 'E_IO'
    | 'E_NO_SPACE'
    | 'E_NO_MEMORY'
    | 'E_INPUT_CHANGED'
    | 'E_TOO_MANY_FILES'
    | 'E_CANCELLED'
    | 'E_INVALID_ARG'
    | 'E_INTERNAL';
  readonly errno?: string;
  readonly syscall?: string;
  /** Index into the `files` of the call, when an input is at fault. */
  readonly fileIndex?: number;
  /** Index into `CombineJob.outputs`, when an output is at fault. */
  readonly outputIndex?: number;
  readonly segment?: number;
}

export interface ProbeResult {
  readonly bytes: number;
  readonly seconds: number;
}

export interface NativeBinding extends Addon {
  /** @throws an error with code E_ISA when CKPT_MERGE_ISA names a set that is unknown or not available. */
  cpuInfo(): CpuInfo;
  openInput(path: string, mode: InputMode): NativeInput;
  /**
   * Creates (exclusively, mode 0666 less umask) or, with `reopen`, opens an output and sizes it: fallocate,
   * or ftruncate where that is not supported.
   */
  openOutput(path: string, bytes: number, options: { readonly reopen: boolean }): NativeOutput;
  createEngine(options: NativeEngineOptions): NativeEngine;
  /** CRC-32 of zlib, zip and PNG. */
  crc32(bytes: Uint8Array, seed: number): number;
  crc32Combine(first: number, second: number, length: number): number;
  crc32c(bytes: Uint8Array, seed: number): number;
  /** CRC32C of a concatenation from the CRCs of its parts; `length` is that of the second part. */
  crc32cCombine(first: number, second: number, length: number): number;
  /** CRC32C of `length` bytes of a file from `offset`, read in 1 MiB pieces off the JS thread. */
  crc32cFile(path: string, offset: number, length: number): Promise<number>;
  /**
   * renameat2(2) with RENAME_NOREPLACE or RENAME_EXCHANGE (renamex_np on macOS). Throws with `errno` as Node
   * names it.
   */
  rename(from: string, to: string, how: 'noreplace' | 'exchange'): void;
  /**
   * `statfs` type as a lower-case name where known ('ext4', 'xfs', 'tmpfs', 'nfs', 'lustre', 'fuse', ...),
   * else its hex number.
   */
  fileSystemType(path: string): string;
  /** Bytes of the file that are in the page cache (mincore). */
  residentBytes(path: string): number;
  /** posix_fadvise(DONTNEED) on the whole file, flushed first. */
  evict(path: string): void;
  /** Reads all of a file with `threads` threads and consumes every byte: 256 KiB preads, or a mapped scan. */
  probeRead(path: string, mode: InputMode, threads: number, requestBytes?: number): Promise<ProbeResult>;
  /** Writes a preallocated fresh file with 1 MiB pwrites and `threads` threads. */
  probeWrite(path: string, bytes: number, threads: number): Promise<ProbeResult>;
}
