import { worded } from '../../base/option-words.ts';
import { sectionOf } from '../../checkpoints/tensors/section.ts';
import { holdsOptimizer } from '../../checkpoints/training-state.ts';
import { stateTensor } from '../../model/roles/optimizer-state.ts';
import { HF_NAMES } from '../../recipe/types.ts';
import { printable } from '../../render/format.ts';
import { startNote } from './going-on.ts';
import { holdsState } from './inputs/merged-start.ts';
import type { Plan, PlanOutput } from './types.ts';

/**
 * What whoever merges another container than safetensors should know: whose names the tensors of safetensors
 * have, and what a checkpoint of that container holds. Null where they came as safetensors.
 */
export function containerNote({
  layout: { path, kind, form, shards, objects, fragments },
  outputs,
  format,
  names,
}: Pick<Plan, 'layout' | 'outputs' | 'format' | 'names'>): string | null {
  if (outputs.length === 0) return null;
  if (form.kind === 'safetensors') return startNote(outputs[0]!);
  if (format !== 'safetensors') {
    const begin = `${printable(path)} is a checkpoint of ${form.writer ?? form.kind}, and so is what is written`;
    if (outputs.every(({ kept }) => kept !== null)) return `${begin}${resumedNote(outputs[0]!)}`;
    const options = outputs.every(({ schedule }) => schedule.method !== 'convert');
    const masters = format === 'dcp' && shards.some(({ tensors }) => tensors.names.some((name) => stateTensor(name).kind === 'master'));
    const made = options && masters && outputs.every(({ weightsFrom }) => weightsFrom !== 'master');
    const also = made ? worded`; its optimizer keeps float32 masters of the weights, from which --weights-from master makes them` : '';
    const keeps = options && holdsState(format, { kind, fragments }) && holdsOptimizer({ shards, objects });
    const resumed = keeps ? worded`; --for resume keeps the optimizer's state, to train on` : '';
    return `${begin}: of the model alone, to be evaluated or trained with a fresh optimizer${resumed}${also}`;
  }
  const named = shards.flatMap(({ tensors }) => tensors.names.filter((_, row) => sectionOf(tensors, row) === 'model').slice(0, 1));
  const example = named.length === 0 ? '' : ` (${printable(named[0]!)} …)`;
  const made = outputs.length === 1 ? 'the output is' : 'the outputs are';
  if (names !== null) {
    const whose = names.asked === HF_NAMES ? "of Hugging Face's transformers" : `that ${printable(names.asked)} says`;
    return `${printable(path)} is a checkpoint of ${form.writer ?? form.kind}: ${made} safetensors, with the names ${whose}${example}`;
  }
  return `${printable(path)} is a checkpoint of ${form.writer ?? form.kind}: ${made} safetensors, with the names that it has for its tensors${example}, not with those of another library`;
}

/** Names that are shown. */
const SHOWN = 8;

/** What an output that training goes on from has of its trainer's state, and what to mind. */
function resumedNote({ kept, optimizer, treatments, sideFiles }: PlanOutput): string {
  const { optimizer: state, left } = kept!;
  const [zeros, anew] = ["optimizer's state set to zeros", 'so that the trainer has to start without it'];
  const more = sideFiles.length > 0 || treatments.some(({ state: of, treatment }) => of !== undefined && treatment !== 'left out');
  const alone = more ? 'the model and what else the newest has for its trainer' : 'of the model alone, as the newest is';
  const has = {
    kept: `, to train on: with the ${optimizer === 'drop' ? zeros : "optimizer's state"} and what else the newest has for its trainer`,
    'no moments': `, to train on: the newest has no moments of the optimizer, so that there are none here; with what else it has for its trainer`,
    none: `: ${alone}; there is no optimizer state in it, ${anew}`,
    'left out': `: ${alone}; the optimizer's state is left out, ${anew}`,
  }[state];
  const names = left.slice(0, SHOWN).map((name) => printable(name));
  const others = left.length > SHOWN ? ` and ${left.length - SHOWN} more` : '';
  const behind = names.length === 0 ? '' : `; left behind beside it: ${names.join(', ')}${others}`;
  return `${has}${behind}${optimizer === 'drop' || state === 'no moments' ? `\n${more ? LATE : ''}${WARM_UP}` : ''}`;
}

const LATE = 'the schedule of the rate goes on where it was, and ';
/** Measured: docs/resume.md. */
const WARM_UP =
  'an optimizer that begins anew needs a warm-up: without one, its first updates are so long that what the merge gained is lost within five steps (docs/resume.md)';
