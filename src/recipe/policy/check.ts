import { didYouMean } from '../../base/did-you-mean.ts';
import { DTYPES } from '../../base/dtype.ts';
import { speaking } from '../../base/option-words.ts';
import type { Problem } from '../../base/problems.ts';
import { weightProblems } from '../schedule/check.ts';
import { OUTPUT_DTYPES, REQUEST_KEYS, ROUTER_USES, requestOf, SELECTOR_KEYS, USES } from './keys.ts';
import { FOLLOWING, ROLE_NAMES } from './roles.ts';
import { listItems, parseRange } from './selector.ts';
import { selectorText } from './text.ts';
import type { Policy, Use } from './types.ts';

/**
 * Everything that can be said of a policy before a checkpoint is seen, each with help and a key of the policy
 * as its path. Values may be of any type: recipes hold what they hold.
 */
export function policyProblems(policy: Policy): Problem[] {
  return [...selectorProblems(policy), ...treatmentProblems(policy)];
}

/** What is wrong with the `router` of an output; null where nothing is. */
export function routerProblem(router: unknown): Problem | null {
  if (ROUTER_USES.some((use) => use === router) || (typeof router === 'number' && isUse(router))) return null;
  const near = typeof router === 'string' ? meant(router, ROUTER_USES) : '';
  const help = `It is one of ${ROUTER_USES.join(', ')}, or the step of a member; anything else is said with policies.`;
  return { path: ['router'], message: `router cannot be ${JSON.stringify(router)}${near}`, help };
}

/** Policies of which only one could ever apply, by index: the later one of each two that select the same. */
export function sameSelectors(policies: readonly Policy[]): { readonly index: number; readonly message: string }[] {
  const first = new Map<string, number>();
  return policies.flatMap((policy, index) => {
    const text = selectorText(policy);
    const before = first.get(text);
    if (before === undefined) {
      first.set(text, index);
      return [];
    }
    return [{ index, message: `two policies select ${text}: the first one decides, and the other never would` }];
  });
}

function selectorProblems(policy: Policy): Problem[] {
  const problems: Problem[] = [];
  const complain = (key: keyof Policy, message: string, help: string) => problems.push({ path: [key], message, help });
  const { role, layers, experts, name, stored } = policy;
  if (SELECTOR_KEYS.every((key) => policy[key] === undefined)) {
    complain('use', 'a policy must say which tensors it is about', `It selects by ${SELECTOR_KEYS.join(', ')}; name=* is all of them.`);
  }
  for (const item of role === undefined ? [] : listItems(role)) {
    if (ROLE_NAMES.includes(item)) continue;
    if (item === 'scales' || FOLLOWING.some((following) => following === item)) {
      const help = 'Name the role of the weights: their scales go with them.';
      complain('role', `${item} cannot be treated apart from the weights that they belong to`, help);
    } else
      complain('role', `there is no role ${JSON.stringify(item)}${meant(item, ROLE_NAMES)}`, `The roles are ${ROLE_NAMES.join(', ')}.`);
  }
  for (const [key, value] of Object.entries({ layers, experts })) {
    for (const item of value === undefined ? [] : listItems(value)) {
      const range = parseRange(item);
      const help = 'Write numbers and ranges from 0, as 0-3|7; negative ones count from the end, as -1 or -4--1.';
      if (range === null) complain(key as 'layers', `${key} ${JSON.stringify(item)} is no number, and no range that runs upwards`, help);
    }
  }
  if (name !== undefined && (typeof name !== 'string' || name === '')) {
    complain(
      'name',
      `name must be a tensor's name, with * and ? for text that may be anything`,
      'As model.layers.0.*; the whole name must fit.',
    );
  }
  const dtypes = DTYPES.map((dtype) => dtype.name);
  for (const item of stored === undefined ? [] : listItems(stored)) {
    if (dtypes.some((dtype) => dtype === item.toUpperCase())) continue;
    complain('stored', `there is no dtype ${JSON.stringify(item)}${meant(item, dtypes)}`, `The dtypes are ${dtypes.join(', ')}.`);
  }
  return problems;
}

function treatmentProblems(policy: Policy): Problem[] {
  const problems: Problem[] = [];
  const complain = (key: keyof Policy, message: string, help: string) => problems.push({ path: [key], message, help });
  const { use, dtype, weights } = policy;
  const request = requestOf(policy);
  if (use === undefined && request === null && dtype === undefined) {
    complain('use', 'a policy must say what to do', `As use=${USES.join('|')}, a step, a method, weights, or a dtype.`);
  }
  if (use !== undefined && !isUse(use)) {
    const near = typeof use === 'string' ? meant(use, USES) : '';
    complain('use', `there is no use ${JSON.stringify(use)}${near}`, `It is one of ${USES.join(', ')}, or the step of a member.`);
  }
  if (request !== null && use !== undefined && use !== 'average') {
    const key = REQUEST_KEYS.find((k) => policy[k] !== undefined)!;
    complain(key, `${key} has no meaning with use=${use}, which averages nothing`, 'Leave one of the two out.');
  } else if (request !== null) {
    // Its keys have no dashes on the command line either.
    problems.push(...speaking('recipe', () => weightProblems(policy)));
  }
  if (weights !== undefined && (!Array.isArray(weights) || weights.length === 0 || !weights.every((weight) => Number.isFinite(weight)))) {
    complain(
      'weights',
      `weights must be finite numbers, not ${JSON.stringify(weights)}`,
      'One for each member, oldest first: weights=0.2,0.8.',
    );
  }
  if (dtype !== undefined && !OUTPUT_DTYPES.some((name) => name === dtype)) {
    complain(
      'dtype',
      `${JSON.stringify(dtype)} is no dtype to store in${meant(String(dtype), OUTPUT_DTYPES)}`,
      `It is one of ${OUTPUT_DTYPES.join(', ')}.`,
    );
  } else if (dtype !== undefined && use === 'drop') {
    complain('dtype', 'dtype has no meaning with use=drop', 'Leave one of the two out.');
  }
  return problems;
}

function isUse(use: unknown): use is Use {
  return typeof use === 'number' ? Number.isSafeInteger(use) && use >= 0 : USES.some((known) => known === use);
}

function meant(word: string, choices: readonly string[]): string {
  const near = didYouMean(word, choices);
  return near === null ? '' : `; did you mean ${near}?`;
}
