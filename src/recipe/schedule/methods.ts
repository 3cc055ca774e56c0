import { weighByEma } from './ema.ts';
import { weighByEmaNormalized } from './ema-normalized.ts';
import { weighByExtrapolation } from './extrapolate.ts';
import { weighByRateCurve } from './lr-curve.ts';
import { PARAMETERS, type ParameterName } from './parameters.ts';
import { sma } from './sma.ts';
import type { ScheduleContext, ScheduleMember, ScheduleName, Weighing, WeightRequest } from './types.ts';
import { weighByWma } from './wma.ts';
import { weighByWsm } from './wsm.ts';

/** What the weights of a method, or its result, come from beside the members' number. */
export interface Needs {
  /**
   * What it knows of a member's place, oldest first, so that siblings have no weights by it: its number; its
   * tokens or (where not all have tokens) its step; either, by its parameters; its step.
   */
  readonly positions?: 'index' | 'axis' | 'index or axis' | 'steps';
  /** Inner products of the members, or of their distances from the base, tensor by tensor. */
  readonly products?: true;
  /** Which elements of a tensor are the largest or have which sign, in all members: two reads of it. */
  readonly selection?: true;
}

export interface Method {
  readonly name: ScheduleName;
  /** One line for help and reports. */
  readonly summary: string;
  readonly source: string;
  /** A checkpoint from which all members' distances are taken. */
  readonly base: 'none' | 'optional' | 'required';
  readonly needs: Needs;
  /** Its own, beside those that all schedules take. */
  readonly parameters: readonly ParameterName[];
  /** The weights of members (oldest first, at least one) for a request whose parameters have been checked. */
  weigh(members: readonly ScheduleMember[], request: WeightRequest, context: ScheduleContext): Weighing | Promise<Weighing>;
}

/**
 * The named methods, in the order help lists them: schedules so far, weights by number or place. To
 * add one: a file with a pure function, and a row here.
 */
export const METHODS: readonly Method[] = [
  {
    name: 'sma',
    summary: 'simple mean, every member 1/N',
    source: 'PMA eq. 3',
    base: 'none',
    needs: {},
    parameters: [],
    weigh: (members) => ({ weights: sma(members.length) }),
  },
  {
    name: 'wma',
    summary: 'linear ramp, newest weighs most',
    source: 'PMA eq. 5',
    base: 'none',
    needs: { positions: 'index' },
    parameters: [],
    weigh: weighByWma,
  },
  {
    name: 'ema',
    summary: 'exponential: alpha to the new, the rest to the average so far',
    source: 'PMA eq. 4',
    base: 'none',
    needs: { positions: 'index or axis' },
    parameters: ['alpha', 'halfLife', 'halfLifeFraction', 'origin'],
    weigh: weighByEma,
  },
  {
    name: 'ema-normalized',
    summary: 'exponential: each member (1 - alpha) times the next newer',
    source: 'PMA section 4.2, divided by its sum',
    base: 'none',
    needs: { positions: 'index' },
    parameters: ['alpha'],
    weigh: weighByEmaNormalized,
  },
  {
    name: 'wsm',
    summary: 'stands for a decay of the learning rate',
    source: 'WSM theorem 3.1',
    base: 'none',
    needs: { positions: 'axis' },
    parameters: ['decay', 'decayFloor', 'decayFile', 'decayEnd'],
    weigh: weighByWsm,
  },
  {
    name: 'lr-curve',
    summary: 'stands for a learning-rate curve that you give',
    source: 'WSM theorem 3.1, factors ours',
    base: 'none',
    needs: { positions: 'steps' },
    parameters: ['lrCurve'],
    weigh: weighByRateCurve,
  },
  {
    name: 'extrapolate',
    summary: 'beyond the newest mean, away from an older one',
    source: 'idea of Extra-Merge, form ours',
    base: 'none',
    needs: { positions: 'index' },
    parameters: ['gamma', 'window', 'lag'],
    weigh: weighByExtrapolation,
  },
];

/** α of `ema` when none is given: the larger of the two values that the paper tried. */
export const DEFAULT_ALPHA = PARAMETERS.alpha.default;

/** Names of the methods that a parameter belongs to; none for those that all of them take. */
export function takersOf(parameter: string): readonly ScheduleName[] {
  return METHODS.filter(({ parameters }) => parameters.some((own) => own === parameter)).map(({ name }) => name);
}

export function methodByName(name: string): Method | undefined {
  return METHODS.find((method) => method.name === name);
}
