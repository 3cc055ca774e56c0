import { didYouMean } from '../../base/did-you-mean.ts';
import { parameterLabel } from '../schedule/parameters.ts';
import { fileContradictions } from './contradictions.ts';
import { KEYS, recipeSchema } from './schema.ts';
import { RecipeSource } from './source.ts';
import { libraryNames, type RecipeFile, toRecipe } from './spelling.ts';
import type { Recipe } from './types.ts';

type Keys = readonly (string | number)[];
type Issue = NonNullable<ReturnType<typeof recipeSchema.safeParse>['error']>['issues'][number];

/**
 * The text of a recipe file as a recipe.
 * @param file its path, for messages
 * @param place what becomes of each path in it
 * @throws MergeError E_RECIPE
 */
export function parseRecipe(file: string, text: string, place: (path: string) => string): Recipe {
  const source = new RecipeSource(file, text);
  if (source.data === undefined) source.refuse();
  const { data, error } = recipeSchema.safeParse(source.data);
  for (const issue of error?.issues ?? []) report(source, issue, []);
  const ofWrongType = (error?.issues ?? []).filter(({ code }) => code !== 'unrecognized_keys').map(({ path }) => path);
  const faulty = (place: Keys) => ofWrongType.some((wrong) => spelled(place).every((key, i) => wrong[i] === key));
  for (const { path, message } of fileContradictions(libraryNames(source.data) as Recipe, faulty)) source.complain(spelled(path), message);
  source.refuse();
  return toRecipe(data as RecipeFile, place);
}

/** Keys as a recipe file spells them. */
function spelled(path: Keys): Keys {
  return path.map((key) => (typeof key === 'string' ? parameterLabel(key) : key));
}

function report(source: RecipeSource, issue: Issue, above: Keys): void {
  const keys: Keys = [...above, ...(issue.path as (string | number)[])];
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys) source.complain(keys, `unknown key \`${key}\`${advice(key, keys)}`, key);
    return;
  }
  const value = valueAt(source.data, keys);
  if (issue.code === 'invalid_union') {
    // A list with one bad item is meant as a list: what is wrong with the item says more than what the
    // alternatives are.
    const within = Array.isArray(value) ? issue.errors.find((branch) => branch.some((inner) => inner.path.length > 0)) : undefined;
    if (within !== undefined) {
      for (const inner of within) report(source, inner, keys);
      return;
    }
  }
  const name = nameOf(keys);
  if (value === undefined && keys.length > 0) {
    if (!isMisspelt(name, source.data, keys)) source.complain(keys, `\`${name}\` is missing`);
    return;
  }
  if (value === null) {
    source.complain(keys, `\`${name}\` is empty`);
    return;
  }
  // What the parsers of amounts say names the entry already.
  if (issue.code === 'custom') {
    source.complain(keys, issue.message);
    return;
  }
  const quoted = source.quoted(keys);
  const near = issue.code === 'invalid_value' && typeof value === 'string' ? didYouMean(value, issue.values.map(String)) : null;
  const subject = keys.length === 0 ? 'a recipe' : `\`${name}\``;
  source.complain(keys, `${subject} ${issue.message}${quoted === null ? '' : `, not ${quoted}`}${meant(near)}`);
}

/** What to do about an unknown key: the known one that it looks like, or the place where it is known. */
function advice(key: string, keys: Keys): string {
  const level = levelOf(keys);
  const near = didYouMean(key, KEYS[level]);
  if (near !== null) return meant(near);
  const spelled = parameterLabel(key.replaceAll('_', '-'));
  if (level !== 'select' && KEYS.select.includes(spelled)) return `; \`${spelled}\` belongs in \`select\` of an output`;
  if (level !== 'output' && KEYS.output.includes(spelled)) return `; \`${spelled}\` belongs in an output`;
  if (level !== 'recipe' && KEYS.recipe.includes(spelled)) return `; \`${spelled}\` belongs at the top of the recipe`;
  if (level === 'output' && KEYS.policy.includes(spelled)) return `; \`${spelled}\` belongs in an item of \`policies\``;
  return `; known here: ${KEYS[level].join(', ')}`;
}

function levelOf(keys: Keys): keyof typeof KEYS {
  if (keys.length === 0) return 'recipe';
  return keys.includes('select') ? 'select' : keys.includes('policies') ? 'policy' : 'output';
}

/** Whether the entry that is missing is there under a name that it is meant by: that is reported already. */
function isMisspelt(name: string, data: unknown, keys: Keys): boolean {
  const above = keys.slice(0, -1);
  const known = KEYS[levelOf(above)];
  return Object.keys(valueAt(data, above) as object).some((key) => !known.includes(key) && didYouMean(key, known) === name);
}

function meant(near: string | null): string {
  return near === null ? '' : `; did you mean \`${near}\`?`;
}

/** `select.last` and `weights[2]`, from the innermost names that tell enough. */
function nameOf(keys: Keys): string {
  const last = keys.findLastIndex((key) => typeof key === 'string');
  return keys.slice(Math.max(last, 0)).reduce<string>((name, key) => (typeof key === 'number' ? `${name}[${key}]` : key), '');
}

function valueAt(data: unknown, keys: Keys): unknown {
  let value = data;
  for (const key of keys) value = (value as Record<string | number, unknown> | null | undefined)?.[key];
  return value;
}
