import type { z } from 'zod';
import { type Option, OUTPUT, RECIPE, SCORED } from '../options.ts';
import { parameterLabel } from '../schedule/parameters.ts';
import { HF_NAMES, type Recipe } from '../types.ts';
import type { recipeSchema } from './schema.ts';

/** A recipe file that fits the schema, with its own names. */
export type RecipeFile = z.infer<typeof recipeSchema>;

/** Names as in the library: `half-life` in a recipe is `halfLife` there. */
type Camel<S> = S extends `${infer Head}-${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : S;
type LibraryNames<T> = T extends readonly (infer Item)[]
  ? readonly LibraryNames<Item>[]
  : T extends object
    ? { readonly [Key in keyof T as Camel<Key & string>]: LibraryNames<T[Key]> }
    : T;

/** Keys that hold a path or a list of paths, as a recipe file spells them. */
export const PATHS: ReadonlySet<string> = new Set([
  ...['inputs', 'path'],
  ...Object.entries<Option>({ ...RECIPE, ...OUTPUT, ...SCORED, memberScores: SCORED.scores }).flatMap(([name, { kind }]) =>
    kind === 'path' || kind === 'file' || kind === 'names' ? [parameterLabel(name)] : [],
  ),
]);

/**
 * A value of a recipe file with the library's names in all its maps.
 * @param place what becomes of each path in it
 */
export function libraryNames(value: unknown, place: (path: string) => string = (path) => path): unknown {
  if (Array.isArray(value)) return value.map((item) => libraryNames(item, place));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      const name = key.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
      if (!PATHS.has(key)) return [name, libraryNames(inner, place)];
      // A word of its own.
      if (key === 'names' && inner === HF_NAMES) return [name, inner];
      return [name, Array.isArray(inner) ? inner.map(place) : place(inner as string)];
    }),
  );
}

/** A recipe file as the library's recipe. */
export function toRecipe(file: RecipeFile, place: (path: string) => string): Recipe {
  const inputs = typeof file.inputs === 'string' ? [file.inputs] : file.inputs;
  // The type proves that every entry of the schema is one of the recipe, with the same values.
  return libraryNames({ ...file, inputs }, place) as LibraryNames<Omit<RecipeFile, 'inputs'> & { inputs: string[] }>;
}
