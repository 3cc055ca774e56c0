import { MXFP4 } from '../../base/dtype.ts';
import type { Conflict } from '../../base/errors.ts';
import type { TensorPlace } from '../../checkpoints/tensors/types.ts';

/**
 * How codes and scales stand for numbers. `fp8`: one FP8 code a value. `mxfp4`: two FP4 codes (E2M1) a byte,
 * a power of two for 32 of them.
 */
export type QuantisedScheme = 'fp8' | 'mxfp4';

export { MXFP4 };
/** Values that share a scale in MXFP4. */
export const MXFP4_GROUP = 32;

/**
 * Matrices of codes with a scale for each block of `blockRows` x `blockCols`; blocks at the edges may be
 * partial.
 */
export interface BlockShape {
  readonly matrices: number;
  readonly rows: number;
  readonly cols: number;
  readonly blockRows: number;
  readonly blockCols: number;
}

/** One quantised weight of a checkpoint. */
export interface QuantisedWeight extends BlockShape {
  readonly scheme: QuantisedScheme;
  /** Name of the tensor that holds the codes. */
  readonly name: string;
  readonly codes: TensorPlace;
  readonly scales: TensorPlace;
  /** Dtype code of FP8, or {@link MXFP4}. */
  readonly encoding: number;
  /** Dtype code of the scales; U8 holds E8M0 exponents. */
  readonly scaleDtype: number;
  /**
   * New scales must be powers of two: the configuration says so, or their dtype has no others. Else the
   * values of the inputs' scales decide.
   */
  readonly powerOfTwo: boolean;
  /** The same weight unquantised: name and shape. */
  readonly plain: { readonly name: string; readonly shape: readonly number[] };
  /** The plain form holds each matrix transposed. */
  readonly transposed: boolean;
}

/** What is quantised in one checkpoint. */
export interface QuantisedTensors {
  readonly weights: readonly QuantisedWeight[];
  /**
   * Scales of activations and of the key-value cache: measured, not trained, so that they are not averaged.
   */
  readonly activationScales: readonly TensorPlace[];
  /** Forms that cannot be merged, scales that are missing or do not fit. */
  readonly conflicts: readonly Conflict[];
}
