import { ema } from './ema.ts';
import { sma } from './sma.ts';
import { wma } from './wma.ts';

export interface ScheduleParameters {
  /** Weight of the newest member in an EMA step, in (0, 1]. */
  readonly alpha?: number;
}

export interface Schedule {
  readonly name: string;
  /** One line for help and reports. */
  readonly summary: string;
  readonly source: string;
  /** Whether the members' order changes the result. */
  readonly ordered: boolean;
  /** Names of the parameters it needs. */
  readonly parameters: readonly (keyof ScheduleParameters)[];
  weights(count: number, parameters: Required<ScheduleParameters>): Float64Array;
}

/** The named schedules, in the order help lists them. To add one: a file with a pure function, and a row here. */
export const SCHEDULES = [
  { name: 'sma', summary: 'simple mean, every member 1/N', source: 'PMA eq. 3', ordered: false, parameters: [], weights: (n) => sma(n) },
  { name: 'wma', summary: 'linear ramp, newest weighs most', source: 'PMA eq. 5', ordered: true, parameters: [], weights: (n) => wma(n) },
  {
    name: 'ema',
    summary: 'exponential: alpha to the new, the rest to the average so far',
    source: 'PMA eq. 4',
    ordered: true,
    parameters: ['alpha'],
    weights: (n, { alpha }) => ema(n, alpha),
  },
] as const satisfies readonly Schedule[];

export type ScheduleName = (typeof SCHEDULES)[number]['name'];

/** α of `ema` when none is given: the larger of the two values that the paper tried. */
export const DEFAULT_ALPHA = 0.2;

export function scheduleByName(name: string): Schedule | undefined {
  return SCHEDULES.find((s) => s.name === name);
}
