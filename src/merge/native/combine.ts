/**
 * What `NativeEngine.combine` takes and gives: weighted sums and copies. The slow twin is
 * `src/analysis/verify/twin/combine.ts`.
 */
import type { ReadFigures, SegmentInputs, SegmentOutputs, WriteFigures } from './job.ts';

/**
 * One bounded piece of work, as a struct of arrays. S segments, N inputs, K outputs. Segments are in
 * ascending order in each output file, with gaps between them or without; a call touches exactly one file per
 * output.
 */
export interface CombineJob extends SegmentInputs, SegmentOutputs {
  /**
   * [S] weight table to use; a negative value -1-i copies the bytes of member i to every output instead, -1-N
   * writes zeros.
   */
  readonly table: Int32Array;
  /** [tables x K x N] weights. A weight of 0 means that the member takes no part. */
  readonly weights: Float64Array;
  /**
   * Cells: what non-finite counts are reported by (the tensors inside a segment). `cell[s]` is the first cell
   * of segment s, `cell[S]` the total; `cellEnd[c]` is the element within its segment at which cell c ends.
   */
  readonly cell: Int32Array;
  readonly cellEnd: Float64Array;
  /** Whether CRC-32s of the cells are wanted, which then cover every segment: a second checksum. */
  readonly crc32?: boolean;
}

export interface NonfiniteCount {
  readonly cell: number;
  /**
   * Member (0..N-1) whose input holds them, or -1-k for elements of output k that are not finite though all
   * their members are (overflow).
   */
  readonly member: number;
  readonly nan: number;
  readonly inf: number;
  /**
   * Elements of output k that are the largest finite number of their dtype because the sum was too large
   * (F8_E4M3).
   */
  readonly saturated: number;
}

export interface CombineResult extends ReadFigures, WriteFigures {
  readonly nonfinite: readonly NonfiniteCount[];
  /** [cells x K] CRC-32 (zlib's) of each cell's bytes, where they are wanted and there are any. */
  readonly cellCrc32?: Uint32Array;
}
