import { worded } from '../../base/option-words.ts';
import { sectionOf } from '../../checkpoints/tensors/section.ts';
import { stateTensor } from '../../model/roles/optimizer-state.ts';
import { HF_NAMES } from '../../recipe/types.ts';
import { printable } from '../../render/format.ts';
import { holdsState } from './inputs/merged-start.ts';
import type { Plan } from './types.ts';

/**
 * What whoever merges another container than safetensors should know: whose names the tensors of safetensors
 * have, and what a checkpoint of that container holds. Null where they came as safetensors.
 */
export function containerNote({
  layout: { path, kind, form, shards },
  outputs,
  format,
  names,
}: Pick<Plan, 'layout' | 'outputs' | 'format' | 'names'>): string | null {
  if (form.kind === 'safetensors' || outputs.length === 0) return null;
  if (format !== 'safetensors') {
    const writer = form.writer ?? form.kind;
    const masters = format === 'dcp' && shards.some(({ tensors }) => tensors.names.some((name) => stateTensor(name).kind === 'master'));
    const from = outputs.every(({ weightsFrom }) => weightsFrom !== 'master') && masters;
    const also = from ? worded`; its optimizer keeps float32 masters of the weights, from which --weights-from master makes them` : '';
    if (holdsState(format, { kind }) && outputs.every(({ purpose }) => purpose === 'resume'))
      return `${printable(path)} is a checkpoint of ${writer}, and so is what is written, with all that training goes on from`;
    return `${printable(path)} is a checkpoint of ${writer}, and so is what is written: of the model alone, to be evaluated or trained with a fresh optimizer${also}`;
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
