import type { Axis } from '../gaussian-process/cube.ts';
import { spaceBeliefs } from './beliefs.ts';
import { type NoiseKind, repeatSpread } from './difference.ts';
import type { RecipeScores } from './recipes.ts';

/** That scores of one model changed over a study by more than the noise explains. */
export interface Drift {
  /** Trials of the newest checkpoint, in the order in which they were proposed. */
  readonly trials: readonly number[];
  /** The least and the largest of their scores, as the evaluator gave them. */
  readonly scores: readonly [number, number];
  /** Standard deviation of a score by noise, by everything but these. */
  readonly noise: number;
}

/** Recipes before the first anchor from which on a model learns the noise of them alone. Ours. */
const ENOUGH_EARLY = 6;
/** Repeats of other recipes from which on their spread is the noise. Ours. */
const ENOUGH_REPEATS = 3;

/**
 * Whether the evaluator drifts: scores of the newest checkpoint, taken again and again as anchors, lie farther
 * apart than 99 of 100 times by noise (the range of k normal scores, by a line through its quantiles). The
 * noise is that of other recipes, since what drifts is no measure of it. Null where it does not, the newest
 * was scored once, or nothing is known of the noise.
 *
 * @param newest index of its recipe @param axes null where recipes lie in no space
 */
export function driftOf(
  recipes: readonly RecipeScores[],
  newest: number,
  axes: readonly Axis[] | null,
  { noise, seed }: { readonly noise: NoiseKind; readonly seed: number },
): Drift | null {
  const { trials } = recipes[newest]!;
  if (trials.length < 2) return null;
  const scores = trials.map(({ score }) => score);
  const ends = [Math.min(...scores), Math.max(...scores)] as const;
  if (ends[0] === ends[1]) return null;
  const others = repeatSpread(recipes.filter((_, i) => i !== newest));
  const once = recipes.map((recipe, i) => (i === newest ? firstOf(recipe) : recipe));
  // What drifted since is no noise: before the first anchor there is least of it.
  const early = once.filter((recipe) => recipe.trials[0]!.id < trials[1]!.id).map(firstOf);
  const stretch = early.length >= ENOUGH_EARLY ? early : once;
  const known =
    others !== null && others.freedom >= ENOUGH_REPEATS
      ? Math.sqrt(others.variance)
      : ((axes === null ? null : spaceBeliefs(stretch, axes, noise, seed))?.learnedNoise ?? null);
  if (known === null) return null;
  const most = 3.64 + Math.log(scores.length / 2);
  return ends[1] - ends[0] > most * known ? { trials: trials.map(({ id }) => id), scores: ends, noise: known } : null;
}

function firstOf(recipe: RecipeScores): RecipeScores {
  return { ...recipe, trials: recipe.trials.slice(0, 1), values: recipe.values.slice(0, 1) };
}
