import type { DtypeName } from '../../base/dtype.ts';
import type { TensorPlace } from '../../checkpoints/tensors/types.ts';
import type { TensorRole } from '../roles/types.ts';

/**
 * How a mixture of experts chooses and weighs experts, as its configuration says. For a token with logits z =
 * W x (+ learned bias), scores s = score(z): the `topK` experts with the largest s (+ correction bias, which
 * only steers the choice), within the best groups where there are groups. The weights of the chosen are their
 * s, divided by (their sum + `epsilon`) where `renormalise`, times `scaling`. (A softmax over the chosen
 * logits alone is the softmax over all, renormalised.)
 */
export interface RoutingFunction {
  /** `model_type`, or the names of the configuration's keys that it was read from. */
  readonly family: string;
  readonly score: 'softmax' | 'sigmoid' | 'sqrtsoftplus';
  /** The router has a learned bias, which is part of the logits. */
  readonly logitBias: boolean;
  /** A correction bias is added to the scores for the choice, not for the weights. */
  readonly selectionBias: boolean;
  /**
   * Experts in `count` equal groups, of which the `kept` best by the score of their best expert, or the sum
   * of their best two, are chosen from.
   */
  readonly groups: { readonly count: number; readonly kept: number; readonly by: 'max' | 'sum of top 2' } | null;
  readonly topK: number;
  readonly renormalise: boolean;
  readonly epsilon: number;
  readonly scaling: number;
  /**
   * So many layers at the start choose experts by the token's number in a fixed table: their router only
   * weighs them.
   */
  readonly hashLayers: number;
  /**
   * Threshold of SparseMixer (arXiv:2409.12136), which weighs each of the two experts by a softmax over those
   * near it; null elsewhere.
   */
  readonly sparseMixer: number | null;
}

/** The choice of experts for T tokens, each row by descending rank. */
export interface Routes {
  /** [T x k] */
  readonly experts: Int32Array;
  /** [T x k] */
  readonly weights: Float64Array;
}

/** A tensor that routing needs, or one layer's part of it, and where it lies. */
export interface RoutingTensor extends TensorPlace {
  readonly name: string;
  readonly dtype: DtypeName;
  /** Without the axis of layers, where the tensor holds several. */
  readonly shape: readonly number[];
  /** Its first element in the tensor: 0 but for layers that lie in one tensor with others. */
  readonly from: number;
}

export interface ExpertTensor extends RoutingTensor, Pick<TensorRole, 'projection' | 'family'> {
  /** `all`: the first axis (or its equal parts) is the expert. */
  readonly expert: number | 'all';
}

/** The tensors of one checkpoint that have to do with the choice of experts in one layer. */
export interface RouterLayer {
  readonly layer: number;
  readonly mtp: boolean;
  /** The same for the same layer of a model, whatever the layout calls its tensors. */
  readonly place: string;
  /** [E, H], or [H, E] where `transposed`; of a plain float dtype. */
  readonly router: RoutingTensor;
  readonly transposed: boolean;
  /** E, rows of the router: experts, and for LongCat-Flash also those that do nothing. */
  readonly experts: number;
  /** H, width of the router's input. */
  readonly width: number;
  /** [E] */
  readonly logitBias: RoutingTensor | null;
  /** [E] */
  readonly correctionBias: RoutingTensor | null;
  /** [H] weight of the norm that makes the router's input; null where no name tells. */
  readonly norm: RoutingTensor | null;
  /** Experts are chosen by a table of tokens. */
  readonly tokenTable: RoutingTensor | null;
  /** Matrices of the routed experts, by expert and name. */
  readonly expertTensors: readonly ExpertTensor[];
}

export interface Routers {
  /** By layer. */
  readonly layers: readonly RouterLayer[];
  /** Router tensors that cannot be looked at, and why. */
  readonly skipped: readonly { readonly tensor: string; readonly reason: string }[];
}

/** T inputs of a router, [T x H] row after row. */
export interface RouterInputs {
  readonly data: Float64Array;
  readonly tokens: number;
  readonly width: number;
  /** Random probes, not hidden states of a model: they say how alike routers are, not how a model behaves. */
  readonly synthetic: boolean;
}

/** A router as numbers. */
export interface RouterWeights {
  /** [E x H] */
  readonly rows: Float64Array;
  /** [E] */
  readonly logitBias: Float64Array | null;
  /** [E] */
  readonly correctionBias: Float64Array | null;
}

/** A mean over tokens, and its standard error (0 for one token). */
export interface Estimate {
  readonly mean: number;
  readonly standardError: number;
}

/** How a router spreads tokens over experts. */
export interface Load {
  /** Most tokens of an expert over the mean; 1 is perfect balance. */
  readonly maxOverMean: number;
  /** Entropy of the experts' shares over its largest possible value: 1 is perfect balance. */
  readonly entropy: number;
  /** Experts that no token chose. */
  readonly dead: number;
}

/** The averaged router against one member's on the same inputs. */
export interface MemberChoice {
  /** Share of the member's top k that the averaged router chooses too. */
  readonly overlap: Estimate;
  /** Whether the first choice is the same. */
  readonly top1: Estimate;
  /** Share of the averaged router's score that falls on the experts the member chose. */
  readonly mass: Estimate;
  /** Share of tokens whose choice could change at all: the k-th choice leads the next, or the last group that is kept the next group, by less than changes of scores as
   * large as the largest could make up for. */
  readonly flippable: number;
  /** The member's own; null for synthetic inputs. */
  readonly load: Load | null;
}

/** The choice of experts in one layer. */
export interface LayerChoice {
  readonly layer: number;
  readonly tokens: number;
  readonly synthetic: boolean;
  readonly members: readonly MemberChoice[];
  /** The averaged router's; null for synthetic inputs. */
  readonly load: Load | null;
}
