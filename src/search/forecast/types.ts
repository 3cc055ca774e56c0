import type { Warning } from '../../base/errors.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import type { Moment } from '../../checkpoints/types.ts';
import type { MemberReport } from '../../recipe/select/types.ts';
import type { Difference } from '../conclusion/types.ts';
import type { Trial } from '../study/types.ts';

/** The merged score of a window of a run beside that of its newest checkpoint, whose moment it is. */
export interface ForecastPoint extends Moment {
  /** Score of that checkpoint alone. */
  readonly single: number | null;
  readonly singleStderr: number | null;
  /**
   * Score of the merge of the window that ends there: an estimate of the merged score, below that of a real
   * decay.
   */
  readonly merged: number | null;
  readonly mergedStderr: number | null;
  /**
   * The merged score less the single one, item by item where items were scored; null where one of them is
   * missing.
   */
  readonly difference: Difference | null;
  /** What a decay from here would score, by the fitted fraction; only with `--calibrate`. */
  readonly decayed: { readonly score: number; readonly low: number; readonly high: number } | null;
}

/** A real annealing branch: the step at which it left the run, and the score that it ended with. */
export interface Branch {
  readonly step: number;
  readonly score: number;
  /** (merged - single) / (decayed - single) at its step. */
  readonly recovered: number;
}

export interface ForecastDocument extends MemberReport {
  readonly schema: 'ckpt-merge/forecast';
  readonly version: 1;
  readonly inputs: readonly string[];
  readonly evaluator: string;
  readonly metric: string | null;
  readonly goal: Goal;
  /** Checkpoints a window, and how they are weighed. */
  readonly window: number;
  readonly method: string;
  readonly points: readonly ForecastPoint[];
  readonly branches: readonly Branch[];
  /**
   * Mean of the recovered fractions and their spread (standard deviation; null for one branch); null without
   * branches.
   */
  readonly recovered: { readonly mean: number; readonly spread: number | null } | null;
  readonly trials: readonly Trial[];
  readonly reads: number;
  readonly seconds: { readonly merging: number; readonly evaluating: number };
  readonly cost: number | null;
  readonly warnings: readonly Warning[];
}
