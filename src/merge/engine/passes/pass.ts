import type { NativeEngine } from '../../native/binding.ts';
import type { NativeInput } from '../../native/handles.ts';
import type { Plan } from '../../plan/types.ts';
import type { MergeEvent } from '../events.ts';
import type { FailedBatch } from '../failure.ts';
import type { NonfiniteTally } from '../nonfinite.ts';
import type { ShardOutputs } from '../output-files.ts';
import type { RoundingTally } from '../rounding.ts';
import type { CallTotals } from '../totals.ts';
import type { Unit } from '../units.ts';
import type { Calls } from './calls.ts';

/** One native call of a unit: `files` are indices into `Plan.files`. */
export interface UnitBatch extends FailedBatch {
  readonly bytesRead: number;
}

/** A unit in work, as its passes see it. */
export interface UnitWork {
  readonly plan: Plan;
  readonly unit: Unit;
  readonly engine: NativeEngine;
  /** Files of the unit's shard; told of each range that is written. */
  readonly outputs: ShardOutputs;
  /** What calls found, of the unit. */
  readonly nonfinite: NonfiniteTally;
  readonly rounding: RoundingTally;
  /** The flag that every call is given. */
  readonly cancel: Int32Array;
  /** Open inputs of a batch, as its call counts them. */
  inputs(batch: UnitBatch): NativeInput[];
  /** Makes calls; their bytes and seconds are added up, and failures named. */
  run<B extends UnitBatch, R extends CallTotals>(calls: Omit<Calls<B, R>, 'failure'>): AsyncGenerator<MergeEvent>;
}

/**
 * A way in which the bytes of a unit come about: work of one kind of the plan, made by one operation of the
 * engine. It may take several phases, one `run` after the other: what one finds, the next one uses. Passes
 * write ranges of the outputs that do not overlap, all of them before the unit is journaled.
 */
export interface Pass {
  /** Whether the unit has work for it. */
  concerns(plan: Plan, unit: Unit): boolean;
  /** Indices into `Plan.files` that it reads for a shard. */
  reads(plan: Plan, shard: number): Set<number>;
  carryOut(work: UnitWork): AsyncGenerator<MergeEvent>;
}
