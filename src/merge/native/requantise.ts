/**
 * What `NativeEngine.requantise` takes and gives: quantised matrices, dequantised, averaged and quantised
 * anew. The slow twin is `src/analysis/verify/twin/requantise.ts`.
 */
import type { NativeInput, NativeOutput } from './handles.ts';
import type { ReadFigures } from './job.ts';

/**
 * S strips, N inputs, K outputs. A strip is some whole block-rows of one matrix of `rows x cols` codes that
 * have one scale a block of `blockRows x blockCols`; the strip's last block-row and each row's last block may
 * be partial. Where one scale serves more rows than a strip has (a scale a tensor), `blockRows` is at least
 * `rows` and the amax is given. In each output file, codes and scales of strips and outputs never overlap.
 */
export interface RequantiseJob {
  /** Distinct open inputs that the call reads. */
  readonly files: readonly NativeInput[];
  /** [K] */
  readonly outputs: readonly NativeOutput[];
  /** [S] */
  readonly rows: Float64Array;
  /** [S] elements of a row. With an MXFP4 member or output a multiple of 32, and blocks are 1 x 32. */
  readonly cols: Float64Array;
  readonly blockRows: Float64Array;
  readonly blockCols: Float64Array;
  /** [S x N] index into `files`, -1 where the member takes no part. */
  readonly file: Int32Array;
  /** [S x N] bytes of the strip's first code. */
  readonly offset: Float64Array;
  /** [S x N] dtype code of `src/base/dtype.ts` (FP8, or a plain float), or {@link MXFP4}. */
  readonly encoding: Uint8Array;
  /** [S x N] index into `files`; -1: no scales (they count as 1). */
  readonly scaleFile: Int32Array;
  /**
   * [S x N] bytes of the strip's first scale. A strip's scales are contiguous, `ceil(cols / blockCols)` a
   * block-row.
   */
  readonly scaleOffset: Float64Array;
  /** [S x N] F32, BF16, F16, or F8_E8M0 and U8: both 2^(byte - 127), 255 NaN. */
  readonly scaleDtype: Uint8Array;
  /** [S x K] bytes of the strip's first code; -1: no codes are written. */
  readonly outOffset: Float64Array;
  /** [S x K] FP8 dtype or {@link MXFP4}, with scales; or BF16, F16, F32, F64: dequantised, without. */
  readonly outEncoding: Uint8Array;
  /** [S x K] bytes of the strip's first scale; -1: no scales are written. */
  readonly outScaleOffset: Float64Array;
  /** [S x K] F32, BF16, F16, F8_E8M0 or U8. */
  readonly outScaleDtype: Uint8Array;
  /** [S x K] 1: scales are powers of two, 2^ceil(log2(amax / max)). Those of F8_E8M0 and U8 always are. */
  readonly powerOfTwo: Uint8Array;
  /**
   * [S x K] 0: rows as they are. Else a dequantised output is written transposed: elements of an output row
   * (the rows of the whole matrix), and `outOffset` is that of element (0, first row of the strip). A strip
   * of whole matrices is written in one piece, a part of one in a piece a column.
   */
  readonly transpose: Float64Array;
  /** [S x K] amax that scales are made from; NaN: that of each block. */
  readonly amax: Float64Array;
  /** [S] weight table. */
  readonly table: Int32Array;
  /** [tables x K x N]; 0 where the member takes no part. */
  readonly weights: Float64Array;
  /**
   * [S x K] member that `change` is measured from and that a zero block takes its E8M0 scale from; -1: none.
   */
  readonly newest: Int32Array;
  /** Shared flag, polled as the work goes on: a non-zero value ends the call with E_CANCELLED. */
  readonly cancel: Int32Array;
}

/** NaN and infinity among a member's dequantised values in a strip. */
export interface StripNonfinite {
  readonly strip: number;
  readonly member: number;
  readonly nan: number;
  readonly inf: number;
}

/**
 * M stands for the merged values before they are quantised, Q for what the written codes and scales say.
 * Every figure is the same whatever the threads.
 */
export interface RequantiseResult extends ReadFigures {
  readonly bytesWritten: number;
  /** Thread-seconds. */
  readonly writeSeconds: number;
  /**
   * [S x K] CRC32C of the strip's codes in file order; 0 where none are written, and for a transposed part of
   * a matrix (its columns are apart).
   */
  readonly crc: Uint32Array;
  /** [S x K] CRC32C of the strip's scales; 0 where none are written. */
  readonly scaleCrc: Uint32Array;
  /** [S x K] largest finite |M|. */
  readonly amax: Float64Array;
  /** [S x K] sum of (Q - M)^2; 0 for dequantised outputs, and where no codes are written. */
  readonly error: Float64Array;
  /** [S x K] sum of (M - newest)^2; 0 where `error` is. */
  readonly change: Float64Array;
  /** [S x K] finite values too large for the encoding of a quantised output. */
  readonly saturated: Float64Array;
  /**
   * [S x K] 1 where the inputs are the same in every block: encoding, codes and scales of all members that
   * take part, their weights summing to 1.
   */
  readonly identical: Uint8Array;
  /** By strip, then member. */
  readonly nonfinite: readonly StripNonfinite[];
}
