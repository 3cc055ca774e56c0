import type { Warning } from '../../base/errors.ts';
import type { ItemScores } from '../../checkpoints/results/types.ts';
import type { Point } from '../gaussian-process/cube.ts';
import type { Candidate, Params } from '../space/types.ts';

export type Ending = 'trials' | 'budget' | 'patience' | 'alike' | 'exhausted' | 'driver' | 'interrupted';

/**
 * Why a recipe was tried. `newest`, `uniform` (mean of the pool), `sma` (mean of the last 10 of the run) and
 * `single` (a checkpoint alone) are baselines; `trial` is a proposal of a sampler or driver; `soup` and
 * `window` are of `merge soup` and `merge forecast`; `mean` (of a window) and `output` of `merge grid`.
 */
export type TrialKind = 'newest' | 'uniform' | 'sma' | 'single' | 'trial' | 'soup' | 'window' | 'mean' | 'output';

export interface TrialWeight {
  readonly path: string;
  readonly step: number | null;
  readonly weight: number;
}

/** A line of `trials.jsonl`, less {@link ItemScores} and what the first line says of the search. */
export interface Trial {
  readonly id: number;
  readonly kind: TrialKind;
  /** By the names of the space's parameters; null for a recipe outside the space. */
  readonly params: Params | null;
  /** Members that take part, oldest first. */
  readonly weights: readonly TrialWeight[];
  /** Roles with weights of their own, over the same members. */
  readonly parts: readonly { readonly role: string; readonly weights: readonly number[] }[];
  /** What identifies the recipe: a digest of members by fingerprint, weights, policies and dtype. */
  readonly recipe: string;
  readonly status: 'complete' | 'failed' | 'skipped';
  /** As the evaluator gave it; null where there is none. */
  readonly score: number | null;
  readonly stderr: number | null;
  /** Every metric that the evaluator reported. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Where the score was read, as `lm-eval results_….json`. */
  readonly source: string | null;
  /** Why it failed or was skipped. */
  readonly reason: string | null;
  /** What chose it: see `Proposal.by`; null for baselines. */
  readonly by: string | null;
  readonly proposals: Readonly<Record<string, Point>> | null;
  /** The first trial of the same recipe, where this one scored it again. */
  readonly repeatOf: number | null;
  /** Seconds of the evaluation; of the merge (its share of a batch), 0 where nothing was merged. */
  readonly seconds: number;
  readonly mergeSeconds: number;
  readonly cost: number | null;
  /** ISO time at which it ended. */
  readonly time: string;
}

/** A trial with the scores of its items. */
export interface ScoredTrial extends Trial {
  readonly items: readonly ItemScores[] | null;
}

/** A recipe to be scored. */
export interface TrialRequest {
  readonly kind: TrialKind;
  readonly params: Params | null;
  readonly candidate: Candidate;
  readonly by?: string;
  readonly proposals?: Readonly<Record<string, Point>>;
}

/** How far a study is. */
export interface StudyProgress {
  /** The evaluation that begins, counted from 1, of how many. */
  readonly step: number;
  readonly of: number;
  /** The best score so far; null where there is none. */
  readonly best: { readonly trial: number; readonly score: number } | null;
  /** Until the last one ends, if they take as long as so far; null before the first has ended. */
  readonly secondsLeft: number | null;
}

/** What happens in a study, for progress. */
export type StudyEvent =
  | { readonly type: 'merging'; readonly trials: readonly number[]; readonly members: number }
  | {
      readonly type: 'evaluating';
      readonly trial: number;
      readonly kind: TrialKind;
      readonly params: Params | null;
      readonly validation?: true;
      /** How far the study is; absent where it is not known how many there will be. */
      readonly progress?: StudyProgress;
    }
  | { readonly type: 'retry'; readonly trial: number; readonly attempt: number; readonly pauseSeconds: number }
  | { readonly type: 'trial'; readonly trial: Trial; readonly validation?: true }
  | { readonly type: 'note'; readonly text: string }
  | { readonly type: 'warning'; readonly warning: Warning };
