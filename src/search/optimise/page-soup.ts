import { table } from '../../render/html/figure.ts';
import { html } from '../../render/html/markup.ts';
import type { PageSection } from '../../render/html/page.ts';
import { scoreText } from '../study/words.ts';
import { greedyHeadline, ingredientOutcome } from './soup-words.ts';
import type { SearchDocument } from './types.ts';

/**
 * How the greedy soup came about, ingredient by ingredient; null where there is none. @param labels of
 * members by path
 */
export function greedySection({ greedy, members, best }: SearchDocument, labels: ReadonlyMap<string, string>): PageSection | null {
  if (greedy === undefined) return null;
  const rows = greedy.tried.map((ingredient) => [
    labels.get(ingredient.path) ?? ingredient.path,
    scoreText(ingredient.alone, null),
    scoreText(ingredient.score, null),
    ingredientOutcome(ingredient),
    ingredient.trial,
  ]);
  const columns = [
    { label: 'Ingredient' },
    { label: 'Alone', kind: 'number' },
    { label: 'Soup with it', kind: 'number' },
    { label: 'Outcome' },
    { label: 'Trial', kind: 'number' },
  ] as const;
  const text = html`<p>${greedyHeadline(greedy, members.length, best)}</p>`;
  return { title: 'The greedy soup', parts: [text, table(columns, rows)] };
}
