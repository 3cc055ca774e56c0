import { basename, dirname, resolve } from 'node:path';
import { optionWith } from '../../base/option-words.ts';
import { shellQuote } from '../../base/process/shell-quote.ts';
import { stateLeft } from '../record/start-facts.ts';
import type { Plan, PlanOutput } from './types.ts';

/** How whoever reads it calls an output, and the folder that it lies in. */
interface Places {
  readonly output: string;
  readonly above: string;
}

/**
 * How a trainer starts from an output that was made for that; null of others. As `docs/resume.md` has it, by the trainer
 * that wrote the members.
 * @param places absent for the paths of the output
 */
export function goingOn(plan: Pick<Plan, 'layout' | 'members' | 'format'>, output: PlanOutput, places?: Places): string | null {
  if (output.purpose !== 'resume') return null;
  const { kept, optimizer, path } = output;
  const absolute = resolve(path);
  const { output: self, above } = places ?? { output: shellQuote(path), above: shellQuote(dirname(path)) };
  if (kept === null) {
    if (optimizer !== 'newest') return `load ${self} as a model, and start the optimizer anew, with a warm-up of its rate`;
    // Other trainers keep their optimizers in other files, and some of these hold weights: the warning says so.
    if (!output.sideFiles.some(({ name }) => name === 'optimizer.pt')) return null;
    return `give ${self} to transformers' Trainer as resume_from_checkpoint, which takes weights, optimizer and steps from it`;
  }
  const { writer } = plan.layout.form;
  // In a line of Python.
  const [inPython, aboveInPython] = places === undefined ? [JSON.stringify(path), JSON.stringify(dirname(path))] : [self, above];
  const without = kept.optimizer === 'none' || kept.optimizer === 'left out';
  if (plan.format === 'torch') {
    if (plan.layout.fragments === undefined)
      return `torch.load(${inPython})${without ? ', which has no optimizer' : ', as of any other of its files'}`;
    return `engine.load_checkpoint(${aboveInPython}, tag=${JSON.stringify(basename(absolute))})`;
  }
  if (writer?.startsWith('Megatron-core') === true) {
    const step = plan.members[output.members.at(-1)!]?.step ?? null;
    const named = step === null ? 'the number of the newest in iter_NNNNNNN' : `${step}`;
    const folder = step === null ? '' : ` (as iter_${String(step).padStart(7, '0')})`;
    const anew = kept.optimizer === 'none' ? ' and `--finetune --no-load-optim --no-load-rng`' : without ? ' and `--no-load-optim`' : '';
    return `write ${named} into ${above}/latest_checkpointed_iteration.txt beside ${self}${folder}, and start Megatron with \`--load\` ${above}${anew}`;
  }
  if (writer === 'torchtitan') {
    const only = without ? '' : ' and initial_load_model_only=False';
    return `give torchtitan the absolute path of ${self} as checkpoint.initial_load_path${only}`;
  }
  if (writer === 'OLMo-core') {
    const only = without ? ', load_optim_state=False and load_trainer_state=False' : '';
    return `give OLMo-core's trainer ${self} as load_path, with a new save_folder${only}`;
  }
  if (writer?.startsWith('accelerate') === true)
    return `give ${self} to accelerator.load_state, or to transformers' Trainer as resume_from_checkpoint`;
  return `dcp.load(state, checkpoint_id=${inPython})${without ? ' with a state of the model alone' : ', as of any other checkpoint'}`;
}

/** The note of an output of safetensors that training goes on from: what of the newest's state it lacks. */
export function startNote(output: PlanOutput): string | null {
  if (output.purpose !== 'resume' || output.kept !== null || output.optimizer === 'newest') return null;
  const names = stateLeft(output);
  if (names.length === 0) return 'to train on from as a model: the newest has no state of a trainer beside it, and none is written';
  const optimizer = names.some((name) => /optim/i.test(name));
  const copies = optimizer ? `; ${optionWith('optimizer', 'newest')} copies them` : '; no optimizer is among them';
  return `to train on from as a model: left behind of the newest's trainer: ${names.slice(0, SHOWN).join(', ')}${names.length > SHOWN ? ` and ${names.length - SHOWN} more` : ''}${copies}`;
}

const SHOWN = 8;
