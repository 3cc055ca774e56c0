/**
 * What `NativeEngine.gram` takes and gives: sums of products. The slow twin is
 * `src/analysis/verify/twin/gram.ts`.
 */
import type { ReadFigures, SegmentInputs } from './job.ts';

/** Elements of one span: every segment of a {@link GramJob} is summed in spans of so many from its start. */
export const GRAM_SPAN = 8192;
/** Most inputs of a {@link GramJob}. */
export const MOST_GRAM_INPUTS = 32;

/**
 * Sums of products of N inputs with each other, as a struct of arrays. S segments; every member takes part in
 * each.
 */
export interface GramJob extends SegmentInputs {
  /** Sums the squares of the steps x_i − x_(i−1) too. */
  readonly steps: boolean;
}

export interface GramResult extends ReadFigures {
  /**
   * [spans x width] in the order of the segments, where width is N(N+1)/2 + 4N: the sums of products of the
   * upper triangle, row by row; then, for each input, Σ (x_i − x_(i−1))²; for each, max |x_i − x_(i−1)| (both
   * 0 for the first, and without `steps`); the NaNs of each; the infinities of each. Elements that are not
   * finite in some input are left out of sums and maxima.
   */
  readonly sums: Float64Array;
}

/** Where the sum of products of inputs i ≤ j lies in a triangle of N inputs, row by row. */
export function gramPair(inputs: number, i: number, j: number): number {
  return inputs * i - (i * (i + 1)) / 2 + j;
}

/**
 * Numbers of a span: sums of products, then for each input the square of its step, its largest step, its
 * NaNs, its infinities.
 */
export function gramWidth(inputs: number): number {
  return (inputs * (inputs + 1)) / 2 + 4 * inputs;
}
