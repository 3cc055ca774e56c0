import type { Warning } from '../../base/errors.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import type { MergedMember } from '../../merge/plan/types.ts';
import type { PairIdentity } from '../../model/places/types.ts';
import type { LayerChoice } from '../../model/routing/types.ts';
import type { MemberReport } from '../../recipe/select/types.ts';

/**
 * The JSON document of `merge routers`: whether experts keep their places from checkpoint to checkpoint, how
 * far routers move, whether the averaged router chooses the same experts, and, where it was measured, whether
 * that matters.
 */
export interface RouterReport extends MemberReport {
  readonly schema: 'ckpt-merge/routers';
  readonly version: 1;
  /** `model_type` of the newest checkpoint's config.json; null where there is none. */
  readonly family: string | null;
  /** Oldest first, with the weights that the average has. N of them. */
  readonly members: readonly MergedMember[];
  /** Schedule of the weights, as `sma`. */
  readonly method: string;
  /** How the family chooses experts, in words; null where the function is not known. */
  readonly routing: RoutingSummary | null;
  /** In order of their index, those of multi-token prediction last. At least one. */
  readonly layers: readonly LayerReport[];
  /** What was looked at to compare experts. */
  readonly sample: IdentitySample;
  /** On what the choice of experts was compared; null where it was not. */
  readonly inputs: ChoiceInputs | null;
  /** Scores of the averaged model with each choice of router; null without `--eval`. */
  readonly evaluation: Evaluation | null;
  readonly verdict: Verdict;
  /** What was read of the checkpoints, bytes. */
  readonly bytesRead: number;
  readonly seconds: number;
  readonly warnings: readonly Warning[];
}

export interface RoutingSummary {
  /** In words, as `sigmoid scores, 8 of 256 experts, in 4 of 8 groups, bias for the choice alone`. */
  readonly text: string;
  readonly topK: number;
}

/** One MoE layer. */
export interface LayerReport {
  readonly layer: number;
  /** Of multi-token prediction. */
  readonly mtp: boolean;
  /** Name of the router's weight. */
  readonly name: string;
  readonly experts: number;
  readonly hidden: number;
  /** [N-1] member i against member i+1. */
  readonly identity: readonly PairIdentity[];
  /** [N-1] member i against member i+1. */
  readonly drift: readonly RouterDrift[];
  /** Oldest against newest; null with fewer than three members, where `drift` has it already. */
  readonly overall: RouterDrift | null;
  /**
   * ‖Σ w·row‖ / Σ |w|·‖row‖ over the experts: 1 where all members' rows point the same way. Of the whole
   * router, and no expert's, where experts are columns.
   */
  readonly midpoint: { readonly least: number; readonly expert: number | null; readonly mean: number };
  /**
   * The averaged router against each member's own on the same inputs; null where the choice was not compared.
   */
  readonly choice: LayerChoice | null;
}

/**
 * Between the routers A (older) and B of one layer, all rows together. Null where A is zero. Numbers that are
 * not finite are left out.
 */
export interface RouterDrift {
  /** ‖B − A‖ / ‖A‖ */
  readonly relative: number | null;
  /** Of all rows as one vector. */
  readonly cosine: number | null;
  /**
   * The row that moved furthest, relative to its own length; null where experts are the columns of the stored
   * matrix.
   */
  readonly worst: { readonly expert: number; readonly relative: number | null } | null;
  /**
   * The correction bias, its mean removed (a common shift changes no choice): ‖b − a‖ / ‖a‖. Null where there
   * is none.
   */
  readonly correctionBias: number | null;
}

export interface IdentitySample {
  readonly seed: number;
  /**
   * Coordinates compared: of a router's row, and of an expert's weights. Null where the checkpoints hold no
   * expert weights that could be sampled.
   */
  readonly routerColumns: number;
  readonly expertElements: number | null;
  /**
   * An order of experts counts as another one where 1 − cosine falls to this part of what it is for the order
   * as stored, and of what chance gives…
   */
  readonly ratio: number;
  /** …and the cosine rises by at least this. Both hold for each cycle of the permutation on its own. */
  readonly gain: number;
}

export interface ChoiceInputs {
  /** `synthetic`: seeded Gaussian vectors. They tell nothing of load, and nothing of safety. */
  readonly kind: 'hidden-states' | 'synthetic';
  /** File of the hidden states. */
  readonly path: string | null;
  /** Vectors a layer: the fewest of all layers. */
  readonly tokens: number;
  readonly seed: number | null;
}

/** Whose routers the averaged weights were given; `unmerged`: the newest checkpoint as it is. */
export type RouterVariant = 'average' | 'newest' | 'oldest' | 'unmerged';

export interface Evaluation {
  /** The command, as given. */
  readonly command: string;
  /** Which scores are better: `minimize` for losses. */
  readonly goal: Goal;
  /** The averaged routers first. */
  readonly scores: readonly VariantScore[];
  /** The others less the averaged routers. */
  readonly differences: readonly ScoreDifference[];
}

export interface VariantScore {
  readonly router: RouterVariant;
  readonly score: number;
  /** As the command says it; null where it says none. */
  readonly stderr: number | null;
  /** How many items were scored one by one; null where the command gives none. */
  readonly items: number | null;
  readonly seconds: number;
}

export interface ScoreDifference {
  readonly router: Exclude<RouterVariant, 'average'>;
  /** Its score less that with averaged routers; the mean over items where they are paired. */
  readonly mean: number;
  /**
   * Standard error of the difference: of its items where `paired`, else from both errors; null where there
   * are none.
   */
  readonly error: number | null;
  /** Both gave as many items. */
  readonly paired: boolean;
}

export interface Verdict {
  /**
   * `refuse`: experts changed places. `look`: something stands out that wants a look before these are
   * averaged. `measured`: by scores, or on real hidden states. `no-objection`: nothing speaks against
   * averaging, and nothing was measured that speaks for it.
   */
  readonly kind: 'refuse' | 'look' | 'measured' | 'no-objection';
  /** One sentence for the top of the report. */
  readonly headline: string;
  /** What it rests on, a sentence each, with numbers. */
  readonly findings: readonly string[];
  /** What was not tested, a sentence each. */
  readonly notTested: readonly string[];
}
