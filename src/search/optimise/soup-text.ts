import { formatTable, printable } from '../../render/format.ts';
import { checkpointLabels } from '../../render/labels.ts';
import { scoreText } from '../study/words.ts';
import { greedyHeadline, ingredientOutcome } from './soup-words.ts';
import type { SearchDocument } from './types.ts';

/** How the greedy soup came about, a line an ingredient; empty where there is none. */
export function greedyLines({ greedy, members }: SearchDocument): string[] {
  if (greedy === undefined) return [];
  const labels = checkpointLabels(members);
  const labelOf = new Map(members.map(({ path }, i) => [path, labels[i]!]));
  const rows = greedy.tried.map((ingredient) => [
    printable(labelOf.get(ingredient.path) ?? ingredient.path),
    scoreText(ingredient.alone, null),
    scoreText(ingredient.score, null),
    ingredientOutcome(ingredient),
  ]);
  return [
    greedyHeadline(greedy, members.length),
    ...formatTable([['', 'alone', 'soup with it', ''], ...rows], ['left', 'right', 'right', 'left']),
  ];
}
