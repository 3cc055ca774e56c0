import type { Warning } from '../../base/errors.ts';
import { groupBy } from '../../base/group-by.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { PlanOutput } from './types.ts';

/** An output of a plan, as far as its warnings go. */
export type Warned = Pick<PlanOutput, 'path' | 'schedule' | 'selection' | 'warnings'>;

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
export function planWarnings(outputs: readonly Warned[]): Warning[] {
  const found = new Map<string, { warning: Warning; of: Warned[] }>();
  for (const output of outputs) {
    for (const warning of output.warnings) {
      const key = `${warning.code} ${warning.message}`;
      const entry = found.get(key) ?? { warning, of: [] };
      found.set(key, entry);
      // What a run and its member say alike is one warning of the output.
      if (entry.of.at(-1) !== output) entry.of.push(output);
    }
  }
  const own = ({ schedule, selection }: Warned) => [...schedule.warnings, ...(selection?.warnings ?? [])];
  return severalAsOne(
    [...found.values()].map(({ warning, of }) => {
      const paths = of.map(({ path }) => path);
      if (of.length === outputs.length) return { warning, of: [] };
      if (own(of[0]!).includes(warning)) return { warning, of: paths };
      return { warning, of: paths.filter((path) => warning.message.includes(path)), named: true };
    }),
  );
}

/** A warning, and the paths of the outputs that it is about; none where it is about none by itself. */
export interface FoundOf {
  readonly warning: Warning;
  readonly of: readonly string[];
  /** Its message says of which. */
  readonly named?: boolean;
}

/** Outputs that a warning names, and of many that say alike. */
const NAMED = 6;
const ALIKE_NAMED = 3;
/** Outputs of which each may say the same with figures of its own. */
const EACH_SAYS = 3;
const FIGURES = /\d[\d.,]*(?:e[+-]?\d+)?/gi;

/**
 * Warnings that say of which outputs they are. What more than a few outputs say with nothing but other figures is one
 * thing to know: how many they are, the first of them, and what the first says.
 */
export function severalAsOne(found: readonly FoundOf[]): Warning[] {
  const formOf = ({ warning, of }: FoundOf, i: number) => {
    const [path] = of;
    const form = (path === undefined ? warning.message : warning.message.replaceAll(path, '')).replace(FIGURES, '0');
    return path === undefined ? `${i}` : `of outputs ${warning.code} ${form}`;
  };
  return [...groupBy(found.entries(), ([i, one]) => formOf(one, i)).values()].flatMap((entries): Warning[] => {
    const alike = entries.map(([, one]) => one);
    if (alike.length <= EACH_SAYS) return alike.map(withPaths);
    const paths = [...new Set(alike.flatMap(({ of }) => of))];
    const { code, message } = alike[0]!.warning;
    const named = `${paths.slice(0, ALIKE_NAMED).join(', ')} and ${paths.length - ALIKE_NAMED} more`;
    return [{ code, message: `${paths.length} outputs, each with figures of its own (${named}); of ${paths[0]}: ${message}` }];
  });
}

function withPaths({ warning, of, named }: FoundOf): Warning {
  if (of.length === 0 || named) return warning;
  const few = of.length > NAMED ? `${of.slice(0, NAMED - 1).join(', ')} and ${of.length - NAMED + 1} more outputs` : of.join(', ');
  return { ...warning, message: `${few}: ${warning.message}` };
}
