import type { Checkpoint } from '../checkpoint/types.ts';
import type { FloatDtypeName } from '../dtype.ts';
import type { Conflict, Warning } from '../errors.ts';
import type { Role } from '../naming/types.ts';
import { MXFP4 } from '../native/requantise.ts';
import type { LayoutChanges } from '../plan/target.ts';
import type { Treatment } from '../policy/types.ts';

/** How codes and scales stand for numbers. `fp8`: one FP8 code a value. `mxfp4`: two FP4 codes (E2M1) a byte, a power of two for 32 of them. */
export type QuantisedScheme = 'fp8' | 'mxfp4';

export { MXFP4 };
/** Values that share a scale in MXFP4. */
export const MXFP4_GROUP = 32;

/** A tensor of a checkpoint. */
export interface Place {
  readonly shard: number;
  readonly row: number;
}

/** Matrices of codes with a scale for each block of `blockRows` x `blockCols`; blocks at the edges may be partial. */
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
  readonly codes: Place;
  readonly scales: Place;
  /** Dtype code of FP8, or {@link MXFP4}. */
  readonly encoding: number;
  /** Dtype code of the scales; U8 holds E8M0 exponents. */
  readonly scaleDtype: number;
  /** New scales must be powers of two: the configuration says so, or their dtype has no others. Else the values of the inputs' scales decide. */
  readonly powerOfTwo: boolean;
  /** The same weight unquantised: name and shape. */
  readonly plain: { readonly name: string; readonly shape: readonly number[] };
  /** The plain form holds each matrix transposed. */
  readonly transposed: boolean;
}

/** What is quantised in one checkpoint. */
export interface QuantisedTensors {
  readonly weights: readonly QuantisedWeight[];
  /** Scales of activations and of the key-value cache: measured, not trained, so that they are not averaged. */
  readonly activationScales: readonly Place[];
  /** Forms that cannot be merged, scales that are missing or do not fit. */
  readonly conflicts: readonly Conflict[];
}

/** One member's part in a work. */
export interface QuantisedSource {
  /** Shard and row of the codes, or of the plain weight. */
  readonly codes: Place;
  /** Dtype code, or {@link MXFP4}. */
  readonly encoding: number;
  /** Null for a plain weight. */
  readonly scales: (Place & { readonly dtype: number }) | null;
}

/** What one output gets. */
export interface QuantisedTarget {
  /** Dtype code, or {@link MXFP4}. A float dtype: dequantised, without scales. */
  readonly encoding: number;
  /** Dtype code of the scales; null where there are none. */
  readonly scaleDtype: number | null;
  /** The matrices are written transposed. */
  readonly transposed: boolean;
}

/** One quantised weight of the merge: dequantised, averaged, and quantised anew with fresh scales (or left as floats). */
export interface QuantisedWork extends BlockShape {
  readonly name: string;
  readonly scheme: QuantisedScheme;
  readonly role: Role | null;
  /** Of the layout: codes (or the plain weight) and scales; the rows to which outputs write. */
  readonly codes: Place;
  readonly scales: Place | null;
  readonly powerOfTwo: boolean;
  /** [members] null where the member takes no part in the plan. */
  readonly sources: readonly (QuantisedSource | null)[];
  /** [K] */
  readonly targets: readonly QuantisedTarget[];
  /** Weight table. A plan of one table has 0; whoever assigns treatments sets it. */
  readonly table: number;
}

/** A small tensor that every output which holds it copies byte by byte from the newest member that takes part. */
export interface CopiedScale {
  /** Of the layout. */
  readonly place: Place;
  readonly member: number;
  readonly source: Place;
}

export interface QuantisedOutput {
  readonly path: string;
  /** `same`: in the layout's form, asked for by name; null: nothing was said. */
  readonly dtype: FloatDtypeName | 'same' | null;
  /** The newest member that has a weight in it. */
  readonly newest: number;
}

export interface QuantisedRequest {
  readonly layout: Checkpoint;
  /** config.json of the layout as an object, null where there is none. */
  readonly layoutConfig: Readonly<Record<string, unknown>> | null;
  readonly members: readonly Checkpoint[];
  /** [members] */
  readonly memberConfigs: readonly (Readonly<Record<string, unknown>> | null)[];
  /** [members] whether any output gives it a weight. */
  readonly participates: readonly boolean[];
  /** [K] */
  readonly outputs: readonly QuantisedOutput[];
  readonly allowMixedDtypes: boolean;
  /** What output k does with a tensor of the layout. */
  readonly treatmentOf: (k: number, shard: number, row: number) => Pick<Treatment, 'kind' | 'dtype'>;
  /** Role of a tensor of the layout. */
  readonly roleOf: (shard: number, row: number) => Role | null;
}

/** Everything that a plan must know of quantised weights. All lists by shard have one entry for each shard of the checkpoint. */
export interface QuantisedPlan {
  /** [layout shards] rows that ordinary segments leave alone: codes and scales. */
  readonly handled: readonly ReadonlySet<number>[];
  /** [members] [shards] rows of a member that are part of a work or of a copied scale: neither matched by name nor extra. Empty where it takes no part. */
  readonly accounted: readonly (readonly ReadonlySet<number>[])[];
  /** What the outputs leave out and hold in another form: scales, and codes that became floats. */
  readonly changes: LayoutChanges;
  /** In the order of the layout's shards and rows of codes. */
  readonly works: readonly QuantisedWork[];
  readonly copies: readonly CopiedScale[];
  /** The outputs hold plain floats, so that config.json must lose its quantisation entry. */
  readonly dequantised: boolean;
  readonly conflicts: readonly Conflict[];
  readonly warnings: readonly Warning[];
}

/** Sums over the requantised weights of one role in one output: M the merged values, Q what the codes and scales written for them say. */
export interface RoundingSums {
  readonly role: Role | null;
  readonly tensors: number;
  readonly elements: number;
  /** Sum of (Q - M)^2. */
  readonly error: number;
  /** Sum of (M - newest member)^2. */
  readonly change: number;
  /** Finite values that became the largest of the encoding. */
  readonly saturated: number;
}

/** What is told of them. */
export interface RoundingFigure {
  readonly role: Role | null;
  readonly tensors: number;
  readonly elements: number;
  /** |Q - M| / |M - newest|: what quantising anew moved, over what merging did. Null where merging moved nothing. */
  readonly ratio: number | null;
  readonly saturated: number;
}
