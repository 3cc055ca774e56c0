import type { TensorTable } from './types.ts';

/**
 * What a tensor belongs to, where its container tells: the model, the optimizer's state, or bytes that only
 * the trainer understands. Tables hold indices into this list.
 */
export const SECTIONS = ['model', 'optimizer', 'blob'] as const;

export type TensorSection = (typeof SECTIONS)[number];

/** The section of a tensor. */
export function sectionOf({ sections }: Pick<TensorTable, 'sections'>, row: number): TensorSection {
  return sections === null ? 'model' : SECTIONS[sections[row]!]!;
}

/** What trainers call the part of a state that is the optimizer's, at the beginning or under one key. */
const OPTIMIZER = /^(?:(?:app|state|train_state)\.)?(?:optimizers?|optims?|opt)(?:_states?(?:_dicts?)?)?\./;
/** Tensors of what else a trainer goes on from. */
const STATE =
  /^(?:(?:app|state|train_state)\.)?(?:(?:lr_|opt_param_)?schedulers?(?:_state_dict)?|loops|callbacks|(?:data_?)?loaders?|train_state|rng_states?|rng|rerun_state_machine\w*)(?:[./]|$)/;

/** What a tensor of that flat name is of. */
export function sectionOfName(name: string): TensorSection {
  if (OPTIMIZER.test(name)) return 'optimizer';
  return STATE.test(name) ? 'blob' : 'model';
}
