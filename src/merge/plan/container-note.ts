import { sectionOf } from '../../checkpoints/tensors/section.ts';
import { printable } from '../../render/format.ts';
import type { Plan } from './types.ts';

/**
 * What whoever makes safetensors of another container should know: whose names the tensors have. Null where
 * they came as safetensors.
 */
export function containerNote({ layout: { path, form, shards }, outputs }: Pick<Plan, 'layout' | 'outputs'>): string | null {
  if (form.kind === 'safetensors' || outputs.length === 0) return null;
  const named = shards.flatMap(({ tensors }) => tensors.names.filter((_, row) => sectionOf(tensors, row) === 'model').slice(0, 1));
  const example = named.length === 0 ? '' : ` (${printable(named[0]!)} …)`;
  const made = outputs.length === 1 ? 'the output is' : 'the outputs are';
  return `${printable(path)} is a checkpoint of ${form.writer ?? form.kind}: ${made} safetensors, with the names that it has for its tensors${example}, not with those of another library`;
}
