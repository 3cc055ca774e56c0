import { didYouMean } from '../../base/did-you-mean.ts';
import { isJsonObject } from '../../base/json/parse.ts';
import { speaking } from '../../base/option-words.ts';
import { type Problem, pathText } from '../../base/problems.ts';
import { ask, explainIssues, withoutFaults } from '../file/issues.ts';
import { KEYS } from '../file/schema.ts';
import { RecipeSource } from '../file/source.ts';
import { libraryNames } from '../file/spelling.ts';
import { parameterLabel } from '../schedule/parameters.ts';
import { gridProblems } from './check.ts';
import { gridSchema } from './schema.ts';
import type { Grid } from './types.ts';

/**
 * The text of a grid file as a grid.
 * @param file its path, for messages @param place what becomes of each path in it
 * @throws MergeError E_GRID with every problem in `details.conflicts`, each with line, column and the line
 */
export function parseGrid(file: string, text: string, place: (path: string) => string): Grid {
  const source = new RecipeSource(file, text, { noun: 'grid file', code: 'E_GRID' });
  if (source.data === undefined) source.refuse();
  const { error } = gridSchema.safeParse(source.data);
  const issues = error?.issues ?? [];
  const problems = explainIssues(issues, source.data, {
    whole: 'a grid file',
    name: (path) => pathText(path),
    unknownKey: (key, path) => `unknown key \`${key}\`${advice(key, path)}`,
    quoted: (path) => source.quoted(path),
  });
  for (const problem of problems) source.complain(listed(problem, source.data));
  // Of an axis with a fault in it nothing more is said.
  const faulty = new Set(issues.flatMap(({ path }) => path.slice(0, 1)));
  const sound = withoutFaults(issues, source.data);
  const known = Object.fromEntries(Object.entries((sound ?? {}) as object).filter(([key]) => !faulty.has(key) && key in gridSchema.shape));
  // What is missing is told by the schema.
  const wrong = speaking('recipe', () => gridProblems(gridOf(known, (path) => path))).filter(({ path }) => path.length > 0);
  for (const { path, message } of wrong) source.complain(listed({ path: spelled(path, source.data), message }, source.data));
  source.refuse();
  return gridOf(source.data as object, place);
}

/** A grid file with the library's names; those of sets of policies are the file's own. */
function gridOf(data: object, place: (path: string) => string): Grid {
  const { run, policies, ...rest } = data as { readonly run?: string; readonly policies?: Readonly<Record<string, unknown>> };
  const named = libraryNames(rest, place) as Omit<Grid, 'run' | 'policies'>;
  const sets = Object.entries(policies ?? {}).map(([name, set]) => [name, libraryNames(set, place)] as const);
  return {
    ...named,
    run: place(run ?? ''),
    ...(policies !== undefined && { policies: Object.fromEntries(sets) as NonNullable<Grid['policies']> }),
  };
}

/** A path as the file spells it; of an axis that has one value, the axis. */
function spelled(path: Problem['path'], data: unknown): Problem['path'] {
  const own = path[0] === 'policies' ? path : path.map((key) => (typeof key === 'string' ? parameterLabel(key) : key));
  const value = (data as Readonly<Record<string, unknown>>)[String(own[0])];
  return typeof own[1] === 'number' && !Array.isArray(value) ? own.slice(0, 1) : own;
}

/** Of a text with commas that stands for an axis, how several values are written here: on a command line it was right. */
function listed(problem: Problem, data: unknown): Problem {
  const [name, ...inside] = problem.path;
  const value = isJsonObject(data) && inside.length === 0 ? data[String(name)] : undefined;
  if (typeof value !== 'string' || !/^[^,[\]{}]+(?:,[^,[\]{}]+)+$/.test(value)) return problem;
  const list = value.split(',').map((item) => item.trim());
  return { ...problem, message: `${problem.message}; a list is written ${name}: [${list.join(', ')}]` };
}

function advice(key: string, path: Problem['path']): string {
  if (path.length === 0 && (key === 'inputs' || key === 'outputs')) return '; a recipe has it: `merge run` makes what that says';
  const known = path[0] === 'policies' ? KEYS.policy : Object.keys(gridSchema.shape);
  const near = didYouMean(key, known);
  if (near !== null) return `; ${ask(near)}`;
  if (path.length === 0 && /^(?:shape|schedule|weight)s?$/.test(key))
    return '; the shape of weights is `method` with its parameters, as `decay: [linear, minus-sqrt]`';
  return `; known here: ${known.join(', ')}`;
}
