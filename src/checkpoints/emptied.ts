import type { Conflict } from '../base/errors.ts';

/** Tensors without an element in a checkpoint, where weights belong. */
export interface Emptied {
  readonly count: number;
  /** Tensors of the checkpoint. */
  readonly all: number;
  /** Name and shape of the first. */
  readonly first: string;
  readonly shape: readonly number[];
}

/**
 * What empty tensors in a checkpoint are: under ZeRO-3 a model's parameters are empty on every rank until
 * they are gathered, but for small ones, and a save that does not gather writes them so.
 */
export function emptiedConflict(path: string, { count, all, first, shape }: Emptied): Conflict {
  return {
    code: 'E_NO_TENSORS',
    message: `${path}: ${count} of ${all} tensors ${count === 1 ? 'is' : 'are'} empty (${first} has shape [${shape.join(', ')}]), as DeepSpeed ZeRO-3 leaves weights that a save does not gather`,
    help: "Save with stage3_gather_16bit_weights_on_model_save, or make the weights from the ZeRO state with DeepSpeed's zero_to_fp32.py.",
    file: path,
    tensor: first,
  };
}
