import type { Warning } from '../../base/errors.ts';
import type { StepScores } from '../../checkpoints/results/by-step.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import type { Excluded, QuantityText, RunCheckpoint } from '../../checkpoints/run/types.ts';

/** Members by their scores, among what the other conditions leave. */
export interface ScoredSelection {
  /** `top:32`: the best so many. */
  readonly members?: string | undefined;
  /**
   * Their scores by step: a CSV or JSON file, or a folder that has results of lm-eval or lighteval for each
   * step.
   */
  readonly scores?: string | undefined;
  /** Which metrics of them, as `task/metric,filter`, with a weight behind `=`; none where there is one only. */
  readonly metrics?: string | readonly string[] | undefined;
  /** Which scores are better; as the results say when absent. */
  readonly goal?: Goal | undefined;
}

/**
 * Which checkpoints of a run take part. All conditions hold together. Same names in the library, in recipes
 * and (with dashes) on the command line.
 */
export interface Selection extends ScoredSelection {
  /** The newest so many, after everything else. */
  readonly last?: number | undefined;
  /** Spacing, counted back from the newest: the nearest checkpoint within a quarter of it. */
  readonly every?: QuantityText | undefined;
  /** First and last step or token count, both included. */
  readonly from?: QuantityText | undefined;
  readonly to?: QuantityText | undefined;
  /** Exactly these. */
  readonly steps?: readonly number[] | undefined;
  /** Only checkpoints before this step or token count. */
  readonly before?: QuantityText | undefined;
  readonly stage?: number | undefined;
  /** Least distance between neighbours, walking back from the newest. */
  readonly minInterval?: QuantityText | undefined;
  /** Fewer members than this are an error. */
  readonly minMembers?: number | undefined;
  /** One member of every ingredient (or of every run): its last. */
  readonly eachIngredient?: 'last' | undefined;
  /** Only checkpoints before a loss spike: the one found in the log, or a given step. */
  readonly beforeSpike?: 'auto' | number | undefined;
  /** How long before the spike at least; default one save interval. */
  readonly margin?: QuantityText | undefined;
}

export type PhaseKind = 'warm-up' | 'constant' | 'decaying' | 'unknown';

/** The learning rate over a window of a run. */
export interface Phase {
  readonly kind: PhaseKind;
  /** Lowest and highest logged rate of the window; null where unknown. */
  readonly lowest: number | null;
  readonly highest: number | null;
  /** The finding in words, for the plan. */
  readonly text: string;
}

/** A loss spike found in a log, or given. */
export interface Spike {
  readonly step: number;
  /** Loss at the spike, and what it was measured against; null where the step was given. */
  readonly loss: number | null;
  readonly threshold: number | null;
}

/** Scores that members are chosen by, as they were read. */
export interface MemberScores extends StepScores {
  readonly goal: Goal;
  /** What they are of, for people: the metrics asked for. */
  readonly what: string;
}

/** A checkpoint that would be a member if it could be used. */
export interface LeftOutMember {
  /** Of its folder or file; with the run's before it where there are several runs. */
  readonly name: string;
  readonly step: number;
  readonly reason: string;
  /** Whether it is newer than the newest member (of several runs or ingredients, of its own). */
  readonly newer: boolean;
}

/** How many members there are of those that were asked for. */
export interface MemberReport {
  /** `last`; without it, as many as were chosen if every checkpoint could be used. */
  readonly asked: number;
  readonly found: number;
  readonly leftOut: readonly LeftOutMember[];
}

/** What a selection chose. */
export interface Selected {
  /** In order, oldest first. At least one. */
  readonly members: readonly RunCheckpoint[];
  /** Their scores, one a member, where they were chosen by these. */
  readonly scores?: readonly number[] | undefined;
  /** Everything else of the runs, with the reason. */
  readonly excluded: readonly Excluded[];
  readonly report: MemberReport;
  /** Whether members are siblings, so that nothing may depend on their order. */
  readonly siblings: boolean;
  readonly phase: Phase;
  /** The loss spike that the members lie before; null where none was asked for. */
  readonly spike: Spike | null;
  /**
   * Findings for the plan, a line each: spacing asked for and found, uneven spacing, fewer than asked for.
   */
  readonly notes: readonly string[];
  readonly warnings: readonly Warning[];
}
