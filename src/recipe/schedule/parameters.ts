import { MOST } from '../../base/limits.ts';
import type { WeightRequest } from './types.ts';

/** Parameters of schedules; the control experiments `reverse` and `scramble` go with every one. */
export type ParameterName = Exclude<keyof WeightRequest, 'method' | 'weights' | 'normalize'>;

export interface NumberRange {
  readonly above?: number;
  readonly atLeast?: number;
  readonly below?: number;
  readonly atMost?: number;
}

/** What the command line, recipes and docs know of a parameter. */
export interface Parameter {
  /**
   * `quantity`: tokens, steps or checkpoints, as `2B`, `500steps`, `3ckpt`; `point`: a place in the training, in
   * tokens or steps; `file`: a path.
   */
  readonly kind: 'number' | 'integer' | 'quantity' | 'point' | 'choice' | 'file' | 'flag';
  readonly range?: NumberRange;
  readonly choices?: readonly string[];
  readonly default?: number | string;
  /** Its schedule cannot do without it. */
  readonly required?: true;
  /** One line for help. */
  readonly help: string;
}

export const PARAMETERS = {
  alpha: { kind: 'number', range: { above: 0, atMost: 1 }, default: 0.2, help: 'share of each newer checkpoint' },
  halfLife: {
    kind: 'quantity',
    help: 'distance over which an old checkpoint loses half its weight: 2B, 500steps, 3ckpt; instead of alpha',
  },
  halfLifeFraction: {
    kind: 'number',
    range: { above: 0, atMost: 1 },
    help: 'half-life as a share of the training so far, as 0.05: the average grows with the run; instead of alpha or a half-life',
  },
  origin: {
    kind: 'point',
    default: 0,
    help: 'step or token count at which the training began, from which the share of the half-life is taken',
  },
  decay: {
    kind: 'choice',
    choices: ['linear', 'cosine', '1-sqrt', 'minus-sqrt'],
    default: 'linear',
    help: 'shape of the learning-rate decay that the merge stands for',
  },
  decayFloor: { kind: 'number', range: { atLeast: 0, below: 1 }, default: 0, help: 'factor of the learning rate that the decay ends at' },
  decayFile: { kind: 'file', help: 'list of decay factors, one for each checkpoint but the oldest, falling from 1 to 0; instead of decay' },
  decayEnd: {
    kind: 'point',
    help: 'step or token count at which the decay reaches its floor (default: one mean spacing after the newest)',
  },
  lrCurve: { kind: 'file', required: true, help: 'CSV of step,lr: the learning rate to stand for' },
  gamma: {
    kind: 'number',
    range: { atLeast: -MOST.factor, atMost: MOST.factor },
    required: true,
    help: 'how far to go beyond the newest mean, in units of the way from the older mean to it',
  },
  window: { kind: 'integer', range: { atLeast: 1, atMost: MOST.count }, default: 1, help: 'checkpoints in each of the two means' },
  lag: { kind: 'integer', range: { atLeast: 1, atMost: MOST.count }, default: 1, help: 'checkpoints by which the older mean lies behind' },
  reverse: { kind: 'flag', help: 'control experiment: the weights in reverse order' },
  scramble: {
    kind: 'integer',
    range: { atLeast: 0, atMost: MOST.whole },
    help: 'control experiment: the weights in an order that this seed decides',
  },
} as const satisfies Readonly<Record<ParameterName, Parameter>>;

/** Parameters that every schedule takes, explicit weights as well. */
export const CONTROL_PARAMETERS = ['reverse', 'scramble'] as const satisfies readonly ParameterName[];

/** A parameter's name in recipes and, with two dashes before it, on the command line. */
export function parameterLabel(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** A range in words: `over 0 and at most 1`; empty where anything goes. */
export function rangeText({ above, atLeast, below, atMost }: NumberRange): string {
  return [
    above === undefined ? [] : `over ${above}`,
    atLeast === undefined ? [] : `at least ${atLeast}`,
    below === undefined ? [] : `below ${below}`,
    atMost === undefined ? [] : `at most ${atMost}`,
  ]
    .flat()
    .join(' and ');
}

export function inRange(value: number, { above, atLeast, below, atMost }: NumberRange): boolean {
  return (
    (above === undefined || value > above) &&
    (atLeast === undefined || value >= atLeast) &&
    (below === undefined || value < below) &&
    (atMost === undefined || value <= atMost)
  );
}
