import type { Recipe, RecipeOutput } from './types.ts';

/** Two entries of a recipe that do not go together. */
export interface Contradiction {
  /** Keys and indices to the entry at fault, with the names of the library. */
  readonly path: readonly (string | number)[];
  /** To be read behind the entry's name. Backquoted names are those of recipes. */
  readonly message: string;
}

/** What stands for a member in the path of an output. */
export const PLACEHOLDER = /\{(step|tokens)\}/g;

/** Everything in a recipe that cannot hold together, before any input is looked at. Entries of wrong types are passed over: they are the schema's. */
export function contradictions(recipe: Recipe): Contradiction[] {
  const found: Contradiction[] = [];
  const sources = (['tokensPerStep', 'batchSchedule', 'tokensFile'] as const).filter((key) => recipe[key] !== undefined);
  for (const key of sources.slice(1)) found.push({ path: [key], message: 'is a second source of token counts: keep one of them' });
  const outputs: readonly RecipeOutput[] = Array.isArray(recipe.outputs) ? recipe.outputs : [];
  for (const [k, output] of outputs.entries()) {
    if (typeof output !== 'object' || output === null) continue;
    const complain = (key: keyof RecipeOutput, message: string) => found.push({ path: ['outputs', k, key], message });
    const { path, select, sliding, preset, weights, method, normalize, optimizer } = output;
    if (optimizer !== undefined && output.for !== 'resume') complain('optimizer', 'has a meaning only with `for: resume`');
    if (weights !== undefined && method !== undefined) complain('weights', 'cannot be used together with `method`');
    if (normalize === true && weights === undefined) complain('normalize', 'has a meaning only with `weights`');
    if (sliding !== true) continue;
    if (select?.last === undefined) complain('sliding', 'needs `select: { last: N }`, the size of the window');
    if (preset !== undefined) complain('preset', 'cannot be used together with `sliding`');
    if (typeof path === 'string' && path.match(PLACEHOLDER) === null) {
      complain('path', 'needs `{step}` or `{tokens}` in it, because `sliding` makes an output for every window');
    }
  }
  return found;
}
