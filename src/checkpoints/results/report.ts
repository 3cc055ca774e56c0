import { MergeError } from '../../base/errors.ts';
import { keysTwice } from '../../base/json/keys-twice.ts';
import type { ItemList } from './items.ts';

/** A number that an evaluator gave a name. */
export interface Metric {
  /**
   * `hellaswag/acc_norm,none` of lm-eval, `gsm8k|5/em` of lighteval, as written by others; empty for an
   * evaluator of one score.
   */
  readonly name: string;
  /** NaN or infinite where the evaluator says so: such a metric is found, and is no score. */
  readonly value: number;
  readonly stderr: number | null;
  readonly higherIsBetter: boolean | null;
  /** Not one of those between which a user has to choose, as an average over all tasks beside them. */
  readonly aside?: boolean;
  /**
   * Scores of its single items, read when the metric is asked for; null where there are none. Whether they
   * add up to the value is for the caller to see.
   */
  readonly items?: () => Promise<readonly ItemList[] | null>;
}

/** What one source of results holds. */
export interface Report {
  /** For people: `lm-eval results_2026-….json`. */
  readonly source: string;
  /** What the evaluator calls its score, where it names one. */
  readonly score: Metric | null;
  readonly metrics: readonly Metric[];
  readonly cost: number | null;
}

/**
 * No score and no standard error is larger, whatever its sign: beyond, their squares soon overflow, and such
 * a number is what exploded. Ours.
 */
export const MOST_SCORE = 1e100;

/** Keys that a message names. */
const TWICE_SHOWN = 3;

/** An amount, as a cost: at least 0 and of a size to reckon with; null for anything else. */
export function amountOf(value: unknown): number | null {
  return typeof value === 'number' && value >= 0 && value <= MOST_SCORE ? value : null;
}

/** A result that says what cannot be: whoever wrote it is to mend it, and no evaluation has failed. */
export class MalformedResult extends MergeError {
  constructor(what: string, source: string) {
    super('E_EVALUATOR', `the evaluation gave no score: ${what} in ${source}`);
  }
}

/**
 * A standard error; null for what is no number, as lm-eval's "N/A", and for one of a size that nobody reckons with.
 * @param key what the number is called there
 * @throws MalformedResult for a number that is none: below 0, NaN, infinite
 */
export function stderrOf(value: unknown, key: string, source: string): number | null {
  if (typeof value === 'number' && !(value >= 0 && value < Number.POSITIVE_INFINITY))
    throw new MalformedResult(`${JSON.stringify(key)} is ${value}, and a standard error is a number of at least 0,`, source);
  return amountOf(value);
}

/**
 * A standard error in a harness's file. Exactly 0 stands where all items scored the same, as at an accuracy
 * of 0 or 1: that says nothing of other items, and is not an error of zero. NaN stands where there was one item.
 * @throws MalformedResult as {@link stderrOf}
 */
export function harnessStderr(value: unknown, key: string, source: string): number | null {
  return Number.isNaN(value) ? null : stderrOf(value, key, source) || null;
}

/** @throws MergeError E_EVALUATOR where JSON with a score has a key twice: which of them counts, nobody knows */
export function refuseTwice(text: string, source: string, file?: string): void {
  const twice = twiceText(text);
  if (twice !== null) throw noScore(`${twice} in ${source}`, file);
}

/** What is there twice in JSON; null where nothing is. */
export function twiceText(text: string): string | null {
  const keys = keysTwice(text).map((key) => JSON.stringify(key));
  return keys.length === 0 ? null : `${keys.slice(0, TWICE_SHOWN).join(', ')} ${keys.length === 1 ? 'is' : 'are'} there twice`;
}

/** What says that this evaluation gave no score, whatever other evaluations give: the trial failed. */
export function noScore(why: string, file?: string): MergeError {
  return new MergeError('E_EVALUATOR', `the evaluation gave no score: ${why}`, { details: file === undefined ? {} : { file } });
}
