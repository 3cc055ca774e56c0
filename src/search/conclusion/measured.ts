import { NORMAL_95 } from '../gaussian-process/normal.ts';
import { meanValue } from './bounded.ts';
import { type NoiseKind, statedVariances } from './difference.ts';
import type { PlacedBaseline } from './headline.ts';
import type { RecipeScores } from './recipes.ts';

export interface Recommendation {
  /** Index of the best recipe. */
  readonly best: number;
  /** The recipe of the highest belief where it is not the best, and the baseline that scored better. */
  readonly overruled: { readonly recipe: number; readonly baseline: PlacedBaseline } | null;
}

/**
 * The recipe of the highest belief that did not score worse itself, beyond the noise of the scores, than a
 * baseline among the candidates did: whatever a model believes, what was measured to be worse is not
 * recommended.
 *
 * @param recipes with the scores as they are @param believed one a recipe, as are `candidates`, indices
 * @param known noise of a score where none is stated; null where nothing is known of it, and beliefs are
 *   the scores themselves
 */
export function recommended(
  recipes: readonly RecipeScores[],
  believed: ArrayLike<number>,
  candidates: readonly number[],
  baselines: readonly PlacedBaseline[],
  { noise, noiseStd }: { readonly noise: NoiseKind; readonly noiseStd: number | null },
): Recommendation {
  const order = [...candidates].sort((a, b) => believed[b]! - believed[a]! || a - b);
  const betterThan = (index: number): PlacedBaseline | undefined => {
    const own = measured(recipes[index]!, noise, noiseStd);
    return baselines.find((baseline) => {
      if (baseline.index === index || !candidates.includes(baseline.index)) return false;
      const other = measured(recipes[baseline.index]!, noise, noiseStd);
      return other.mean - own.mean > NORMAL_95 * Math.sqrt(own.variance + other.variance);
    });
  };
  const first = order[0]!;
  const baseline = betterThan(first);
  if (baseline === undefined) return { best: first, overruled: null };
  return { best: order.find((index) => betterThan(index) === undefined) ?? first, overruled: { recipe: first, baseline } };
}

/**
 * The mean of a recipe's own scores, larger being better, and the variance of that mean by noise.
 * @param noiseStd of a score where none is stated; null counts as none
 */
export function measured(
  recipe: RecipeScores,
  noise: NoiseKind,
  noiseStd: number | null,
): { readonly mean: number; readonly variance: number } {
  const variances = statedVariances(recipe, noise).map((stated) => stated ?? (noiseStd ?? 0) ** 2);
  return { mean: meanValue(recipe.values), variance: variances.reduce((sum, variance) => sum + variance, 0) / variances.length ** 2 };
}
