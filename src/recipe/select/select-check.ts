import { MergeError } from '../../base/errors.ts';
import { MOST } from '../../base/limits.ts';
import { optionName } from '../../base/option-words.ts';
import { parseDistance, parseQuantity } from '../../checkpoints/run/quantity.ts';
import { scoredProblems, topOf } from './scored.ts';
import type { Selection } from './types.ts';

/** Conditions that leave nothing to choose, or choose in another way, and their reason. */
const EXCLUSIVE: readonly (readonly [key: keyof Selection, others: readonly (keyof Selection)[], why: string])[] = [
  ['steps', ['last', 'every', 'minInterval', 'from', 'to', 'before', 'beforeSpike'], 'steps are members one by one'],
  ['every', ['minInterval'], 'both say how far apart members are'],
  ['members', ['eachIngredient'], 'scores go by the steps of one training'],
  ['eachIngredient', ['last', 'every', 'minInterval'], 'each ingredient gives one member'],
];

/**
 * What is wrong with a selection before any run is looked at, a line each: values that cannot be, and
 * conditions that contradict each other.
 * @param runs how many runs it is for: several are siblings
 */
export function selectionProblems(selection: Selection, runs: number): string[] {
  const { last, minMembers, stage, steps, eachIngredient, beforeSpike, margin } = selection;
  const given = (key: keyof Selection) => selection[key] !== undefined;
  const problems = [
    ...whole('last', last, 1, MOST.count),
    ...whole('minMembers', minMembers, 1, MOST.count),
    ...whole('stage', stage, 0, MOST.count),
    ...(steps ?? []).flatMap((step) => whole('steps', step, 0, MOST.whole)),
    ...(beforeSpike === 'auto' ? [] : whole('beforeSpike', beforeSpike, 0, MOST.whole, 'auto or ')),
    ...amounts(selection),
    ...scoredProblems(selection, runs),
  ];
  for (const [key, others, why] of EXCLUSIVE) {
    const clashing = given(key) ? others.filter(given) : [];
    if (clashing.length > 0)
      problems.push(`${optionName(key)} cannot be used together with ${clashing.map(optionName).join(', ')}: ${why}`);
  }
  if (steps?.length === 0) problems.push(`${optionName('steps')} names no step`);
  const twice = steps?.find((step, i) => steps.indexOf(step) < i);
  if (twice !== undefined) problems.push(`${optionName('steps')} names ${twice} twice`);
  if (eachIngredient !== undefined && eachIngredient !== 'last')
    problems.push(`${optionName('eachIngredient')} takes last, not '${eachIngredient}'`);
  if (margin !== undefined && beforeSpike === undefined)
    problems.push(`${optionName('margin')} has a meaning only with ${optionName('beforeSpike')}`);
  if (last !== undefined && minMembers !== undefined && minMembers > last) {
    problems.push(`${optionName('minMembers')} ${minMembers} cannot be reached with ${optionName('last')} ${last}`);
  }
  const best = topOf(selection.members);
  if (best !== null && minMembers !== undefined && minMembers > best)
    problems.push(`${optionName('minMembers')} ${minMembers} cannot be reached with ${optionName('members')} top:${best}`);
  if (runs > 1 || eachIngredient !== undefined) problems.push(...siblingProblems(selection, runs));
  return problems;
}

function siblingProblems({ steps, last, every, minInterval, beforeSpike, eachIngredient }: Selection, runs: number): string[] {
  const problems: string[] = [];
  const counting = Object.entries({ last, every, minInterval }).filter(([, value]) => value !== undefined);
  if (runs > 1 && eachIngredient === undefined) {
    for (const [key] of counting)
      problems.push(`${optionName(key)} has no meaning over ${runs} runs: they are siblings, and each gives one member`);
  }
  if ((steps?.length ?? 0) > 1)
    problems.push(`${optionName('steps')} may name one step only where every run or ingredient gives one member`);
  if (beforeSpike === 'auto')
    problems.push(`${optionName('beforeSpike')} auto looks at one log: give the step where there are several runs or ingredients`);
  return problems;
}

function amounts(selection: Selection): string[] {
  const problems: string[] = [];
  for (const key of ['every', 'minInterval'] as const)
    problems.push(...complaints(selection[key], (text) => parseDistance(text, optionName(key))));
  problems.push(...complaints(selection.margin, (text) => parseQuantity(text, optionName('margin'))));
  for (const key of ['from', 'to', 'before'] as const) {
    problems.push(
      ...complaints(selection[key], (text) => {
        const { unit } = parseQuantity(text, optionName(key));
        if (unit === 'checkpoints') throw new MergeError('E_OPTION', `${optionName(key)} takes a step or a token count, not ${text}`);
      }),
    );
  }
  if (problems.length > 0 || selection.from === undefined) return problems;
  const from = parseQuantity(selection.from, 'from');
  for (const key of ['to', 'before'] as const) {
    if (selection[key] === undefined) continue;
    const end = parseQuantity(selection[key], key);
    const empty = key === 'to' ? from.value > end.value : from.value >= end.value;
    if (from.unit === end.unit && empty)
      problems.push(`nothing lies from ${selection.from} on and ${key === 'to' ? 'up to' : 'before'} ${selection[key]}`);
  }
  return problems;
}

function complaints<T>(value: T | undefined, parse: (value: T) => unknown): string[] {
  if (value === undefined) return [];
  try {
    parse(value);
    return [];
  } catch (error) {
    if (!(error instanceof MergeError)) throw error;
    return [error.message];
  }
}

function whole(name: string, value: number | undefined, least: number, most: number, or = ''): string[] {
  if (value === undefined || (Number.isSafeInteger(value) && value >= least && value <= most)) return [];
  const upTo = value > most ? ` and at most ${most}` : '';
  return [`${optionName(name)} takes ${or}a whole number of at least ${least}${upTo}, not ${value}`];
}
