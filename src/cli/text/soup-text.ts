import { checkpointLabels } from '../../html/labels.ts';
import type { SearchDocument } from '../../search/types.ts';
import { formatTable, printable } from '../format.ts';
import { scoreText } from './search-words.ts';
import { greedyHeadline, ingredientOutcome } from './soup-words.ts';

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
