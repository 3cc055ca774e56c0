import { dirname, isAbsolute, join } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { notHere } from '../../base/not-here.ts';
import { readExactly, storeOf } from '../../base/store/store.ts';
import { utf8Text } from '../../base/utf8.ts';
import type { Recipe } from '../types.ts';

/** A recipe of a thousand outputs is well below this; what is above it is another kind of file. */
const MAX_BYTES = 4 * 2 ** 20;

/**
 * Reads a recipe file: YAML 1.2, of which JSON is a part. Relative paths in it are taken from its folder;
 * nothing else is expanded, `$ENV` neither.
 *
 * @throws MergeError E_RECIPE with every problem in `details.conflicts`, each with line, column and the line
 *   itself; E_NOT_FOUND, E_NOT_READABLE
 */
export async function readRecipe(path: string): Promise<Recipe> {
  const text = await readYamlText(path, (what) => notRecipe(path, what));
  // The parser and the schema library take longer to load than most merges to plan: only who reads a recipe
  // waits for them.
  const { parseRecipe } = await import('./parse.ts');
  const folder = dirname(path);
  return parseRecipe(path, text, (place) => (isAbsolute(place) || notHere(place) !== null ? place : join(folder, place)));
}

/**
 * The text of a YAML file of ours.
 * @param refused the error for a file that is none: `has 5000000 bytes`, `is not UTF-8`
 * @throws MergeError `refused`'s; E_NOT_FOUND, E_NOT_READABLE
 */
export async function readYamlText(path: string, refused: (what: string) => MergeError): Promise<string> {
  const file = await storeOf(path).open(path);
  const { stat } = file;
  try {
    if (stat.size > MAX_BYTES) throw refused(`has ${stat.size} bytes`);
    const bytes = Buffer.alloc(stat.size);
    await readExactly(file, bytes, 0);
    if (bytes.includes(0)) throw refused('holds binary data');
    const text = utf8Text(bytes);
    if (text === null) throw refused('is not UTF-8');
    return text;
  } finally {
    await file.close();
  }
}

function notRecipe(path: string, what: string): MergeError {
  return new MergeError('E_RECIPE', `${path} ${what}, so it is no recipe`, {
    details: { file: path },
    help: 'A recipe is a YAML file with `inputs` and `outputs`: see docs/recipes.md. To merge checkpoints without one: merge average.',
  });
}

/** The JSON Schema of recipe files, for editors that complete and check YAML. */
export async function recipeJsonSchema(): Promise<object> {
  const schema = await import('./schema.ts');
  return schema.schemaDocument();
}
