import type { Warning } from '../../base/errors.ts';
import type { QuantityText } from '../../checkpoints/run/types.ts';
import type { LogEntry, Moment } from '../../checkpoints/types.ts';
import type { Phase } from '../select/types.ts';

export type ScheduleName = 'sma' | 'wma' | 'ema' | 'ema-normalized' | 'wsm' | 'lr-curve' | 'extrapolate';

/** Shapes of a decay that `wsm` knows; `minus-sqrt` is Megatron-LM's name of `1-sqrt`. */
export type DecayName = 'linear' | 'cosine' | '1-sqrt' | 'minus-sqrt';

/** What a schedule may know of a member. */
export type ScheduleMember = Moment;

/** What surrounds the members: for schedules that compare with the run's own learning rate. */
export interface ScheduleContext {
  readonly log?: readonly LogEntry[] | undefined;
  readonly phase?: Phase | undefined;
  /** Members are siblings: schedules that depend on their order are refused. */
  readonly siblings?: boolean | undefined;
}

/**
 * A named schedule with its parameters, or explicit weights; neither means `sma`. Same names in the library,
 * in recipes and (with dashes) on the command line.
 */
export interface WeightRequest {
  readonly method?: ScheduleName | undefined;
  /** ema, ema-normalized: weight of the newest member in a step, in (0, 1]. */
  readonly alpha?: number | undefined;
  /**
   * ema: distance over which an old member loses half its weight, as `2B`, `500steps`, `3ckpt`; instead of
   * alpha.
   */
  readonly halfLife?: QuantityText | undefined;
  /**
   * ema: the half-life as a share of the training so far, which grows with it; instead of alpha or a half-life.
   */
  readonly halfLifeFraction?: number | undefined;
  /** ema with halfLifeFraction: step or token count at which the training began; default 0. */
  readonly origin?: QuantityText | undefined;
  /** wsm: shape of the decay that the merge stands for. */
  readonly decay?: DecayName | undefined;
  /** wsm: factor that the decay ends at, in [0, 1); default 0. */
  readonly decayFloor?: number | undefined;
  /** wsm: file with one decay factor a member after the oldest, falling, in [0, 1]; instead of `decay`. */
  readonly decayFile?: string | undefined;
  /** wsm: where the decay would reach its floor; default one mean spacing after the newest member. */
  readonly decayEnd?: QuantityText | undefined;
  /** lr-curve: CSV with the columns step,lr of the target rate. */
  readonly lrCurve?: string | undefined;
  /**
   * extrapolate: how far beyond the newest mean, how many members a mean has, how many members lie between
   * the two means.
   */
  readonly gamma?: number | undefined;
  readonly window?: number | undefined;
  readonly lag?: number | undefined;
  /** Explicit weights, one a member, in member order. */
  readonly weights?: readonly number[] | undefined;
  /** Divide explicit weights by their sum. */
  readonly normalize?: boolean | undefined;
  /** Control experiments: the schedule's weights in reverse, or in an order that the seed decides. */
  readonly reverse?: boolean | undefined;
  readonly scramble?: number | undefined;
}

export type ParameterValue = number | string | boolean;

export interface ResolvedWeights {
  /** `convert`: nothing is weighed, the one member is as it is. */
  readonly method: ScheduleName | 'weights' | 'convert';
  /** As given or defaulted, by their names in recipes (`half-life`); only those that decided the weights. */
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  readonly normalized: boolean;
  /** One a member. */
  readonly weights: Float64Array;
  readonly sum: number;
  /** Findings for the plan, a line each. */
  readonly notes: readonly string[];
  readonly warnings: readonly Warning[];
}

/** What one schedule makes of a request; {@link ResolvedWeights} without what is the same for all. */
export interface Weighing {
  readonly weights: Float64Array;
  readonly parameters?: Partial<Record<keyof WeightRequest, ParameterValue>>;
  readonly notes?: readonly string[];
  readonly warnings?: readonly Warning[];
}
