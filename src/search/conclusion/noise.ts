import type { RecipeScores } from './recipes.ts';

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

/**
 * Variance of each score by noise, where the evaluator says it. @returns one a value; null where it is to be
 * learned
 */
export function statedVariances({ trials }: Pick<RecipeScores, 'trials'>, noise: NoiseKind): (number | null)[] {
  // 0 belongs to a score at its limit, as 1.0 of an accuracy, and not to one without noise.
  return trials.map(({ stderr }) => (noise === 'independent' && stderr !== null && stderr > 0 ? stderr * stderr : null));
}
