/** How two models differ in score, in the direction of the goal: positive is better. */
export interface Difference {
  readonly gain: number;
  /** Standard error; null where nothing is known of it. */
  readonly error: number | null;
  /** Judged item by item, on the same items. */
  readonly paired: boolean;
}

/** What can be said of the best recipe, `conclusion` of the JSON. */
export interface Conclusion {
  readonly gainClaimed: boolean;
  /** In sentences: what was found, how sure it is, and what cannot be judged. */
  readonly text: string;
  /** Probability that the best recipe beats the better of newest and uniform (and best single, where singles were scored), in [0, 1]; null where it cannot be told. */
  readonly probability: number | null;
  /** The headline: of the validation where there is one, else of posterior means; positive is better, never of best observed scores. Null where there is none. */
  readonly gain: number | null;
  /** 95 % interval of `gain`. */
  readonly interval: readonly [number, number] | null;
  /** What `gain` rests on. */
  readonly basis: 'validation' | 'posterior' | null;
  /** Against which baseline: the better one. */
  readonly against: 'newest' | 'uniform' | 'single' | null;
  /** Smallest difference that could be judged on this set, where scores are unpaired and their standard error is known. */
  readonly resolution: number | null;
}

/** A second set, which the search never saw. */
export interface Validation {
  readonly command: string;
  readonly rows: readonly ValidationRow[];
  /** Best against the better baseline, on the validation set and on the search set: overfitting shows as a gain that is gone. */
  readonly onValidation: Difference;
  readonly onSearch: Difference;
}

export interface ValidationRow {
  readonly trial: number;
  readonly score: number | null;
  readonly stderr: number | null;
}
