import { didYouMean } from '../../base/did-you-mean.ts';
import { optionName, optionWith } from '../../base/option-words.ts';
import { type Problem, pathText } from '../../base/problems.ts';
import { ask, explainIssues, type Path, withoutFaults } from '../../recipe/file/issues.ts';
import { ROLE_NAMES } from '../../recipe/policy/roles.ts';
import { pairwiseProblems } from './pairwise.ts';
import type { SpaceRequest } from './request.ts';
import { defaultSchedule } from './schedule.ts';
import { scheduleProblems } from './schedule-check.ts';
import { spaceSchema } from './schema.ts';
import { weightsProblems } from './weights.ts';

/** Entries that only some spaces have. */
const ENTRIES = {
  pairwise: ['alpha', 'separate'],
  weights: ['separate'],
  schedule: ['parameters', 'fixed', 'roles'],
} as const satisfies Readonly<Record<SpaceRequest['space'], readonly string[]>>;

/**
 * All that is wrong with a space that is asked for over a pool of so many checkpoints. @param data of any
 * form @param inFile whether its entries stand in a file; else they are options
 */
export function spaceProblems(data: unknown, pool: number, { inFile }: { readonly inFile: boolean }): Problem[] {
  const issues = spaceSchema.safeParse(data).error?.issues ?? [];
  const problems = explainIssues(issues, data, {
    whole: 'a search space',
    name: pathText,
    unknownKey,
    quoted: (_, value) => (typeof value === 'object' ? null : (JSON.stringify(value)?.slice(0, 40) ?? String(value))),
  });
  const sound = withoutFaults(issues, data);
  const request = (typeof sound === 'object' && sound !== null ? sound : {}) as SpaceRequest;
  // What else is wrong depends on which space it is.
  if (!Object.hasOwn(ENTRIES, request.space) || Array.isArray(data)) return problems;
  const own: readonly string[] = ENTRIES[request.space];
  const wrong = issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path],
  );
  const faulty = (place: Path) => wrong.some((at) => place.every((key, i) => at[i] === key));
  for (const key of new Set(Object.values(ENTRIES).flat())) {
    if (own.includes(key) || request[key] === undefined) continue;
    const owners = (Object.keys(ENTRIES) as SpaceRequest['space'][]).filter((space) => (ENTRIES[space] as readonly string[]).includes(key));
    const there = inFile ? 'there' : `in the file of such a space (${optionWith('space', 'FILE')})`;
    const instead = key === 'separate' ? `; roles of their own stand under \`roles\` ${there}` : '';
    problems.push({
      path: [key],
      message: `${inFile ? `\`${key}\`` : optionName(key)} has no meaning for ${request.space}, it belongs to ${owners.join(' and ')}${instead}`,
      atKey: true,
    });
  }
  return [...problems, ...valueProblems(request, pool, faulty)];
}

function valueProblems(request: SpaceRequest, pool: number, faulty: (path: Path) => boolean): Problem[] {
  const { space, alpha, separate } = request;
  const sound = { ...(faulty(['alpha']) ? {} : { alpha }), ...(faulty(['separate']) ? {} : { separate }) };
  if (space === 'pairwise') return pairwiseProblems(pool, sound);
  if (space === 'weights') return weightsProblems(pool, sound);
  const given = ENTRIES.schedule.filter((key) => request[key] !== undefined);
  if (given.length === 0) return scheduleProblems(defaultSchedule(pool), pool);
  const levels = Object.fromEntries(given.map((key) => [key, mapOf(request[key])]));
  const roles = Object.entries(mapOf(request.roles)).filter(([role]) => ROLE_NAMES.includes(role));
  return scheduleProblems({ ...levels, roles: Object.fromEntries(roles.map(([role, own]) => [role, mapOf(own)])) }, pool, faulty);
}

/** What is no map is told as such, and has no entries to look at. */
function mapOf(value: unknown): object {
  return typeof value === 'object' && value !== null ? value : {};
}

function unknownKey(key: string, path: Path): string {
  const known = keysAt(path);
  const near = didYouMean(key, known);
  const what =
    path.length === 0 ? 'entry' : path.length === 1 && path[0] === 'roles' ? 'role' : known.includes('window') ? 'parameter' : 'entry';
  const advice = near === null ? `known here: ${known.join(', ')}` : ask(near);
  return `\`${pathText([...path, key])}\`: there is no such ${what}; ${advice}`;
}

/** Keys that are known at a level of the file. */
function keysAt(path: Path): readonly string[] {
  const shape = spaceSchema.shape;
  if (path.length === 0) return Object.keys(shape);
  if (path[0] === 'roles' && path.length === 1) return Object.keys(shape.roles.unwrap().shape);
  if (path.length === (path[0] === 'roles' ? 2 : 1)) return Object.keys(shape.parameters.unwrap().shape);
  return ['from', 'to', 'log'];
}
