import { NORMAL_95 } from '../gaussian-process/normal.ts';
import { sobolPoints } from '../gaussian-process/sobol.ts';
import type { Beliefs } from './beliefs.ts';
import type { RecipeScores } from './recipes.ts';

/** That nothing in a space is known to be better than anything else. */
export interface NoDifferences {
  /** Recipes that it rests on. */
  readonly recipes: number;
  /** What the best recipe of the space may be better by than the better baseline, with 97.5 %. */
  readonly most: number;
}

/**
 * Whether there are several recipes and all their scores are the very same: nothing of noise can be learned
 * of them.
 */
export function allEqual(recipes: readonly Pick<RecipeScores, 'values'>[]): boolean {
  const first = recipes[0]?.values[0];
  return recipes.length > 1 && recipes.every(({ values }) => values.every((value) => value === first));
}

/** Recipes of the very same score from which on more of them are pointless. Ours. */
const EQUAL = 8;
/**
 * Standard deviations of a score's noise: the range of the model's means, and the best gain that may still be
 * there. Ours: of searches over shapes with differences of four and more, none fell below both after twelve
 * trials, of flat ones a quarter did, and more later.
 */
const RANGE = 1;
const MOST = 1.5;
/** Points beside those tried at which the model is looked at. */
const LOOKS = 64;

/**
 * Whether what was tried shows no differences, and what was not tried is unlikely to hold any worth finding:
 * either all scores are the very same, or the model of the space, over all readings of the noise, lies within
 * one standard deviation of it everywhere, and leaves the best recipe of the space a gain of at most one and
 * a half. Null where there are differences, and where too little was tried.
 *
 * @param baselines indices of recipes; none are compared with the middle of the model
 */
export function noDifferences(
  recipes: readonly RecipeScores[],
  beliefs: Beliefs | null,
  dimensions: number,
  baselines: readonly number[],
): NoDifferences | null {
  if (recipes.length >= EQUAL && allEqual(recipes)) return { recipes: recipes.length, most: 0 };
  const points = recipes.flatMap(({ point }) => (point === null ? [] : [point]));
  if (beliefs?.predict == null || beliefs.learnedNoise === null || points.length < 4 + 8 * dimensions) return null;
  const { mean, std } = beliefs.predict([...points, ...sobolPoints(dimensions, LOOKS, 0)]);
  const noise = beliefs.learnedNoise;
  if (Math.max(...mean) - Math.min(...mean) > RANGE * noise) return null;
  const highest = Math.max(...mean.map((value, i) => value + NORMAL_95 * std[i]!));
  const rivals = baselines.map((i) => beliefs.marginals.mean[i]!);
  const most = highest - (rivals.length === 0 ? Math.min(...mean) : Math.max(...rivals));
  return most <= MOST * noise ? { recipes: recipes.length, most: Math.max(0, most) } : null;
}
