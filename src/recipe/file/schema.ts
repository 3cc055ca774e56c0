import { z } from 'zod';
import { DTYPES } from '../../base/dtype.ts';
import { parseDistance, parseQuantity, parseTokens } from '../../checkpoints/run/quantity.ts';
import { OUTPUT_DTYPES, ROUTER_USES, USES } from '../policy/keys.ts';
import { ROLE_NAMES } from '../policy/roles.ts';
import { type NumberRange, PARAMETERS, type Parameter, type ParameterName, parameterLabel, rangeText } from '../schedule/parameters.ts';
import { SCHEDULES } from '../schedule/registry.ts';
import type { ScheduleName, WeightRequest } from '../schedule/types.ts';

/** `halfLife` as `half-life`, in types. */
type Dashed<S extends string> = S extends `${infer Head}${infer Tail}`
  ? Head extends Lowercase<Head>
    ? `${Head}${Dashed<Tail>}`
    : `-${Lowercase<Head>}${Dashed<Tail>}`
  : '';

/** What zod says in the place of its own words. */
export const said = (error: string) => ({ error });
const path = z.string(said('must be a path')).min(1, said('is an empty path'));
const count = z.int(said('must be a whole number of at least 1')).min(1, said('must be a whole number of at least 1'));
const index = z.int(said('must be a whole number of at least 0')).min(0, said('must be a whole number of at least 0'));
const number = z.number(said('must be a finite number'));
const toggle = z.boolean(said('must be true or false'));
const choice = <const T extends readonly [string, ...string[]]>(values: T) => z.enum(values, said(`must be one of ${values.join(', ')}`));

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

const point = (name: string) => amount(name, parseQuantity, '8B (tokens) or 1000steps');
const distance = (name: string) => amount(name, parseDistance, '8B (tokens), 1000steps or 3ckpt');

const select = z
  .strictObject(
    {
      last: count.describe('The newest so many, after everything else.'),
      every: distance('every').describe('Spacing, counted back from the newest: 8B, 1000steps or 3ckpt.'),
      from: point('from').describe('First step or token count, included.'),
      to: point('to').describe('Last step or token count, included.'),
      steps: z.array(index, said('must be a list of steps')).min(1, said('is an empty list')).describe('Exactly these steps.'),
      before: point('before').describe('Only checkpoints before this step or token count.'),
      stage: index.describe('Only this stage of a training in several.'),
      'min-interval': distance('min-interval').describe('Least distance between neighbours.'),
      'min-members': count.describe('Fewer members than this are an error.'),
      'each-ingredient': choice(['last']).describe('One member of every ingredient, or of every run: its last.'),
      'before-spike': z
        .union([z.literal('auto'), index], said('must be auto or the step of the spike'))
        .describe('Only checkpoints before a loss spike: the one found in the log, or a given step.'),
      margin: distance('margin').describe('How long before the spike at least; default one save interval.'),
    },
    said('must be a map of conditions, such as { last: 10, every: 8B }'),
  )
  .partial();

/** Names of the schedules that take a parameter; all of them take those of control experiments. */
function takers(name: ParameterName): string {
  const schedules = SCHEDULES.filter((schedule) => (schedule.parameters as readonly ParameterName[]).includes(name));
  return schedules.length === 0 || schedules.length === SCHEDULES.length ? '' : `${schedules.map((s) => s.name).join(', ')}: `;
}

/** The entry of a schedule's parameter: what the table of parameters says of it. */
function parameterSchema(name: ParameterName): z.ZodType {
  const { kind, help, ...row }: Parameter = PARAMETERS[name];
  const schema = {
    number: () => numberWithin(number, row.range ?? {}),
    integer: () => numberWithin(z.int(said('must be a whole number')), row.range ?? {}),
    quantity: () => distance(parameterLabel(name)),
    choice: () => choice((row.choices ?? []) as [string, ...string[]]),
    file: () => path,
    flag: () => toggle,
  }[kind]();
  return schema.optional().describe(`${takers(name)}${help}${row.default === undefined ? '' : ` (default: ${row.default})`}.`);
}

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

const parameters = Object.fromEntries(
  (Object.keys(PARAMETERS) as ParameterName[]).map((name) => [parameterLabel(name), parameterSchema(name)]),
) as { readonly [Name in ParameterName as Dashed<Name>]: z.ZodOptional<z.ZodType<NonNullable<WeightRequest[Name]>>> };

const method = choice(SCHEDULES.map((schedule) => schedule.name) as [ScheduleName, ...ScheduleName[]]);
const weights = z.array(number, said('must be a list of numbers')).min(1, said('is an empty list'));

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
function wordOrStep<const T extends readonly [string, ...string[]]>(words: T) {
  return z.union([z.enum(words), index], said(`must be one of ${words.join(', ')}, or a step`));
}

const policy = z.strictObject(
  {
    role: several(ROLE_NAMES).optional().describe('Roles or groups of roles: router, experts, norms; several as a list or with | between.'),
    layers: ranges.optional().describe('Layers from 0, as 0-3|7; -1 is the last one.'),
    experts: ranges.optional().describe('Experts of a layer from 0, as 0-3|7; -1 is the last one.'),
    name: z.string(said('must be text')).min(1, said('is empty')).optional().describe('The whole name; * is any text, ? one character.'),
    stored: several(DTYPES.map((dtype) => dtype.name))
      .optional()
      .describe('Dtypes in which the tensors are stored.'),
    use: wordOrStep(USES)
      .optional()
      .describe("Average, by these weights or the output's; the values of one member, by age or step; equal in all members; drop."),
    method: method.optional().describe('Schedule of these weights.'),
    ...parameters,
    weights: weights.optional().describe('Explicit weights, one a member, oldest first.'),
    normalize: toggle.optional().describe('Divide explicit weights by their sum.'),
    dtype: choice(OUTPUT_DTYPES).optional().describe('Dtype in which their floats are stored.'),
  },
  said('must be a map, such as { role: router, use: newest }'),
);

const output = z.strictObject(
  {
    path: path.describe(
      'What to make, relative to the recipe: a folder, or a .safetensors file where all inputs are files. {step} and {tokens} stand for those of the newest member.',
    ),
    select: select.optional().describe('Which checkpoints; all when absent.'),
    sliding: toggle.optional().describe('One output for every window of `last` members.'),
    preset: choice(['pma']).optional().describe('Number and spacing of members after the PMA paper, by the size of the model.'),
    method: method.optional().describe('Schedule of the weights; sma when absent.'),
    ...parameters,
    weights: weights.optional().describe('Explicit weights, one a member, oldest first.'),
    normalize: toggle.optional().describe('Divide explicit weights by their sum.'),
    policies: z
      .array(policy, said('must be a list'))
      .optional()
      .describe('Tensors that are treated differently; the first policy that fits a tensor decides.'),
    router: wordOrStep(ROUTER_USES)
      .optional()
      .describe('What decides routing, all together: a policy for the role routers before the others.'),
    dtype: choice([...OUTPUT_DTYPES, 'same'])
      .optional()
      .describe('Dtype of all float tensors; same: each as stored, quantised forms included.'),
    for: choice(['inference', 'resume']).optional().describe('What becomes of the merge: an end in itself, or the start of more training.'),
    optimizer: choice(['drop', 'newest'])
      .optional()
      .describe("With `for: resume`: leave the newest member's optimizer state behind, or copy it."),
  },
  said('must be a map with at least a path'),
);

/** A recipe file, as zod checks it and as editors know it (`merge schema`). */
export const recipeSchema = z.strictObject(
  {
    inputs: z
      .union([path, z.array(path).min(1, said('is an empty list'))], said('must be a path or a list of paths'))
      .describe('A run folder, several (siblings), or checkpoints: folders or .safetensors files. Relative to the recipe.'),
    outputs: z.array(output, said('must be a list')).min(1, said('is an empty list')).describe('All are made from one read of the inputs.'),
    like: path
      .optional()
      .describe('Checkpoint whose shards, tensor order, names and dtypes the outputs follow; the newest member when absent.'),
    'tokens-per-step': amount('tokens-per-step', parseTokens, '4M').optional().describe('Tokens of every step, such as 4M.'),
    'batch-schedule': z
      .string(said('must be text such as 0:2M,50000:4M'))
      .optional()
      .describe('Tokens of a step from given steps on: 0:2M,50000:4M.'),
    'tokens-file': path.optional().describe('CSV with the columns step,tokens.'),
    'allow-mixed-dtypes': toggle.optional().describe('Let a tensor have different float dtypes among the inputs.'),
    'allow-unknown': toggle.optional().describe('Average float tensors whose names no rule knows, in a model of which others are known.'),
    'allow-permuted': toggle.optional().describe('Merge although experts or layers seem to have changed places between members.'),
    'allow-stages': toggle.optional().describe('Let members come from different stages of a training.'),
    'allow-configs': toggle.optional().describe('Let members have different configurations.'),
    'base-model-id': z.string(said('must be a Hub id such as org/name')).optional().describe("Hugging Face id for the card's base_model."),
  },
  said('must be a map with `inputs` and `outputs`'),
);

/** The keys of each level of a recipe file. */
export const KEYS: Readonly<Record<'recipe' | 'output' | 'select' | 'policy', readonly string[]>> = {
  recipe: Object.keys(recipeSchema.shape),
  output: Object.keys(output.shape),
  select: Object.keys(select.shape),
  policy: Object.keys(policy.shape),
};

/** The JSON Schema of a recipe file, for editors. */
export function recipeJsonSchema(): object {
  // Draft 7 is what the YAML extensions of editors know.
  const { $schema, ...schema } = z.toJSONSchema(recipeSchema, { target: 'draft-7', io: 'input' });
  return { $schema, title: 'ckpt-merge recipe', ...schema };
}
