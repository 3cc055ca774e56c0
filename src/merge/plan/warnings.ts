import type { Warning } from '../../base/errors.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { PlanOutput } from './types.ts';

type Described = Pick<PlanOutput, 'path' | 'schedule' | 'selection' | 'dtypeChanges' | 'purpose' | 'dtype'>;

/**
 * What there is to say of one output, whatever else is made in the same run.
 * @param order of its members' order
 * @param sources its members and the layout it follows
 */
export function ownWarnings(output: Described, order: readonly Warning[], sources: readonly Checkpoint[]): Warning[] {
  const dtype = output.dtypeChanges.join('; ');
  const why =
    output.purpose === 'resume' && output.dtype === 'F32'
      ? ', so that training goes on from the mean and not from its rounding; the members have no more bits for it'
      : '';
  return [
    ...order,
    ...sources.flatMap((c) => c.warnings),
    ...output.schedule.warnings,
    ...(output.selection?.warnings ?? []),
    ...(dtype === ''
      ? []
      : [{ code: 'W_DTYPE_CHANGED', message: `${output.path} is stored in another dtype than the newest input: ${dtype}${why}` } as const]),
  ];
}

/**
 * The warnings of several outputs, each once. One that is about the schedule or the selection of some outputs
 * says of which.
 */
export function planWarnings(outputs: readonly PlanOutput[]): Warning[] {
  const found = new Map<string, { warning: Warning; of: PlanOutput[] }>();
  for (const output of outputs) {
    for (const warning of output.warnings) {
      const key = `${warning.code} ${warning.message}`;
      const entry = found.get(key) ?? { warning, of: [] };
      found.set(key, entry);
      entry.of.push(output);
    }
  }
  return [...found.values()].map(({ warning, of }) => {
    if (of.length === outputs.length || !of[0]!.schedule.warnings.concat(of[0]!.selection?.warnings ?? []).includes(warning))
      return warning;
    return { ...warning, message: `${of.map((o) => o.path).join(', ')}: ${warning.message}` };
  });
}
