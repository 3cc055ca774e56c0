import { optionName, optionWith } from '../../base/option-words.ts';
import type { Problem } from '../../base/problems.ts';
import { policyProblems, routerProblem, sameSelectors } from '../policy/check.ts';
import { policiesOf, REQUEST_KEYS } from '../policy/keys.ts';
import type { Policy } from '../policy/types.ts';
import { weightProblems } from '../schedule/check.ts';
import { selectionProblems } from '../select/select-check.ts';
import type { Recipe, RecipeOutput } from '../types.ts';

/** What stands for a member in the path of an output. */
export const PLACEHOLDER = /\{(step|tokens)\}/g;

/** What of an output is about merging, or about which checkpoints. */
const NOT_CONVERTED = [
  'select',
  'sliding',
  'preset',
  ...REQUEST_KEYS,
  'policies',
  'weightsFile',
  'router',
  'for',
  'optimizer',
  'extraState',
  'weightsFrom',
] as const;

/**
 * Entries of a recipe that do not go together, or mean nothing where they are, before any input is looked at;
 * schedules and selections are looked at where they are carried out. Paths have the names of the library.
 */
export function contradictions(recipe: Recipe): Problem[] {
  const found: Problem[] = [];
  const sources = (['tokensPerStep', 'batchSchedule', 'tokensFile'] as const).filter((key) => recipe[key] !== undefined);
  for (const key of sources.slice(1)) {
    found.push({ path: [key], message: `${quoted(optionName(key))} is a second source of token counts: keep one of them` });
  }
  for (const [k, output] of outputsOf(recipe)) {
    const complain = (key: keyof RecipeOutput, message: string) =>
      found.push({ path: ['outputs', k, key], message: `${quoted(optionName(key))} ${message}` });
    const { path, select, sliding, preset, optimizer } = output;
    if (optimizer !== undefined && output.for !== 'resume')
      complain('optimizer', `has a meaning only with ${quoted(optionWith('for', 'resume'))}`);
    if (output.convert) {
      for (const key of NOT_CONVERTED)
        if (output[key] !== undefined && output[key] !== false) complain(key, `has no meaning with ${quoted(optionName('convert'))}`);
      if (recipe.outputs.length > 1) complain('convert', 'has to be the only output: a conversion is of one checkpoint');
      if (recipe.like !== undefined)
        found.push({ path: ['like'], message: `${quoted(optionName('like'))} has no meaning with ${quoted(optionName('convert'))}` });
    }
    found.push(...policyContradictions(output, ['outputs', k]));
    if (sliding !== true) continue;
    if (select?.last === undefined) complain('sliding', `needs ${quoted(optionWith('last', 'N'))}, the size of the window`);
    if (select?.members !== undefined)
      complain('sliding', `cannot be used together with ${quoted(optionName('members'))}: the best do not lie side by side`);
    if (preset !== undefined) complain('preset', `cannot be used together with ${quoted(optionName('sliding'))}`);
    if (typeof path === 'string' && path.match(PLACEHOLDER) === null) {
      complain('path', `needs \`{step}\` or \`{tokens}\` in it, because ${quoted(optionName('sliding'))} makes an output for every window`);
    }
  }
  return found;
}

/**
 * The same, and what is wrong with schedules and selections: for a recipe file, which can be told the line.
 * @param faulty whether something at this place, or within it, is of a wrong type: that is told already
 */
export function fileContradictions(recipe: Recipe, faulty: (path: Problem['path']) => boolean): Problem[] {
  const found = contradictions(recipe);
  for (const [k, output] of outputsOf(recipe)) {
    found.push(...inside(output, ['outputs', k], weightProblems(output)));
    const path = ['outputs', k, 'select'];
    if (output.select === undefined || faulty(path)) continue;
    for (const message of selectionProblems(output.select, 1)) found.push({ path, message });
  }
  return found.filter(({ path }) => !faulty(path));
}

/** What is wrong with an output's policies, whatever its checkpoints are. */
function policyContradictions(output: RecipeOutput, path: Problem['path']): Problem[] {
  const { policies = [], router } = output;
  const list = (Array.isArray(policies) ? [...policies] : []).map(
    (policy): Policy => (typeof policy === 'object' && policy !== null ? policy : {}),
  );
  const first = router === undefined ? 0 : 1;
  const wrong = router === undefined ? null : routerProblem(router);
  return [
    ...(wrong === null ? [] : inside(output, path, [wrong])),
    ...list.flatMap((policy, i) => inside(policy, [...path, 'policies', i], policyProblems(policy))),
    ...sameSelectors(policiesOf({ policies: list, router })).map(({ index, message }) => ({
      path: [...path, 'policies', index - first],
      message,
    })),
  ];
}

/**
 * Problems of an output or a policy as those of the recipe that it stands in. What is missing is missed where
 * the method asks for it, or in the whole.
 */
function inside(object: RecipeOutput | Policy, above: Problem['path'], problems: readonly Problem[]): Problem[] {
  return problems.map(({ path: [key], message, help }) => ({
    path: [...above, ...[key!, 'method'].filter((k) => object[k as keyof typeof object] !== undefined).slice(0, 1)],
    message: `${message}. ${help}`,
  }));
}

function outputsOf({ outputs }: Recipe): (readonly [number, RecipeOutput])[] {
  const list: readonly unknown[] = Array.isArray(outputs) ? outputs : [];
  return [...list.entries()].filter((entry): entry is [number, RecipeOutput] => typeof entry[1] === 'object' && entry[1] !== null);
}

/** In backquotes, where no dashes tell it from the words around it. */
function quoted(text: string): string {
  return text.startsWith('--') ? text : `\`${text}\``;
}
