/**
 * Scores of single items (documents, questions, blocks of text), by which two models are compared item by
 * item.
 */
export interface ItemScores {
  /** The metric that they are of, as `hellaswag/acc_norm,none`; empty for an evaluator of one score. */
  readonly name: string;
  /** Weight of that metric in the score. */
  readonly weight: number;
  /**
   * Digest of the items' names in order, or of their number where they have none: lists with the same digest
   * are of the same items.
   */
  readonly digest: string;
  /** In the order of the items' names. Their mean is the metric. */
  readonly scores: readonly number[];
}

/** What an evaluator says of a model. */
export interface Score {
  /** Finite: a number, or the weighted sum of the metrics asked for. */
  readonly score: number;
  /**
   * Standard error of the score as the evaluator gave it: of drawing the items, common to all models scored
   * on them. Null where it is not said.
   */
  readonly stderr: number | null;
  /**
   * Null where there are none, or where their mean is not the metric. One list a metric of the score, or one
   * a task where the metric is of a group of tasks.
   */
  readonly items: readonly ItemScores[] | null;
  /** Every sound metric found, by name. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Whether larger scores are better, where the evaluator says so. */
  readonly higherIsBetter: boolean | null;
  /** Where it was read, for people: `the last line of stdout`, `lm-eval results_2026-….json`. */
  readonly source: string;
  /** `cost` in the JSON, or else `MERGE_COST`, as reported; null where neither was. */
  readonly cost: number | null;
}

/** Which scores are better. */
export type Goal = 'maximize' | 'minimize';
