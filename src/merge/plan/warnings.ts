import type { Warning } from '../../base/errors.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { ADVICE } from '../../recipe/select/member-warnings.ts';
import type { PlanOutput } from './types.ts';

/** Outputs whose advice is given in full. */
const ADVICE_SHOWN = 3;

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
  const { schedule, selection } = output;
  // What such a schedule has to say of the rate, it says itself.
  const told = schedule.method === 'lr-curve' || schedule.warnings.some(({ code }) => code === 'W_LR_PHASE');
  return [
    // Members that are not those asked for come first.
    ...(selection?.warnings ?? []).filter(({ code }) => code !== 'W_LR_PHASE' || !told),
    ...order,
    ...sources.flatMap((c) => c.warnings),
    ...schedule.warnings,
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
      // What a run and its member say alike is one warning of the output.
      if (!entry.of.includes(output)) entry.of.push(output);
    }
  }
  const own = ({ schedule, selection }: PlanOutput) => [...schedule.warnings, ...(selection?.warnings ?? [])];
  return shortened(
    [...found.values()].map(({ warning, of }) => {
      if (of.length === outputs.length || !own(of[0]!).includes(warning)) return warning;
      return { ...warning, message: `${few(of.map((o) => o.path))}: ${warning.message}` };
    }),
  );
}

/** Outputs that a warning names. */
const NAMED = 6;

function few(paths: readonly string[]): string {
  return paths.length > NAMED ? `${paths.slice(0, NAMED - 1).join(', ')} and ${paths.length - NAMED + 1} more outputs` : paths.join(', ');
}

/** What each of many outputs says of its own window is one thing to know: some of them, and how many more. */
function shortened(warnings: readonly Warning[]): Warning[] {
  const shown = warnings.filter(
    ({ code }, i) => !ADVICE.has(code) || warnings.slice(0, i).filter((before) => before.code === code).length < ADVICE_SHOWN,
  );
  const more = [...ADVICE].flatMap((code): Warning[] => {
    const hidden = warnings.filter((warning) => warning.code === code).length - ADVICE_SHOWN;
    return hidden < 1 ? [] : [{ code, message: `and so of ${hidden} more ${hidden === 1 ? 'output' : 'outputs'}` }];
  });
  return [...shown, ...more];
}
