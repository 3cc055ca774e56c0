import { medianOf, warpBetter, warpWorse } from '../gaussian-process/warp.ts';
import type { RecipeScores } from './recipes.ts';

/**
 * Distances of the better half's spread below the middle from which on a baseline is itself one of the scores
 * that are bounded. Nearer ones are not: the gain over them is to be in the score's own units. Ours: at a
 * thousandth of all spread a model tells the better half no more.
 */
const FAR = 1000;

/** Recipes as a model is to see them. */
export interface Bounded {
  readonly recipes: readonly RecipeScores[];
  /** Indices of those of which a score was lifted. */
  readonly lifted: readonly number[];
  /** Indices of those of which a score is too good to be told apart from a fault of the evaluator. */
  readonly tooGood: readonly number[];
  /** The same, where these were lowered. */
  readonly lowered: readonly number[];
}

/**
 * Recipes with scores far from the others' bounded: those far below (see `warpWorse`), where better ones, and
 * all from the better baseline on, keep their own; and a few far above all others (see `warpBetter`).
 *
 * @param baselines indices of recipes that a gain is measured against
 */
export function boundedRecipes(recipes: readonly RecipeScores[], baselines: readonly number[]): Bounded {
  const starts = recipes.map((_, i) => recipes.slice(0, i).reduce((sum, recipe) => sum + recipe.values.length, 0));
  const withOneOf = (indices: readonly number[]) =>
    recipes.flatMap(({ values: own }, r) => (indices.some((i) => i >= starts[r]! && i < starts[r]! + own.length) ? [r] : []));
  const scores = recipes.flatMap((recipe) => recipe.values);
  const fewer = warpBetter(scores);
  // A checkpoint as training left it may well be better than all that was made of it.
  const tooGood = withOneOf(fewer.lowered);
  const good = tooGood.some((r) => baselines.includes(r)) ? null : fewer;
  const lowered = good === null ? [] : tooGood;
  const values = good?.values ?? scores;
  const median = medianOf(values);
  const baseline = Math.max(...baselines.map((r) => meanValue(values.slice(starts[r]!, starts[r]! + recipes[r]!.values.length))));
  const spread = Math.max(...values) - median;
  const middle = baselines.length > 0 && median - baseline <= FAR * spread ? Math.min(median, baseline) : median;
  const warped = warpWorse(values, middle);
  if (warped.lifted.length === 0 && lowered.length === 0) return { recipes, lifted: [], tooGood, lowered: [] };
  const bounded = recipes.map((recipe, r) => {
    const of = recipe.values.map((_, i) => starts[r]! + i);
    return { ...recipe, values: of.map((i) => warped.values[i]!), slopes: of.map((i) => warped.slopes[i]! * (good?.slopes[i] ?? 1)) };
  });
  return { recipes: bounded, lifted: withOneOf(warped.lifted), tooGood, lowered };
}

export function meanValue(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value / values.length, 0);
}
