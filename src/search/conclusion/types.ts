import type { NoDifferences } from './alike.ts';
import type { Drift } from './drift.ts';

/** How two models differ in score, in the direction of the goal: positive is better. */
export interface Difference {
  readonly gain: number;
  /** Standard error; null where nothing is known of it. */
  readonly error: number | null;
  /** Judged item by item, on the same items. */
  readonly paired: boolean;
}

/** A mean outside what was searched that scored better than the best recipe, and by how much. */
export interface BetterReference extends Difference {
  readonly trial: number;
  readonly score: number;
  /** Whether the noise of scores does not explain it. */
  readonly beyondNoise: boolean;
  /** The line that makes it. */
  readonly command?: string;
}

/** What can be said of the best recipe, `conclusion` of the JSON. */
export interface Conclusion {
  readonly gainClaimed: boolean;
  /** In sentences: what was found, how sure it is, and what cannot be judged. */
  readonly text: string;
  /**
   * Probability that the best recipe beats the better of newest and uniform (and best single, where singles
   * were scored), in [0, 1]; null where it cannot be told.
   */
  readonly probability: number | null;
  /**
   * The headline: of the validation where there is one, else of posterior means; positive is better, never of
   * best observed scores. Null where there is none.
   */
  readonly gain: number | null;
  /** 95 % interval of `gain`. */
  readonly interval: readonly [number, number] | null;
  /** What `gain` rests on. */
  readonly basis: 'validation' | 'posterior' | null;
  /** Against which baseline: the better one. */
  readonly against: 'newest' | 'uniform' | 'single' | null;
  /**
   * Smallest difference that could be judged on this set, where scores are unpaired and their standard error
   * is known.
   */
  readonly resolution: number | null;
  /**
   * First trials of recipes that scored so far below the others that a model, where there is one, takes them
   * for better than they are; absent where there are none.
   */
  readonly bounded?: readonly number[];
  /**
   * First trials of recipes that scored so far above all others that it may be a fault of the evaluator; a
   * model, where there is one, takes those for less good than they are that are no baseline. Absent where
   * there are none.
   */
  readonly tooGood?: readonly number[];
  /**
   * First trial of the recipe that the model takes for the best, and that is not, since a baseline scored
   * better beyond the noise; absent where there is none.
   */
  readonly overruled?: number;
  /**
   * Nothing of the space is known to be better than anything else: after how many recipes, and which gain is
   * still possible; absent where there are differences, or too little was tried.
   */
  readonly noDifferences?: NoDifferences;
  /**
   * The mean of the last of the run is no part of what was searched, and scored better than the best recipe;
   * absent where it did not. Beyond the noise it comes first in the text.
   */
  readonly reference?: BetterReference;
  /** The evaluator drifts; absent where it does not, or no anchor says so (`--anchor-every`). */
  readonly drift?: Drift;
}

/** A second set, which the search never saw. */
export interface Validation {
  readonly command: string;
  readonly rows: readonly ValidationRow[];
  /**
   * Best against the better baseline, on the validation set and on the search set: overfitting shows as a
   * gain that is gone.
   */
  readonly onValidation: Difference;
  readonly onSearch: Difference;
}

export interface ValidationRow {
  readonly trial: number;
  readonly score: number | null;
  readonly stderr: number | null;
}

/** A recipe that the search is measured against. */
export interface Baseline {
  readonly name: 'newest' | 'uniform' | 'sma' | 'best single';
  /** For people: `newest (step 6000)`, `mean of all 6`, `SMA over the last 10`. */
  readonly label: string;
  readonly trial: number;
  readonly score: number | null;
  readonly stderr: number | null;
  /**
   * The best recipe against this one as they scored, paired where both have items; null where either has no
   * score, or where this is the best.
   */
  readonly difference: Difference | null;
}

/** The model of the score, for drawing; scores in their own units and direction. */
export type PosteriorDrawing =
  /** x is the parameter's own value; low and high are a 95 % band of the score without noise. */
  | {
      readonly kind: 'curve';
      readonly parameter: string;
      readonly points: readonly { readonly x: number; readonly mean: number; readonly low: number; readonly high: number }[];
    }
  /**
   * mean[row][column]: of yValues[row], xValues[column]; other parameters, if any, stand at the best trial.
   */
  | {
      readonly kind: 'map';
      readonly x: string;
      readonly y: string;
      readonly xValues: readonly (number | string)[];
      readonly yValues: readonly (number | string)[];
      readonly mean: readonly (readonly number[])[];
      readonly std: readonly (readonly number[])[];
    };

/**
 * Standard deviation of a score from one evaluation of the same recipe to the next: measured on repeats, or
 * learned by the model.
 */
export interface NoiseStd {
  readonly value: number;
  readonly from: 'repeats' | 'model';
}

/** A parameter whose best value lies on a bound, with what to do. */
export interface OnBound {
  readonly parameter: string;
  readonly side: 'low' | 'high';
  readonly text: string;
}
