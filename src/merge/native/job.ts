/** What operations on segments have in common. S segments, N inputs, K outputs. */
import type { NativeInput, NativeOutput } from './handles.ts';

export interface SegmentInputs {
  /** Distinct open inputs that the call reads. */
  readonly files: readonly NativeInput[];
  /** [S] elements of each segment (bytes, for a copied segment). */
  readonly count: Float64Array;
  /** [S x N] index into `files`, -1 where the member takes no part. */
  readonly file: Int32Array;
  /** [S x N] byte offset in that file. Any alignment. */
  readonly offset: Float64Array;
  /** [S x N] dtype code (floats only), of each member. */
  readonly dtype: Uint8Array;
  /** Shared flag, polled at each tile: a non-zero value ends the call with E_CANCELLED. */
  readonly cancel: Int32Array;
}

export interface SegmentOutputs {
  /** One per output. */
  readonly outputs: readonly NativeOutput[];
  /** [S x K] byte offset in the output file. */
  readonly outOffset: Float64Array;
  /** [S x K] dtype code of the output. */
  readonly outDtype: Uint8Array;
}

/** Seconds are thread-seconds: waiting for reads (mapped reads are part of computing), computing. */
export interface ReadFigures {
  readonly bytesRead: number;
  readonly readSeconds: number;
  readonly computeSeconds: number;
}

export interface WriteFigures {
  readonly bytesWritten: number;
  /** Thread-seconds. */
  readonly writeSeconds: number;
  /** [K] CRC32C of the bytes this call wrote to each output, in file order, however they were tiled. */
  readonly crc: Uint32Array;
  /** [K] how many bytes those were. */
  readonly crcLength: Float64Array;
}
