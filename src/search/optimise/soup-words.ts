import { scoreText } from '../study/words.ts';
import type { GreedySoup, SoupIngredient } from './greedy.ts';
import type { BestTrial } from './types.ts';

/** Words on a greedy soup that a page and the text in the terminal share. */

/**
 * `Greedy soup: 4 of 6 kept, trial 11, scored 1.17; 2 left to try.`, and what the output is of where that is
 * something else.
 */
export function greedyHeadline({ tried, trial, score, left }: GreedySoup, members: number, best: BestTrial | null): string {
  const kept = tried.filter(({ added }) => added).length;
  const rest = left === 0 ? '' : `; ${left} left to try`;
  return `Greedy soup: ${kept} of ${members} kept, trial ${trial}, scored ${scoreText(score, null)}${rest}.${best === null || best.trial === trial ? '' : ` The best of all that the soup tried is trial ${best.trial}, ${best.score === score ? 'which has the same score' : `which scored ${scoreText(best.score, null)}`}.`}`;
}

export function ingredientOutcome({ added, score }: Pick<SoupIngredient, 'added' | 'score'>): string {
  if (score === null) return 'left out: no score with it';
  return added ? 'kept' : 'left out';
}
