/** What operations on segments have in common. S segments, N inputs, K outputs. */
import type { NativeInput, NativeOutput } from './handles.ts';

export interface SegmentInputs {
  /** Distinct open inputs that the call reads. */
  readonly files: readonly NativeInput[];
  /** [S] elements of each segment (bytes, for a copied segment). */
  readonly count: Float64Array;
  /** [S x N] index into `files`, -1 where the member takes no part or lies in boxes. */
  readonly file: Int32Array;
  /** [S x N] byte offset in that file. Any alignment. */
  readonly offset: Float64Array;
  /** [S x N] dtype code (floats only), of each member. */
  readonly dtype: Uint8Array;
  /** Where some inputs lie in boxes, for which the engine was made with `gathers`. */
  readonly boxes?: InputBoxes;
  /** Shared flag, polled at each tile: a non-zero value ends the call with E_CANCELLED. */
  readonly cancel: Int32Array;
}

/**
 * Inputs that do not lie in one run of bytes. The elements of such an input are part of a grid, row by row:
 * element e of the segment stands in row floor((start + e) / columns), column (start + e) % columns. Boxes
 * are rectangles of the grid. Those of an input are sorted by row, then column, and stand in bands: the boxes
 * of a band have the same `row` and `rows` and follow one another from column 0 to `columns`; the next band
 * begins in the row below. There may be rows before and behind those of the segment; each call checks all
 * boxes, so few are better. Of a copied segment, which counts bytes, columns and widths are bytes too.
 *
 * Runs of elements that lie in several places are boxes in a grid of one column.
 */
export interface InputBoxes {
  /**
   * [S x N + 1] the first box of each input, and at the end the number of boxes. One without any lies in a
   * run.
   */
  readonly first: Int32Array;
  /** [S x N] columns of the grid; not looked at where an input has no boxes, nor is `start`. */
  readonly columns: Float64Array;
  /** [S x N] the element of the grid that is the first of the segment. */
  readonly start: Float64Array;
  /** [boxes] the place of each in the grid, in rows and columns; no box is empty. */
  readonly row: Float64Array;
  readonly rows: Float64Array;
  readonly column: Float64Array;
  readonly width: Float64Array;
  /** [boxes] index into `files`. */
  readonly file: Int32Array;
  /** [boxes] byte offset of its first element in that file. Any alignment. */
  readonly offset: Float64Array;
  /** [boxes] bytes from the beginning of a row to that of the next; any number, also 0. */
  readonly rowStride: Float64Array;
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
  /**
   * [R x K] CRC32C of what this call wrote, however it was tiled: R ranges in file order, each without a gap
   * in any output. None where nothing was written.
   */
  readonly crc: Uint32Array;
  /** [R x K] byte offset in the output file at which each begins. */
  readonly crcOffset: Float64Array;
  /** [R x K] bytes of each. */
  readonly crcLength: Float64Array;
}
