import { directionOf } from '../../checkpoints/results/goal.ts';
import { MOST_SCORE } from '../../checkpoints/results/report.ts';
import type { Goal, ItemScores, Score } from '../../checkpoints/results/types.ts';
import type { RecipeScores } from './recipes.ts';
import type { Difference } from './types.ts';

/** What a comparison needs of a score. */
export type Scored = Pick<Score, 'score' | 'stderr' | 'items'>;

/**
 * How much better `a` is than `b`. Where both have scores of the same items (equal digests, metric by metric)
 * it is judged item by item: the standard error is that of the mean of the items' weighted differences. Else
 * it is that of two independent scores, from what the evaluator said of each.
 *
 * An unpaired standard error of exactly 0 belongs to a score at its limit (all answers right), not to one
 * without error: the other one's stands for both.
 */
export function difference(a: Scored, b: Scored, goal: Goal): Difference {
  const { sign } = directionOf(goal);
  const paired = pairedItems(a, b);
  if (paired !== null) {
    const { mean, variance } = ofDifferences(paired);
    return { gain: sign * mean, error: Math.sqrt(variance), paired: true };
  }
  const errors = [a.stderr, b.stderr];
  const known = errors.some((e) => e === null) ? null : errors.map((e) => e || Math.max(...(errors as number[])));
  return { gain: sign * (a.score - b.score), error: known === null || known[0] === 0 ? null : Math.hypot(...known), paired: false };
}

/** Differences a - b item by item, one list for each list of items; null where they cannot be paired. */
export function pairedItems(a: Pick<Scored, 'items'>, b: Pick<Scored, 'items'>): readonly Float64Array[] | null {
  if (a.items === null || b.items === null || a.items.length === 0 || a.items.length !== b.items.length) return null;
  const byDigest = new Map<string, Float64Array>();
  for (const of of a.items) {
    const other = b.items.find((candidate) => sameItems(of, candidate));
    if (other === undefined || of.scores.length < 2) return null;
    // Metrics of the same items err together, so their differences are added before the error is taken, and
    // not their errors after.
    const sums = byDigest.get(of.digest) ?? new Float64Array(of.scores.length);
    if (sums.length !== of.scores.length) return null;
    for (let i = 0; i < sums.length; i++) sums[i]! += of.weight * (of.scores[i]! - other.scores[i]!);
    byDigest.set(of.digest, sums);
  }
  return [...byDigest.values()];
}

/**
 * Mean of `b - a` over paired items and its standard error, the figure that says whether one checkpoint is
 * better than another.
 */
export function pairedDifference(a: readonly number[], b: readonly number[]): { mean: number; standardError: number } {
  if (a.length !== b.length || a.length < 2) throw new RangeError(`cannot pair ${a.length} items with ${b.length}`);
  const { mean, variance } = ofDifferences([Float64Array.from(a, (score, i) => b[i]! - score)]);
  return { mean, standardError: Math.sqrt(variance) };
}

/**
 * Covariance of the means of two lists of differences on the same items: how far two comparisons err together
 * because the items are these and not others. Lists of different items are independent.
 */
export function covarianceOfMeans(a: readonly Float64Array[], b: readonly Float64Array[]): number {
  let sum = 0;
  a.forEach((values, list) => {
    const others = b[list];
    if (others === undefined || others.length !== values.length) return;
    const [centre, otherCentre] = [meanOf(values), meanOf(others)];
    let products = 0;
    for (let i = 0; i < values.length; i++) products += (values[i]! - centre) * (others[i]! - otherCentre);
    sum += products / (values.length - 1) / values.length;
  });
  return sum;
}

/** Mean of the sum over independent lists, and the variance of that mean. */
function ofDifferences(lists: readonly Float64Array[]): { mean: number; variance: number } {
  return { mean: lists.reduce((sum, values) => sum + meanOf(values), 0), variance: covarianceOfMeans(lists, lists) };
}

function sameItems(a: ItemScores, b: ItemScores): boolean {
  return a.name === b.name && a.digest === b.digest && a.weight === b.weight && a.scores.length === b.scores.length;
}

function meanOf(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/**
 * What the standard error that an evaluator gives is taken for. `shared`: of drawing the items, the same for
 * every model scored on them, so that it says nothing of how two evaluations of one model differ.
 * `independent`: items are drawn anew for each evaluation, so that it is the noise of each score.
 */
export type NoiseKind = 'shared' | 'independent';

/** Spread of scores of the same recipe. */
export interface RepeatSpread {
  readonly variance: number;
  /** Repeats that it rests on: scores less recipes. */
  readonly freedom: number;
}

/**
 * Variance of a score from one evaluation of a recipe to the next, pooled over the recipes that were scored
 * more than once; null where none was.
 */
export function repeatSpread(recipes: readonly Pick<RecipeScores, 'values'>[]): RepeatSpread | null {
  let squares = 0;
  let freedom = 0;
  for (const { values } of recipes) {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    squares += values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    freedom += values.length - 1;
  }
  return freedom === 0 ? null : { variance: squares / freedom, freedom };
}

/** The variance that a standard error stands for; finite. */
export function errorVariance(stderr: number): number {
  return Math.min(stderr, MOST_SCORE) ** 2;
}

/**
 * Variance of each score by noise, where the evaluator says it. @returns one a value; null where it is to be
 * learned
 */
export function statedVariances({ trials, slopes }: Pick<RecipeScores, 'trials' | 'slopes'>, noise: NoiseKind): (number | null)[] {
  // 0 belongs to a score at its limit, as 1.0 of an accuracy, and not to one without noise.
  return trials.map(({ stderr }, i) =>
    noise === 'independent' && stderr !== null && stderr > 0 ? errorVariance(stderr * (slopes?.[i] ?? 1)) : null,
  );
}
