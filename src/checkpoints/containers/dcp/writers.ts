import type { TensorSection } from '../../tensors/section.ts';

/** What trainers call the part of a state that is the optimizer's, at the beginning or under one key. */
const OPTIMIZER = /^(?:(?:app|state|train_state)\.)?(?:optimizers?|optims?|opt)\./;
/** Tensors of what else a trainer goes on from. */
const STATE = /^(?:(?:app|state|train_state)\.)?(?:lr_schedulers?|schedulers?|dataloaders?|train_state|rng_states?|rng|rerun_state_machine\w*)(?:[./]|$)/;

/** What a tensor of that flat name is of. */
export function sectionOfName(name: string): TensorSection {
  if (OPTIMIZER.test(name)) return 'optimizer';
  return STATE.test(name) ? 'blob' : 'model';
}
