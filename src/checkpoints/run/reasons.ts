import { MARKED_UNFINISHED, UNFINISHED_SAVE } from '../names.ts';

/** What a sound checkpoint has whose place in the run nobody can tell. */
export const NO_STEP = 'no step: neither its name nor a state file gives one';

/** The trainer's state was saved alone. */
export const NO_MODEL = "no model: its tensors are the optimizer's and the trainer's";

/** The beginning of a reason: something of it is not there. */
export const INCOMPLETE = 'incomplete';

/** Whether a checkpoint that is left out for a reason may be one whose save is in progress. */
export function mayBeSaving(reason: string): boolean {
  return reason === UNFINISHED_SAVE || reason.startsWith(MARKED_UNFINISHED) || reason.startsWith(INCOMPLETE);
}
