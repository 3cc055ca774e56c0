import type { Warning } from '../../base/errors.ts';
import type { Moment } from '../../checkpoints/types.ts';
import type { Role } from '../../model/roles/types.ts';
import type { MemberReport } from '../../recipe/select/types.ts';

/**
 * How far one set of elements is from its counterpart in a later checkpoint. Elements that are not finite in
 * some checkpoint are left out of all figures.
 */
export interface Distance {
  /** ‖a‖₂ and ‖b‖₂. */
  readonly normA: number;
  readonly normB: number;
  /** ‖a − b‖₂ / ‖a‖₂; 0 where a equals b, null where a is zero and b is not. */
  readonly relativeL2: number | null;
  /** a·b / (‖a‖‖b‖); null where either is zero. */
  readonly cosine: number | null;
  /** max |a − b|; null for two checkpoints that are not neighbours in the order given. */
  readonly max: number | null;
}

/** A distance over all tensors of one role, layer or expert. */
export interface DiffCell extends Distance {
  readonly tensors: number;
  readonly elements: number;
}

/**
 * A column of the map: a role, `mtp` for everything in layers of multi-token prediction, `unknown` where no
 * rule knows the name.
 */
export type DiffRole = Role | 'mtp' | 'unknown';

export interface DiffLayerCell extends DiffCell {
  /** Null for what lies outside the layers (embeddings, head, final norm). */
  readonly layer: number | null;
  readonly role: DiffRole;
}

export interface DiffExpertCell extends DiffCell {
  readonly layer: number;
  readonly expert: number;
}

export interface DiffTensor extends Distance {
  readonly name: string;
  readonly role: DiffRole;
  readonly layer: number | null;
  readonly expert: number | null;
  readonly elements: number;
}

/** Two checkpoints compared. */
export interface DiffPair {
  /** Indices into `checkpoints`; `a` comes first in the order given. */
  readonly a: number;
  readonly b: number;
  readonly consecutive: boolean;
  readonly total: DiffCell;
  /** In the order of the roles. */
  readonly roles: readonly (DiffCell & { readonly role: DiffRole })[];
  /**
   * Every (layer, role) that has tensors: by layer, null first, then by role. Of neighbours only, like what
   * follows.
   */
  readonly layers: readonly DiffLayerCell[];
  /** Every (layer, expert) of routed experts; empty for a dense model. */
  readonly experts: readonly DiffExpertCell[];
  /** The tensors that are furthest apart, relative L2 first (at most 20). */
  readonly outliers: readonly DiffTensor[];
}

export type FindingKind =
  /** A tensor holds NaN or infinity. */
  | 'nonfinite'
  /** A tensor, or all tensors of an expert, are zero in one checkpoint. */
  | 'zero'
  /** Much further apart than others of its role. */
  | 'outlier'
  /** Bit-equal although others of its role moved. */
  | 'unchanged'
  /** Layers that seem to have changed places. */
  | 'swapped';

/** Something that stands out, worst first. */
export interface DiffFinding {
  readonly kind: FindingKind;
  /** A sentence for people, with names and numbers. */
  readonly message: string;
  /** Index of the checkpoint at fault; null where that cannot be told, or where it is about a pair. */
  readonly checkpoint: number | null;
  /** The pair of neighbours it was seen in (index of the first); null where it is about one checkpoint. */
  readonly pair: number | null;
  readonly role: DiffRole | null;
  readonly layer: number | null;
  readonly expert: number | null;
  /** Tensors concerned, the first ten. */
  readonly tensors: readonly string[];
}

/** Tensors that are not compared as numbers. */
export interface DiffUncompared {
  readonly name: string;
  readonly reason: 'integer' | 'quantised' | 'complex';
  /** Whether all checkpoints hold the same bytes; null where that was not looked at. */
  readonly equal: boolean | null;
}

/** The JSON document of `diff`. */
export interface DiffDocument extends MemberReport {
  readonly schema: 'ckpt-merge/diff';
  readonly version: 1;
  readonly checkpoints: readonly Moment[];
  /** Neighbours first, in the order given; then all others. */
  readonly pairs: readonly DiffPair[];
  /** Tensors and elements compared. */
  readonly tensors: number;
  readonly elements: number;
  readonly uncompared: readonly DiffUncompared[];
  readonly findings: readonly DiffFinding[];
  /** What to make of it, in one sentence. */
  readonly verdict: string;
  readonly bytesRead: number;
  readonly seconds: number;
  readonly warnings: readonly Warning[];
}
