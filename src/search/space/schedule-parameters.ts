import { parseQuantity } from '../../checkpoints/run/quantity.ts';
import { METHODS } from '../../recipe/schedule/methods.ts';
import { inRange, PARAMETERS, type Parameter, rangeText } from '../../recipe/schedule/parameters.ts';
import type { ScheduleName } from '../../recipe/schedule/types.ts';
import type { Params, ParamValue } from './types.ts';

/** Schedules that are made of numbers and words alone; `lr-curve` reads a file. */
const SEARCHED: readonly ScheduleName[] = METHODS.map(({ name }) => name).filter((name) => name !== 'lr-curve');

/** A parameter of a schedule space, searched or fixed. */
export interface ScheduleParameter extends Pick<Parameter, 'range' | 'choices' | 'default' | 'help'> {
  /** `point`: a place in the training, in tokens or steps; it is given, and not searched. */
  readonly kind: 'number' | 'integer' | 'choice' | 'point';
  /** Schedules for which it has a meaning. */
  readonly methods: readonly ScheduleName[];
}

/**
 * The parameters of a schedule space. `window`, `spacing` and `skip` choose the members as --last and --every
 * of `merge average` do; the others are those of the schedules, by the same names, but that a half-life is a
 * real number of members here.
 */
export const SCHEDULE_PARAMETERS = {
  window: {
    kind: 'integer',
    range: { atLeast: 1 },
    help: 'how many members are averaged, from the newest back; with extrapolate, in each of its two means (default: all)',
    methods: SEARCHED,
  },
  spacing: {
    kind: 'integer',
    range: { atLeast: 1 },
    default: 1,
    help: 'every so manieth checkpoint is a member, counted back from the newest',
    methods: SEARCHED,
  },
  skip: { kind: 'integer', range: { atLeast: 0 }, default: 0, help: 'how many of the newest checkpoints are left out', methods: SEARCHED },
  method: { kind: 'choice', choices: SEARCHED, default: 'sma', help: 'schedule of the weights', methods: SEARCHED },
  alpha: { ...PARAMETERS.alpha, methods: ['ema', 'ema-normalized'] },
  'half-life': {
    kind: 'number',
    range: { above: 0 },
    help: 'members over which an old one loses half its weight; instead of alpha',
    methods: ['ema'],
  },
  'half-life-fraction': { ...PARAMETERS.halfLifeFraction, methods: ['ema'] },
  origin: { ...PARAMETERS.origin, methods: ['ema'] },
  decay: { ...PARAMETERS.decay, choices: PARAMETERS.decay.choices.filter((shape) => shape !== 'minus-sqrt'), methods: ['wsm'] },
  'decay-floor': { ...PARAMETERS.decayFloor, methods: ['wsm'] },
  gamma: { ...PARAMETERS.gamma, methods: ['extrapolate'] },
  lag: { ...PARAMETERS.lag, methods: ['extrapolate'] },
} as const satisfies Readonly<Record<string, ScheduleParameter>>;

export type ScheduleParameterName = keyof typeof SCHEDULE_PARAMETERS;

export const SCHEDULE_PARAMETER_NAMES = Object.keys(SCHEDULE_PARAMETERS) as ScheduleParameterName[];

/** One value of each parameter that is given. */
export type Settings = Readonly<Partial<Record<ScheduleParameterName, ParamValue>>>;

/** A range, evenly over the logarithm with `log`; or values, of which numbers are levels in rising order. */
export type SearchedRange = { readonly from: number; readonly to: number; readonly log?: boolean | undefined } | readonly ParamValue[];

/** What is searched of a schedule, and what is fixed. */
export interface ScheduleRequest {
  readonly parameters?: Readonly<Partial<Record<ScheduleParameterName, SearchedRange>>> | undefined;
  readonly fixed?: Settings | undefined;
  /**
   * Roles with weights of their own; what a role does not give, it has in common with the rest. A single
   * value is fixed.
   */
  readonly roles?: Readonly<Record<string, Readonly<Partial<Record<ScheduleParameterName, SearchedRange | ParamValue>>>>> | undefined;
}

export function isScheduleParameter(name: string): name is ScheduleParameterName {
  return (SCHEDULE_PARAMETER_NAMES as readonly string[]).includes(name);
}

/** Ways to say what share a new member has of an exponential average: one is given. */
export const SHARES = ['alpha', 'half-life', 'half-life-fraction'] as const satisfies readonly ScheduleParameterName[];

/** Which members there are, also where there is one. */
const CHOOSE: readonly ScheduleParameterName[] = ['window', 'skip'];

/**
 * Whether a parameter of a recipe decides anything: alpha is of EMA, and stands anywhere where another method
 * is chosen; of a window of one checkpoint no method decides anything.
 */
export function hasEffect(name: string, params: Params): boolean {
  const [prefix, own] = [name.slice(0, name.lastIndexOf('.') + 1), name.slice(name.lastIndexOf('.') + 1)];
  const method = params[`${prefix}method`] ?? params.method;
  if (isScheduleParameter(own) && !CHOOSE.includes(own) && method !== 'extrapolate' && (params[`${prefix}window`] ?? params.window) === 1)
    return false;
  return method === undefined || !isScheduleParameter(own) || parameterOf(own).methods.some((other) => other === method);
}

export function parameterOf(name: ScheduleParameterName): ScheduleParameter {
  return SCHEDULE_PARAMETERS[name];
}

/** What a value of a parameter must be, in words; null where this one is. */
export function wantedValue(name: ScheduleParameterName, value: unknown): string | null {
  const { kind, range = {}, choices = [] } = parameterOf(name);
  if (kind === 'point') return isPoint(value) ? null : 'a step or a token count, as 2000 or 5B';
  if (kind === 'choice') return choices.includes(value as string) ? null : `one of ${choices.join(', ')}`;
  const right = kind === 'integer' ? Number.isSafeInteger(value) : Number.isFinite(value);
  if (right && inRange(value as number, range)) return null;
  return `${kind === 'integer' ? 'a whole number' : 'a number'} ${rangeText(range)}`.trimEnd();
}

function isPoint(value: unknown): boolean {
  if (typeof value !== 'string' && typeof value !== 'number') return false;
  try {
    return parseQuantity(value, 'origin').unit !== 'checkpoints';
  } catch {
    return false;
  }
}

/**
 * The values of one set of weights over those that it shares with the rest. What stands for {@link SHARES}
 * takes the place of the other ways to say it.
 */
export function inherit<T>(
  shared: Readonly<Partial<Record<ScheduleParameterName, T>>>,
  own: Readonly<Partial<Record<ScheduleParameterName, T>>>,
): Readonly<Partial<Record<ScheduleParameterName, T>>> {
  const left = { ...shared };
  if (SHARES.some((name) => own[name] !== undefined)) for (const name of SHARES) delete left[name];
  // Where the training began is of a share of it alone.
  if (own['half-life-fraction'] === undefined && left['half-life-fraction'] === undefined) delete left.origin;
  return { ...left, ...own };
}
