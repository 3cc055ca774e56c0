import { z } from 'zod';
import { parseByteSize } from '../../base/byte-size.ts';
import { MOST } from '../../base/limits.ts';
import { parseDistance, parseQuantity, parseTokens } from '../../checkpoints/run/quantity.ts';
import { type Option, OUTPUT, POLICY, RECIPE, SCORED, SELECT } from '../options.ts';
import type { Policy } from '../policy/types.ts';
import { takersOf } from '../schedule/methods.ts';
import { type NumberRange, parameterLabel, rangeText } from '../schedule/parameters.ts';
import type { Selection } from '../select/types.ts';
import type { Recipe, RecipeOutput } from '../types.ts';

/** `halfLife` as `half-life`, in types. */
type Dashed<S extends string> = S extends `${infer Head}${infer Tail}`
  ? Head extends Lowercase<Head>
    ? `${Head}${Dashed<Tail>}`
    : `-${Lowercase<Head>}${Dashed<Tail>}`
  : '';

/** What zod says in the place of its own words. */
export const said = (error: string) => ({ error });
const path = z.string(said('must be a path')).min(1, said('is an empty path'));
const count = z
  .int(said('must be a whole number of at least 1'))
  .min(1, said('must be a whole number of at least 1'))
  .max(MOST.count, said(`must be at most ${MOST.count}`));
const index = z.int(said('must be a whole number of at least 0')).min(0, said('must be a whole number of at least 0'));
const number = z.number(said('must be a finite number'));
const toggle = z.boolean(said('must be true or false'));
const choice = (values: readonly string[]) => z.enum(values as [string, ...string[]], said(`must be one of ${values.join(', ')}`));

/** An entry that holds text for one of the parsers of amounts, whose complaint names the entry. */
function amount(name: string, parse: (text: string | number, what: string) => unknown, like: string) {
  return z.union([z.string(), z.number()], said(`must be an amount such as ${like}`)).superRefine((text, context) => {
    try {
      parse(text, `\`${name}\``);
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message });
    }
  });
}

const distance = (name: string) => amount(name, parseDistance, '8B (tokens), 1000steps or 3ckpt');

/** A number within a parameter's range. */
export function numberWithin<T extends z.ZodNumber>(schema: T, range: NumberRange): T {
  let bounded = schema;
  const must = said(`must be ${rangeText(range)}`);
  if (range.above !== undefined) bounded = bounded.gt(range.above, must);
  if (range.atLeast !== undefined) bounded = bounded.gte(range.atLeast, must);
  if (range.below !== undefined) bounded = bounded.lt(range.below, must);
  if (range.atMost !== undefined) bounded = bounded.lte(range.atMost, must);
  return bounded;
}

/**
 * One word or a list of them; a text may also hold several with `|` between, which the checks of policies
 * take apart.
 */
function several(words: readonly string[]) {
  const text = z.string().min(1, said('is empty'));
  const word = z.union([z.enum(words as [string, ...string[]]), text], said('must be text'));
  return z.union([word, z.array(word).min(1, said('is an empty list'))], said('must be text or a list of texts'));
}

const range = z.union([z.int(), z.string().min(1, said('is empty'))], said('must be a number or a range'));
const ranges = z.union([...range.options, z.array(range).min(1, said('is an empty list'))], said('must be numbers and ranges, as 0-3|7'));

/** A word of a list, or a step. */
function wordOrStep(words: readonly string[]) {
  return z.union([z.enum(words as [string, ...string[]]), index], said(`must be one of ${words.join(', ')}, or a step`));
}

/** The schema of an option's values, by its kind. */
const SCHEMAS: Readonly<Record<Option['kind'], (label: string, option: Option) => z.ZodType>> = {
  flag: () => toggle,
  choice: (_, { choices }) => choice(choices ?? []),
  text: (_, { wanted }) =>
    wanted === undefined ? z.string(said('must be text')).min(1, said('is empty')) : z.string(said(`must be ${wanted}`)),
  path: () => path,
  file: () => path,
  names: () => z.string(said('must be hf or the path of a names file')).min(1, said('is empty')),
  number: (_, { range }) => numberWithin(number, range ?? {}),
  time: (_, { range }) => numberWithin(number, range ?? {}),
  integer: (_, { range }) => numberWithin(z.int(said('must be a whole number')), range ?? {}),
  count: () => count,
  index: () => index,
  bytes: () => count,
  rate: () => count,
  distance,
  point: (label) => amount(label, parseQuantity, '8B (tokens) or 1000steps'),
  quantity: distance,
  tokens: (label) => amount(label, parseTokens, '4M'),
  size: (label) => amount(label, parseByteSize, '5GB'),
  steps: () => z.array(index, said('must be a list of steps')).min(1, said('is an empty list')),
  weights: () => z.array(number, said('must be a list of numbers')).min(1, said('is an empty list')),
  spike: () => z.union([z.literal('auto'), index], said('must be auto or the step of the spike')),
  router: (_, { choices }) => wordOrStep(choices ?? []),
  use: (_, { choices }) => wordOrStep(choices ?? []),
  words: (_, { choices }) => several(choices ?? []),
  ranges: () => ranges,
  policies: () => z.array(policySchema, said('must be a list')),
};

/** The schema of one value of an option. @param label its name in files */
export function optionSchema(label: string, option: Option): z.ZodType {
  return SCHEMAS[option.kind](label, option);
}

/**
 * What help says of an option, as a sentence; it may begin with a name: of schedules that take it, of a
 * choice.
 */
export function sentence(name: string, { help, choices = [], default: value }: Option): string {
  const takers = takersOf(name).join(', ');
  const named = takers !== '' || choices.some((choice) => help.startsWith(`${choice}:`));
  const begin = named ? [takers, help].filter((part) => part !== '').join(': ') : `${help.charAt(0).toUpperCase()}${help.slice(1)}`;
  return `${begin}${value === undefined ? '' : ` (default: ${value})`}.`;
}

/** The entries of a table of options that values of T have, by their names in recipes. */
export function entries<T>(table: { readonly [Name in keyof T]-?: Option }) {
  return Object.fromEntries(
    Object.entries<Option>(table).map(([name, option]) => {
      const label = parameterLabel(name);
      return [label, optionSchema(label, option).optional().describe(sentence(name, option))];
    }),
    // The table says that its kinds are those of the values of T.
  ) as { readonly [Name in keyof T & string as Dashed<Name>]: z.ZodOptional<z.ZodType<NonNullable<T[Name]>>> };
}

const select = z.strictObject(
  entries<Selection>({ ...SELECT, ...SCORED }),
  said('must be a map of conditions, such as { last: 10, every: 8B }'),
);

export const policySchema = z.strictObject(entries<Policy>(POLICY), said('must be a map, such as { role: router, use: newest }'));

const output = z.strictObject(
  {
    path: path.describe(
      'What to make, relative to the recipe: a folder, or a .safetensors file where all inputs are files. {step} and {tokens} stand for those of the newest member.',
    ),
    select: select.optional().describe('Which checkpoints; all when absent.'),
    ...entries<Omit<RecipeOutput, 'path' | 'select'>>(OUTPUT),
  },
  said('must be a map with at least a path'),
);

/** A recipe file, as zod checks it and as editors know it (`merge schema`). */
export const recipeSchema = z.strictObject(
  {
    inputs: z
      .union([path, z.array(path).min(1, said('is an empty list'))], said('must be a path or a list of paths'))
      .describe(
        'A run folder, several (siblings), or checkpoints: folders, or .safetensors, .pt, .pth, .bin or .ckpt files. Relative to the recipe.',
      ),
    outputs: z.array(output, said('must be a list')).min(1, said('is an empty list')).describe('All are made from one read of the inputs.'),
    ...entries<Omit<Recipe, 'inputs' | 'outputs'>>(RECIPE),
  },
  said('must be a map with `inputs` and `outputs`'),
);

/** The keys of each level of a recipe file. */
export const KEYS: Readonly<Record<'recipe' | 'output' | 'select' | 'policy', readonly string[]>> = {
  recipe: Object.keys(recipeSchema.shape),
  output: Object.keys(output.shape),
  select: Object.keys(select.shape),
  policy: Object.keys(policySchema.shape),
};

/** The JSON Schema of a recipe file, for editors. */
export function schemaDocument(): object {
  // Draft 7 is what the YAML extensions of editors know.
  const { $schema, ...schema } = z.toJSONSchema(recipeSchema, { target: 'draft-7', io: 'input' });
  return { $schema, title: 'ckpt-merge recipe', ...schema };
}
