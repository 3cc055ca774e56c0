import type { z } from 'zod';
import { didYouMean } from '../../base/did-you-mean.ts';
import type { Problem } from '../../base/problems.ts';

/** Who has more faults mends these first: each takes a look at all names that may be meant. */
const MOST_EXPLAINED = 200;

export type Path = Problem['path'];
type Issue = z.core.$ZodIssue;

/** How a kind of file speaks of what is wrong in it. */
export interface IssueWords {
  /** What it is as a whole, as `a recipe`. */
  readonly whole: string;
  /** An entry, as messages name it. */
  readonly name: (path: Path) => string;
  /** The message about a key that is not known at `path`. */
  readonly unknownKey: (key: string, path: Path) => string;
  /** A value as messages quote it; null where it is not worth it. */
  readonly quoted: (path: Path, value: unknown) => string | null;
  /** Whether it is told otherwise that nothing is at `path`. */
  readonly excused?: (path: Path) => boolean;
}

/** What a schema finds wrong with data, in words, each where it is. */
export function explainIssues(issues: readonly Issue[], data: unknown, words: IssueWords): Problem[] {
  return issues.slice(0, MOST_EXPLAINED).flatMap((issue) => explain(issue, data, words, []));
}

function explain(issue: Issue, data: unknown, words: IssueWords, above: Path): Problem[] {
  const path = [...above, ...(issue.path as Path)];
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.slice(0, MOST_EXPLAINED).map((key) => ({ path: [...path, key], message: words.unknownKey(key, path), atKey: true }));
  }
  const value = valueAt(data, path);
  const name = `\`${words.name(path)}\``;
  if (path.length > 0 && value === undefined) return words.excused?.(path) ? [] : [{ path, message: `${name} is missing` }];
  if (path.length > 0 && value === null) return [{ path, message: `${name} is empty` }];
  const within = meant(issue);
  if (within !== null) return within.flatMap((inner) => explain(inner, data, words, path));
  // What the parsers of amounts say names the entry already.
  if (issue.code === 'custom') return [{ path, message: issue.message }];
  const quoted = words.quoted(path, value);
  const near = issue.code === 'invalid_value' && typeof value === 'string' ? didYouMean(value, issue.values.map(String)) : null;
  const subject = path.length === 0 ? words.whole : name;
  return [
    { path, message: `${subject} ${issue.message}${quoted === null ? '' : `, not ${quoted}`}${near === null ? '' : `; ${ask(near)}`}` },
  ];
}

/**
 * Of a value that may be one thing or another, what is wrong with it as the one that it is meant as: a map
 * with one bad entry is meant as a map, and a list as a list, which says more than what the alternatives are.
 */
function meant(issue: Issue): readonly Issue[] | null {
  if (issue.code !== 'invalid_union') return null;
  for (const branch of issue.errors) {
    const [only, ...others] = branch;
    const within = others.length === 0 ? meant(only!) : null;
    if (within !== null) return within;
    if (branch.every((inner) => inner.path.length > 0 || inner.code === 'unrecognized_keys')) return branch;
  }
  return null;
}

/** `did you mean X?`, as all messages about files ask it. */
export function ask(near: string): string {
  return `did you mean \`${near}\`?`;
}

/**
 * A copy of data in which lists and maps that a schema refuses are null, for looks at the rest: they take text
 * and numbers of a wrong kind, and anything may be in a map.
 */
export function withoutFaults(issues: readonly Issue[], data: unknown): unknown {
  const copy = structuredClone(data);
  for (const { code, path } of issues) {
    if (code === 'unrecognized_keys') continue;
    const above = valueAt(copy, path.slice(0, -1) as Path);
    const last = path.at(-1);
    if (last === undefined) return null;
    if (typeof above !== 'object' || above === null || !Object.hasOwn(above, last)) continue;
    const entries = above as Record<PropertyKey, unknown>;
    if (typeof entries[last] === 'object') entries[last] = null;
  }
  return copy;
}

export function valueAt(data: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<string | number, unknown> | null | undefined)?.[key], data);
}
