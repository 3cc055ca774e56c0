import { type FloatDtypeName, MXFP4 } from '../../../base/dtype.ts';
import type { Conflict, Warning } from '../../../base/errors.ts';
import type { TensorPlace } from '../../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import type { Arrangement } from '../../../model/layout/types.ts';
import type { BlockShape, QuantisedScheme } from '../../../model/quantised/types.ts';
import type { Role } from '../../../model/roles/types.ts';
import type { Treatment } from '../../../recipe/policy/types.ts';
import type { LayoutChanges } from '../tensors/target.ts';

/** Elements of a tensor, from one of them on. */
export interface PartPlace extends TensorPlace {
  /** First code or scale. */
  readonly from: number;
}

/** One member's part in a work. */
export interface QuantisedSource {
  /** The codes, or the plain weight. */
  readonly codes: PartPlace;
  /** Dtype code, or {@link MXFP4}. */
  readonly encoding: number;
  /** Null for a plain weight. */
  readonly scales: (PartPlace & { readonly dtype: number }) | null;
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

/**
 * One quantised weight of the merge, or the part of one that some member holds by itself: dequantised,
 * averaged, and quantised anew with fresh scales (or left as floats).
 */
export interface QuantisedWork extends BlockShape {
  readonly name: string;
  readonly scheme: QuantisedScheme;
  readonly role: Role | null;
  /** Of the layout: codes (or the plain weight) and scales; the rows to which outputs write. */
  readonly codes: PartPlace;
  readonly scales: PartPlace | null;
  readonly powerOfTwo: boolean;
  /** [members] null where the member takes no part in the plan. */
  readonly sources: readonly (QuantisedSource | null)[];
  /** [K] */
  readonly targets: readonly QuantisedTarget[];
  /** Weight table. A plan of one table has 0; whoever assigns treatments sets it. */
  readonly table: number;
}

/**
 * A small tensor that every output which holds it copies byte by byte from the newest member that takes part.
 */
export interface CopiedScale {
  /** Of the layout. */
  readonly place: TensorPlace;
  readonly member: number;
  readonly source: TensorPlace;
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
  /** How a member holds tensors that it lacks by name; asked for where there are some. */
  readonly arrangement: (member: number) => Arrangement;
}

/**
 * Everything that a plan must know of quantised weights. All lists by shard have one entry for each shard of
 * the checkpoint.
 */
export interface QuantisedPlan {
  /** [layout shards] rows that ordinary segments leave alone: codes and scales. */
  readonly handled: readonly ReadonlySet<number>[];
  /**
   * [members] [shards] rows of a member that are part of a work or of a copied scale: neither matched by name
   * nor extra. Empty where it takes no part.
   */
  readonly accounted: readonly (readonly ReadonlySet<number>[])[];
  /** What the outputs leave out and hold in another form: scales, and codes that became floats. */
  readonly changes: LayoutChanges;
  /** In the order of the layout's shards and rows of codes. */
  readonly works: readonly QuantisedWork[];
  readonly copies: readonly CopiedScale[];
  /** [members] weights of the layout that it holds under other names, or as parts of others. */
  readonly arranged: readonly number[];
  /** The outputs hold plain floats, so that config.json must lose its quantisation entry. */
  readonly dequantised: boolean;
  readonly conflicts: readonly Conflict[];
  readonly warnings: readonly Warning[];
}
