import { weighByEma } from './ema.ts';
import { weighByEmaNormalized } from './ema-normalized.ts';
import { weighByExtrapolation } from './extrapolate.ts';
import { weighByRateCurve } from './lr-curve.ts';
import { PARAMETERS, type ParameterName } from './parameters.ts';
import { sma } from './sma.ts';
import type { ScheduleContext, ScheduleMember, ScheduleName, Weighing, WeightRequest } from './types.ts';
import { weighByWma } from './wma.ts';
import { weighByWsm } from './wsm.ts';

export interface Schedule {
  readonly name: ScheduleName;
  /** One line for help and reports. */
  readonly summary: string;
  readonly source: string;
  /** Whether the members' order changes the result. */
  readonly ordered: boolean;
  /**
   * What it knows of a member's place: nothing, its number, its tokens or (where not all have tokens) its
   * step, or its step.
   */
  readonly positions: 'none' | 'index' | 'index or axis' | 'axis' | 'steps';
  /** Its own, beside those that all schedules take. */
  readonly parameters: readonly ParameterName[];
  /** The weights of members (oldest first, at least one) for a request whose parameters have been checked. */
  weigh(members: readonly ScheduleMember[], request: WeightRequest, context: ScheduleContext): Weighing | Promise<Weighing>;
}

/**
 * The named schedules, in the order help lists them. To add one: a file with a pure function, and a row here.
 */
export const SCHEDULES: readonly Schedule[] = [
  {
    name: 'sma',
    summary: 'simple mean, every member 1/N',
    source: 'PMA eq. 3',
    ordered: false,
    positions: 'none',
    parameters: [],
    weigh: (members) => ({ weights: sma(members.length) }),
  },
  {
    name: 'wma',
    summary: 'linear ramp, newest weighs most',
    source: 'PMA eq. 5',
    ordered: true,
    positions: 'index',
    parameters: [],
    weigh: weighByWma,
  },
  {
    name: 'ema',
    summary: 'exponential: alpha to the new, the rest to the average so far',
    source: 'PMA eq. 4',
    ordered: true,
    positions: 'index or axis',
    parameters: ['alpha', 'halfLife'],
    weigh: weighByEma,
  },
  {
    name: 'ema-normalized',
    summary: 'exponential: each member (1 - alpha) times the next newer',
    source: 'PMA section 4.2, divided by its sum',
    ordered: true,
    positions: 'index',
    parameters: ['alpha'],
    weigh: weighByEmaNormalized,
  },
  {
    name: 'wsm',
    summary: 'stands for a decay of the learning rate',
    source: 'WSM theorem 3.1',
    ordered: true,
    positions: 'axis',
    parameters: ['decay', 'decayFloor', 'decayFile', 'decayEnd'],
    weigh: weighByWsm,
  },
  {
    name: 'lr-curve',
    summary: 'stands for a learning-rate curve that you give',
    source: 'WSM theorem 3.1, factors ours',
    ordered: true,
    positions: 'steps',
    parameters: ['lrCurve'],
    weigh: weighByRateCurve,
  },
  {
    name: 'extrapolate',
    summary: 'beyond the newest mean, away from an older one',
    source: 'idea of Extra-Merge, form ours',
    ordered: true,
    positions: 'index',
    parameters: ['gamma', 'window', 'lag'],
    weigh: weighByExtrapolation,
  },
];

/** α of `ema` when none is given: the larger of the two values that the paper tried. */
export const DEFAULT_ALPHA = PARAMETERS.alpha.default;

/** Names of the schedules that a parameter belongs to; none for those that all of them take. */
export function takersOf(parameter: string): readonly ScheduleName[] {
  return SCHEDULES.filter(({ parameters }) => parameters.some((own) => own === parameter)).map(({ name }) => name);
}

export function scheduleByName(name: string): Schedule | undefined {
  return SCHEDULES.find((s) => s.name === name);
}
