import { didYouMean } from '../../base/did-you-mean.ts';
import { speaking } from '../../base/option-words.ts';
import { parameterLabel } from '../schedule/parameters.ts';
import type { Recipe } from '../types.ts';
import { fileContradictions } from './contradictions.ts';
import { ask, explainIssues, type Path, valueAt, withoutFaults } from './issues.ts';
import { isMergekit, mergekitError } from './mergekit.ts';
import { KEYS, recipeSchema } from './schema.ts';
import { RecipeSource } from './source.ts';
import { libraryNames, type RecipeFile, toRecipe } from './spelling.ts';

/**
 * The text of a recipe file as a recipe.
 * @param file its path, for messages
 * @param place what becomes of each path in it
 * @throws MergeError E_RECIPE
 */
export function parseRecipe(file: string, text: string, place: (path: string) => string): Recipe {
  const source = new RecipeSource(file, text);
  if (source.data === undefined) source.refuse();
  if (isMergekit(source.data)) throw mergekitError(file, source.data);
  const { data, error } = recipeSchema.safeParse(source.data);
  const problems = explainIssues(error?.issues ?? [], source.data, {
    whole: 'a recipe',
    name: nameOf,
    unknownKey: (key, path) => `unknown key \`${key}\`${advice(key, path)}`,
    quoted: (path) => source.quoted(path),
    excused: (path) => isMisspelt(nameOf(path), source.data, path),
  });
  for (const problem of problems) source.complain(problem);
  const sound = withoutFaults(error?.issues ?? [], source.data);
  const ofWrongType = (error?.issues ?? []).filter(({ code }) => code !== 'unrecognized_keys').map(({ path }) => path);
  const faulty = (place: Path) => ofWrongType.some((wrong) => spelled(place).every((key, i) => wrong[i] === key));
  const wrong = speaking('recipe', () => fileContradictions((libraryNames(sound) ?? {}) as Recipe, faulty));
  for (const { path, message } of wrong) source.complain({ path: spelled(path), message });
  source.refuse();
  return toRecipe(data as RecipeFile, place);
}

/** Path as a recipe file spells them. */
function spelled(path: Path): Path {
  return path.map((key) => (typeof key === 'string' ? parameterLabel(key) : key));
}

/** What to do about an unknown key: the known one that it looks like, or the place where it is known. */
function advice(key: string, keys: Path): string {
  const level = levelOf(keys);
  const near = didYouMean(key, KEYS[level]);
  if (near !== null) return `; ${ask(near)}`;
  const spelled = parameterLabel(key.replaceAll('_', '-'));
  if (level !== 'select' && KEYS.select.includes(spelled)) return `; \`${spelled}\` belongs in \`select\` of an output`;
  if (level !== 'output' && KEYS.output.includes(spelled)) return `; \`${spelled}\` belongs in an output`;
  if (level !== 'recipe' && KEYS.recipe.includes(spelled)) return `; \`${spelled}\` belongs at the top of the recipe`;
  if (level === 'output' && KEYS.policy.includes(spelled)) return `; \`${spelled}\` belongs in an item of \`policies\``;
  return `; known here: ${KEYS[level].join(', ')}`;
}

function levelOf(keys: Path): keyof typeof KEYS {
  if (keys.length === 0) return 'recipe';
  return keys.includes('select') ? 'select' : keys.includes('policies') ? 'policy' : 'output';
}

/** Whether the entry that is missing is there under a name that it is meant by: that is reported already. */
function isMisspelt(name: string, data: unknown, keys: Path): boolean {
  const above = keys.slice(0, -1);
  const known = KEYS[levelOf(above)];
  return Object.keys(valueAt(data, above) as object).some((key) => !known.includes(key) && didYouMean(key, known) === name);
}

/** `select.last` and `weights[2]`, from the innermost names that tell enough. */
function nameOf(keys: Path): string {
  const last = keys.findLastIndex((key) => typeof key === 'string');
  return keys.slice(Math.max(last, 0)).reduce<string>((name, key) => (typeof key === 'number' ? `${name}[${key}]` : key), '');
}
