import type { Warning } from '../../../base/errors.ts';
import type { Goal } from '../../../checkpoints/results/types.ts';
import type { Difference } from '../../../search/conclusion/types.ts';
import type { Recovery } from '../../../search/forecast/calibrate.ts';
import type { ForecastPoint } from '../../../search/forecast/types.ts';
import type { RecipesOfGrid } from '../../../search/grid/conclude.ts';
import type { Trial } from '../../../search/study/types.ts';

/** What is known of one model of a watch; score and error are null where it has none. */
export interface ScoredModel {
  /** As a grid names it: `step6000`, `step6000-w5-sma`. */
  readonly name: string;
  /** Number of the trial. */
  readonly trial: number;
  readonly score: number | null;
  readonly stderr: number | null;
  /** Why there is no score. */
  readonly reason: string | null;
}

/** The merge of a window. */
export interface ScoredMerge extends ScoredModel {
  /** Its name without the endpoint: `w5-sma`. */
  readonly recipe: string;
  /** Members asked for; null for an accumulator. */
  readonly window: string | null;
  readonly members: number;
  /** Better than the checkpoint alone that it ends at; positive is better. */
  readonly over: Difference | null;
  /** What a decay from here would score, where real ones are given and say it. */
  readonly decayed: ForecastPoint['decayed'];
}

/** A checkpoint that became complete, with what was merged up to it. */
export interface WatchedEndpoint {
  readonly step: number;
  readonly tokens: number | null;
  /** What the training logged there, by name. */
  readonly logged: Readonly<Record<string, number>>;
  readonly single: ScoredModel | null;
  readonly merges: readonly ScoredMerge[];
}

/** What real decays say of the merges of one window. */
export interface WindowCalibration {
  readonly recipe: string;
  readonly recovered: Omit<Recovery, 'warnings'> | null;
  /** Why they say nothing yet. */
  readonly problem: string | null;
}

/** What the scores of a watch come to. */
export interface WatchScores {
  readonly schema: 'ckpt-merge/watch-scores';
  readonly version: 1;
  readonly run: string;
  readonly evaluator: string;
  readonly metric: string | null;
  readonly goal: Goal;
  /** Oldest first; of a place that the run came to twice, what it was the last time. */
  readonly endpoints: readonly WatchedEndpoint[];
  readonly calibration: readonly WindowCalibration[];
  /** Whether merging is better than the checkpoint alone, wherever along the run; null as long as the watch goes on. */
  readonly conclusion: RecipesOfGrid | null;
  readonly trials: readonly Trial[];
  readonly seconds: { readonly merging: number; readonly evaluating: number };
  readonly cost: number | null;
  readonly warnings: readonly Warning[];
}
