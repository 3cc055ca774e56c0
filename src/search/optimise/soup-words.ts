import { scoreText } from '../study/words.ts';
import type { GreedySoup, SoupIngredient } from './greedy.ts';

/** Words on a greedy soup that a page and the text in the terminal share. */

/** `Greedy soup: 4 of 6 kept, trial 11, scored 1.17; 2 left to try.` */
export function greedyHeadline({ tried, trial, score, left }: GreedySoup, members: number): string {
  const kept = tried.filter(({ added }) => added).length;
  const rest = left === 0 ? '' : `; ${left} left to try`;
  return `Greedy soup: ${kept} of ${members} kept, trial ${trial}, scored ${scoreText(score, null)}${rest}.`;
}

export function ingredientOutcome({ added, score }: Pick<SoupIngredient, 'added' | 'score'>): string {
  if (score === null) return 'left out: no score with it';
  return added ? 'kept' : 'left out';
}
