import { directionOf } from '../../checkpoints/results/goal.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import type { Point } from '../gaussian-process/cube.ts';
import type { Params } from '../space/types.ts';
import type { ScoredTrial } from '../study/types.ts';

export type CompleteTrial = ScoredTrial & { readonly score: number };

/** A recipe and everything that was scored of it. */
export interface RecipeScores {
  /** Its trials with a score, the first one first: the recipe goes by that one's id. */
  readonly trials: readonly CompleteTrial[];
  /** Where it lies in the space; null for one outside. */
  readonly point: Point | null;
  /** A value a trial, larger is better. */
  readonly values: readonly number[];
  /** Of each value, what one unit of the score comes to where it was bounded; absent where none was. */
  readonly slopes?: readonly number[];
}

/**
 * The recipes of a search's trials, in the order of their first trials; trials without a score take no part.
 */
export function recipesOf(trials: readonly ScoredTrial[], encode: ((params: Params) => Point | null) | null, goal: Goal): RecipeScores[] {
  const { sign } = directionOf(goal);
  const byRecipe = new Map<string, CompleteTrial[]>();
  for (const trial of trials.toSorted((a, b) => a.id - b.id)) {
    if (!isComplete(trial)) continue;
    const same = byRecipe.get(trial.recipe);
    if (same === undefined) byRecipe.set(trial.recipe, [trial]);
    else same.push(trial);
  }
  return [...byRecipe.values()].map((same) => {
    const points = encode === null ? [] : same.map(({ params }) => (params === null ? null : encode(params)));
    return { trials: same, point: points.find((point) => point !== null) ?? null, values: same.map(({ score }) => sign * score) };
  });
}

function isComplete(trial: ScoredTrial): trial is CompleteTrial {
  return trial.status === 'complete' && trial.score !== null;
}
