import { basename, extname } from 'node:path';
import { formatQuantity, parseQuantity } from '../../checkpoints/run/quantity.ts';
import type { QuantityText } from '../../checkpoints/run/types.ts';
import { EXCLUSIVE_PARAMETERS } from '../schedule/check.ts';
import { methodByName } from '../schedule/methods.ts';
import { PARAMETERS, type Parameter, type ParameterName, parameterLabel } from '../schedule/parameters.ts';
import type { ParameterValue, WeightRequest } from '../schedule/types.ts';
import { type Control, PARAMETER_AXES, TREATMENT_AXES } from './axes.ts';
import type { KnownSave, TreatmentAxis } from './types.ts';

/** What an output of a grid is, as its name tells it. */
export interface NamedArm {
  readonly end: KnownSave;
  readonly stage: number | undefined;
  readonly window: QuantityText;
  readonly schedule: WeightRequest;
  readonly stride: number;
  readonly control: Control;
  /** Members are the best so many by their scores; null where they are all. */
  readonly top: number | null;
  readonly treatment: Readonly<Partial<Record<TreatmentAxis, unknown>>>;
  readonly policies: string | null;
}

/** What may stand in a name; everything else of a value becomes `_`. */
const STRANGE = /[^\w.+-]/g;

/** A name of a set of policies that becomes part of a file's. */
export const POLICIES_NAME = /^[A-Za-z0-9][\w.+-]{0,63}$/;

/**
 * The name of an output: where it ends, its window, its schedule with the parameters that decide it, then
 * what is not as it is without being asked for. It depends on nothing but that, so that the same merge has
 * the same name whatever else is in the grid and however far the run has grown.
 */
export function armName({ end, stage, window, schedule, stride, top, control, treatment, policies }: NamedArm): string {
  const parts = [
    ...(stage === undefined ? [] : [`stage${stage}`]),
    `step${end.step}`,
    `w${formatQuantity(parseQuantity(window, 'windows'))}`,
    ...scheduleParts(schedule),
    ...(stride === 1 ? [] : [`stride${stride}`]),
    ...(top === null ? [] : [`top${top}`]),
    ...(control.reverse ? ['reverse'] : []),
    ...(control.scramble === undefined ? [] : [`scramble${control.scramble}`]),
    ...TREATMENT_AXES.flatMap((axis) =>
      treatment[axis] === undefined ? [] : [`${parameterLabel(axis)}-${treatmentText(axis, treatment[axis])}`],
    ),
    ...(policies === null ? [] : [policies]),
  ];
  return parts.map((part) => part.replace(STRANGE, '_')).join('-');
}

/** The method, then its parameters, defaults filled in: what a default is may be known to nobody who reads. */
function scheduleParts(schedule: WeightRequest): string[] {
  const filled = withDefaults(schedule);
  return [
    schedule.method ?? 'sma',
    ...PARAMETER_AXES.flatMap((name) => {
      const value = filled[name];
      return value === undefined ? [] : [parameterPart(name, value as ParameterValue)];
    }),
  ];
}

/** A schedule with the defaults of its parameters, but for those of 0, which do nothing. */
function withDefaults(schedule: WeightRequest): WeightRequest {
  const own = methodByName(schedule.method ?? 'sma')?.parameters ?? [];
  const filled: Record<string, unknown> = { ...schedule };
  for (const name of own) {
    const { default: value }: Parameter = PARAMETERS[name];
    const replaced = EXCLUSIVE_PARAMETERS.some(
      ([a, b]) => (a === name && schedule[b] !== undefined) || (b === name && schedule[a] !== undefined),
    );
    if (filled[name] === undefined && value !== undefined && !replaced) filled[name] = value;
    if (filled[name] === 0) delete filled[name];
  }
  return filled;
}

function parameterPart(name: ParameterName, value: ParameterValue): string {
  const { kind } = PARAMETERS[name];
  if (kind === 'choice') return String(value);
  if (kind === 'quantity') return `${parameterLabel(name)}${formatQuantity(parseQuantity(value as QuantityText, name))}`;
  if (kind === 'file') return basename(String(value), extname(String(value)));
  return `${parameterLabel(name)}${value}`;
}

/** Of a file its name, as of the files of schedules. */
function treatmentText(axis: TreatmentAxis, value: unknown): string {
  return axis === 'weightsFile' ? basename(String(value), extname(String(value))) : String(value);
}

/** The axes of an output as documents name them, by the names of recipes. */
export function armAxes({ end, window, schedule, stride, top, control, treatment, policies }: NamedArm): Record<string, ParameterValue> {
  const { method = 'sma', ...parameters } = schedule;
  return {
    endpoint: end.step,
    ...(end.tokens !== null && { tokens: end.tokens }),
    window: formatQuantity(parseQuantity(window, 'windows')),
    method,
    ...Object.fromEntries(Object.entries(parameters).map(([name, value]) => [parameterLabel(name), value as ParameterValue])),
    stride,
    ...(top !== null && { members: `top:${top}` }),
    ...(control.reverse && { reverse: true }),
    ...(control.scramble !== undefined && { scramble: control.scramble }),
    ...Object.fromEntries(
      TREATMENT_AXES.flatMap((axis) =>
        treatment[axis] === undefined ? [] : [[parameterLabel(axis), treatmentText(axis, treatment[axis])]],
      ),
    ),
    ...(policies !== null && { policies }),
  };
}
