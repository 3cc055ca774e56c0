import { policyProblems, routerProblem, sameSelectors } from '../policy/check.ts';
import { policiesOf } from '../policy/keys.ts';
import type { Policy } from '../policy/types.ts';
import { requestProblems } from '../schedule/check.ts';
import { parameterLabel } from '../schedule/parameters.ts';
import { selectionProblems } from '../select/select-check.ts';
import type { Recipe, RecipeOutput } from './types.ts';

/** Entries of a recipe that do not go together, or an entry that means nothing where it is. */
export interface Contradiction {
  /** Keys and indices to the entry at fault, with the names of the library. */
  readonly path: readonly (string | number)[];
  /** In words, with the names of recipes. */
  readonly message: string;
}

/** What stands for a member in the path of an output. */
export const PLACEHOLDER = /\{(step|tokens)\}/g;

/**
 * What in a recipe cannot hold together, before any input is looked at; schedules and selections are looked
 * at where they are carried out.
 */
export function contradictions(recipe: Recipe): Contradiction[] {
  const found: Contradiction[] = [];
  const sources = (['tokensPerStep', 'batchSchedule', 'tokensFile'] as const).filter((key) => recipe[key] !== undefined);
  for (const key of sources.slice(1)) {
    found.push({ path: [key], message: `${quoted(key)} is a second source of token counts: keep one of them` });
  }
  for (const [k, output] of outputsOf(recipe)) {
    const complain = (key: keyof RecipeOutput, message: string) =>
      found.push({ path: ['outputs', k, key], message: `${quoted(key)} ${message}` });
    const { path, select, sliding, preset, optimizer } = output;
    if (optimizer !== undefined && output.for !== 'resume') complain('optimizer', 'has a meaning only with `for: resume`');
    found.push(...policyContradictions(output, ['outputs', k]));
    if (sliding !== true) continue;
    if (select?.last === undefined) complain('sliding', 'needs `select: { last: N }`, the size of the window');
    if (preset !== undefined) complain('preset', 'cannot be used together with `sliding`');
    if (typeof path === 'string' && path.match(PLACEHOLDER) === null) {
      complain('path', 'needs `{step}` or `{tokens}` in it, because `sliding` makes an output for every window');
    }
  }
  return found;
}

/**
 * The same, and what is wrong with schedules and selections: for a recipe file, which can be told the line.
 * @param faulty whether something at this place, or within it, is of a wrong type: that is told already
 */
export function fileContradictions(recipe: Recipe, faulty: (path: Contradiction['path']) => boolean): Contradiction[] {
  const found = contradictions(recipe);
  for (const [k, output] of outputsOf(recipe)) {
    for (const { parameter, message, help } of requestProblems(output)) {
      // What is missing is missed where the method asks for it.
      const path = ['outputs', k, output[parameter] === undefined ? 'method' : parameter];
      found.push({ path, message: `${message}. ${help}` });
    }
    const path = ['outputs', k, 'select'];
    if (output.select === undefined || faulty(path)) continue;
    for (const message of selectionProblems(output.select, 1)) found.push({ path, message });
  }
  return found.filter(({ path }) => !faulty(path));
}

/** What is wrong with an output's policies, whatever its checkpoints are. */
function policyContradictions(output: RecipeOutput, path: Contradiction['path']): Contradiction[] {
  const { policies = [], router } = output;
  const list = (Array.isArray(policies) ? [...policies] : []).map(
    (policy): Policy => (typeof policy === 'object' && policy !== null ? policy : {}),
  );
  const first = router === undefined ? 0 : 1;
  const wrong = router === undefined ? null : routerProblem(router);
  return [
    ...(wrong === null ? [] : [{ path: [...path, 'router'], message: `${wrong.message}. ${wrong.help}` }]),
    ...list.flatMap((policy, i) =>
      policyProblems(policy).map(({ key, message, help }) => ({
        // What is missing is missed where the method asks for it, or in the policy as a whole.
        path: [...path, 'policies', i, ...[key, 'method' as const].filter((k) => policy[k] !== undefined).slice(0, 1)],
        message: `${message}. ${help}`,
      })),
    ),
    ...sameSelectors(policiesOf({ policies: list, router })).map(({ index, message }) => ({
      path: [...path, 'policies', index - first],
      message,
    })),
  ];
}

function outputsOf({ outputs }: Recipe): (readonly [number, RecipeOutput])[] {
  const list: readonly unknown[] = Array.isArray(outputs) ? outputs : [];
  return [...list.entries()].filter((entry): entry is [number, RecipeOutput] => typeof entry[1] === 'object' && entry[1] !== null);
}

const quoted = (key: string) => `\`${parameterLabel(key)}\``;
