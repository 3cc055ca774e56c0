import type { FloatDtypeName } from '../base/dtype.ts';
import type { TokenSource } from '../checkpoints/run/types.ts';
import type { OptimizerUse } from './policy/resumed.ts';
import type { PolicyRequest } from './policy/types.ts';
import type { WeightRequest } from './schedule/types.ts';
import type { Selection } from './select/types.ts';

/** What becomes of a merge: an end in itself, or the start of more training. */
export type Purpose = 'inference' | 'resume';

export const EXTRA_STATE_USES = ['newest', 'oldest', 'drop'] as const;
export type ExtraStateUse = (typeof EXTRA_STATE_USES)[number];

export const WEIGHT_SOURCES = ['model', 'master'] as const;
export type WeightSource = (typeof WEIGHT_SOURCES)[number];

/** Containers that are written. */
export const FORMATS = ['safetensors', 'dcp', 'torch'] as const;
export type OutputFormat = (typeof FORMATS)[number];

/** The word for the names of Hugging Face's transformers. */
export const HF_NAMES = 'hf';

/** One output of a recipe. */
export interface RecipeOutput extends WeightRequest, PolicyRequest {
  /**
   * Folder, or a .safetensors file where all inputs are files. With `sliding`, `{step}` or `{tokens}` in it
   * stand for those of the newest member.
   */
  readonly path: string;
  /** Which of the inputs; all when absent. */
  readonly select?: Selection | undefined;
  /** One output for every window: the selection's `last` members, the window's end moving over the run. */
  readonly sliding?: boolean | undefined;
  /** `pma`: number, spacing and schedule after the PMA paper, by the size of the model. */
  readonly preset?: 'pma' | undefined;
  /**
   * File of weights for single tensors: names or patterns, each with a list of numbers, one a member. They come
   * after the policies, and before what the output says of all.
   */
  readonly weightsFile?: string | undefined;
  /**
   * Instead of a merge, the one member as it is: its bytes are copied, whatever they are, and only `dtype`
   * changes any. The recipe's only output.
   */
  readonly convert?: boolean | undefined;
  /** Dtype of all float tensors; `same`: each as in the layout, quantised forms included. */
  readonly dtype?: FloatDtypeName | 'same' | undefined;
  readonly for?: Purpose | undefined;
  /**
   * With `for: resume`, what becomes of the optimizer's state: left behind (`drop`; in DCP and in single files
   * of torch.save zeros, and no steps taken), copied from the newest member, or averaged like the weights (in
   * these two alone).
   */
  readonly optimizer?: OptimizerUse | undefined;
  /**
   * Whose `_extra_state` of TransformerEngine it has, in a checkpoint of DCP; that of the newest member when
   * absent.
   */
  readonly extraState?: ExtraStateUse | undefined;
  /**
   * What the weights are made from, where the optimizer keeps them in float32 as well: the model's own
   * tensors, or those, which are then rounded. When absent, `master` for a checkpoint of DCP that training
   * goes on from, else `model`.
   */
  readonly weightsFrom?: WeightSource | undefined;
}

/**
 * Inputs once, any number of outputs from one read of them: what `merge run` carries out, and `merge average`
 * for one output.
 */
export interface Recipe extends TokenSource {
  /** Checkpoints (folders or files), or run folders. Several runs are siblings. */
  readonly inputs: readonly string[];
  readonly outputs: readonly RecipeOutput[];
  /**
   * Checkpoint whose shards, tensor order, names, dtypes and metadata the outputs follow; the newest member
   * when absent.
   */
  readonly like?: string | undefined;
  /** Container of the outputs; safetensors when absent. */
  readonly format?: OutputFormat | undefined;
  /**
   * Bytes of tensor data that a file of the outputs holds at most, as `5GB`, `500MiB` or a number; a larger
   * tensor has a file of its own. As the layout when absent.
   */
  readonly shardSize?: string | number | undefined;
  /** Files of tensors of the outputs, of about equal size; not beside `shardSize`. */
  readonly files?: number | undefined;
  /**
   * Other names for the tensors, and the arrangement that goes with them: `hf`, those of Hugging Face's
   * transformers where a table has them, or the path of a names file. As in the members when absent.
   */
  readonly names?: string | undefined;
  /** With `names`: the config.json of the outputs, which says what tensors do not show. */
  readonly config?: string | undefined;
  /** Let a tensor have different float dtypes among the inputs. */
  readonly allowMixedDtypes?: boolean | undefined;
  /**
   * Average float tensors whose names no rule knows, whatever speaks against it, and merge though names or
   * config.json say something of layers, experts, ties or scales that the tensors do not.
   */
  readonly allowUnknown?: boolean | undefined;
  /** Merge although the experts of some layer seem to have changed places between members. */
  readonly allowPermuted?: boolean | undefined;
  /** Let members come from different stages of a training. */
  readonly allowStages?: boolean | undefined;
  /** Let members have different configurations. */
  readonly allowConfigs?: boolean | undefined;
  /** Hugging Face id for the card's `base_model`. */
  readonly baseModelId?: string | undefined;
}
