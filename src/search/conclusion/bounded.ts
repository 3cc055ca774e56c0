import { medianOf, warpWorse } from '../gaussian-process/warp.ts';
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
}

/**
 * Recipes with scores far below the others' bounded (see `warpWorse`): better ones, and all from the better
 * baseline on, keep their own.
 *
 * @param baselines indices of recipes that a gain is measured against
 */
export function boundedRecipes(recipes: readonly RecipeScores[], baselines: readonly number[]): Bounded {
  const values = recipes.flatMap((recipe) => recipe.values);
  const median = medianOf(values);
  const baseline = Math.max(...baselines.map((i) => meanValue(recipes[i]!.values)));
  const spread = Math.max(...values) - median;
  const middle = baselines.length > 0 && median - baseline <= FAR * spread ? Math.min(median, baseline) : median;
  const warped = warpWorse(values, middle);
  if (warped.lifted.length === 0) return { recipes, lifted: [] };
  let next = 0;
  const bounded = recipes.map((recipe) => {
    const of = recipe.values.map(() => next++);
    return { ...recipe, values: of.map((i) => warped.values[i]!), slopes: of.map((i) => warped.slopes[i]!) };
  });
  return { recipes: bounded, lifted: bounded.flatMap(({ slopes }, i) => (slopes.some((slope) => slope !== 1) ? [i] : [])) };
}

export function meanValue(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value / values.length, 0);
}
