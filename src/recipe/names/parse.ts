import { createHash } from 'node:crypto';
import { didYouMean } from '../../base/did-you-mean.ts';
import { type Problem, pathText } from '../../base/problems.ts';
import { AxesFault, parseAxes, parseTaken } from '../../model/names/axes.ts';
import { holesOf, patternFault } from '../../model/names/pattern.ts';
import type { Axes, NamedTarget, NameRule, NamesTable, TakenRange } from '../../model/names/types.ts';
import { ask, explainIssues } from '../file/issues.ts';
import { RecipeSource } from '../file/source.ts';
import { type NamesFile, namesSchema } from './schema.ts';

const KEYS = {
  file: ['models', 'sizes', 'rules'],
  rule: ['from', 'drop', 'axes', 'to', 'optional', 'models'],
  target: ['name', 'axes', 'take'],
} as const;

type Place = Problem['path'];
type RuleOfFile = NamesFile['rules'][number];
type TargetOfFile = Exclude<NonNullable<RuleOfFile['to']>, readonly unknown[]>;

/**
 * The text of a names file as a table.
 * @param file its path, for messages
 * @param name what provenance calls it
 * @throws MergeError E_NAMES with every problem in `details.conflicts`, each with line, column and the line
 */
export function parseNames(file: string, text: string, name: string): NamesTable {
  const source = new RecipeSource(file, text, { noun: 'names file', code: 'E_NAMES' });
  if (source.data === undefined) source.refuse();
  const { data, error } = namesSchema.safeParse(source.data);
  const problems = explainIssues(error?.issues ?? [], source.data, {
    whole: 'a names file',
    name: (path) => pathText(path),
    unknownKey: (key, path) => `unknown key \`${key}\`${advice(key, path)}`,
    quoted: (path) => source.quoted(path),
  });
  for (const problem of problems) source.complain(problem);
  source.refuse();
  const { models, sizes = {}, rules } = data as NamesFile;
  const table = {
    name,
    ...(models !== undefined && { models }),
    sizes: new Map(Object.entries(sizes)),
    rules: rules.map((rule, i) => ruleOf(rule, ['rules', i], (problem) => source.complain(problem))),
    content: source.data,
    digest: createHash('sha256').update(text).digest('hex'),
  };
  for (const problem of togetherProblems(table)) source.complain(problem);
  source.refuse();
  return table;
}

function advice(key: string, path: Place): string {
  const level = path.length === 0 ? 'file' : path.includes('to') ? 'target' : 'rule';
  const near = didYouMean(key, KEYS[level]);
  return near === null ? `; known here: ${KEYS[level].join(', ')}` : `; ${ask(near)}`;
}

function listOf<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? value : [value as T];
}

function ruleOf(rule: RuleOfFile, path: Place, complain: (problem: Problem) => void): NameRule {
  const { from, drop, to, optional = false, models } = rule;
  if ((from === undefined) === (drop === undefined)) {
    complain({ path, message: from === undefined ? 'a rule needs `from`, or `drop`' : '`from` and `drop` are two ways of one rule' });
  }
  if (drop !== undefined && (to !== undefined || rule.axes !== undefined))
    complain({ path: [...path, 'drop'], message: '`drop` makes nothing: `to` and `axes` do not go with it' });
  if (from !== undefined && to === undefined)
    complain({ path: [...path, 'from'], message: '`to` is missing: what the tensor is called there' });
  const key = from === undefined ? 'drop' : 'from';
  const names = listOf(from ?? drop ?? []);
  for (const [i, name] of names.entries()) {
    const fault = patternFault(name);
    if (fault !== null) complain({ path: Array.isArray(rule[key]) ? [...path, key, i] : [...path, key], message: `\`${name}\` ${fault}` });
  }
  const holes = holesOf(names[0] ?? '');
  for (const [i, name] of names.entries()) {
    if (holesOf(name).toSorted().join() !== holes.toSorted().join())
      complain({ path: [...path, key, i], message: `\`${name}\` has other holes than \`${names[0]}\`` });
  }
  const axes = attempt([...path, 'axes'], complain, () => (rule.axes === undefined ? undefined : parseAxes(rule.axes)));
  const targets = to === undefined ? [] : listOf(to as TargetOfFile | readonly TargetOfFile[]);
  return {
    from: names,
    ...(axes !== undefined && { axes }),
    to: targets.map((target, i) =>
      targetOf(target, { holes, axes, path: Array.isArray(to) ? [...path, 'to', i] : [...path, 'to'], complain }),
    ),
    // What is dropped need not be there.
    optional: drop === undefined ? optional : true,
    ...(models !== undefined && { models }),
  };
}

interface TargetPlace {
  readonly holes: readonly string[];
  readonly axes: Axes | undefined;
  readonly path: Place;
  readonly complain: (problem: Problem) => void;
}

function targetOf(given: TargetOfFile, { holes, axes: source, path, complain }: TargetPlace): NamedTarget {
  const target = typeof given === 'string' ? { name: given } : given;
  const at = (key: string): Place => (typeof given === 'string' ? path : [...path, key]);
  const fault = patternFault(target.name) ?? nameFault(target.name);
  if (fault !== null) complain({ path: at('name'), message: `\`${target.name}\` ${fault}` });
  const axes = attempt(at('axes'), complain, () => (target.axes === undefined ? undefined : parseAxes(target.axes)));
  const take = new Map<string, TakenRange>();
  for (const [axis, value] of Object.entries(target.take ?? {})) {
    const taken = attempt([...at('take'), axis], complain, () => parseTaken(value));
    if (taken !== undefined) take.set(axis, taken);
  }
  const own = source?.flat().map(({ name }) => name) ?? [];
  const unknown = [...take.keys()].find((axis) => !own.includes(axis));
  if (unknown !== undefined) complain({ path: at('take'), message: `the tensor has no axis ${unknown}; ${ownText(own)}` });
  const free = holesOf(target.name).filter((hole) => !holes.includes(hole));
  const loose = free.find((hole) => !own.includes(hole));
  if (loose !== undefined)
    complain({
      path: at('name'),
      message: `nothing says what {${loose}} is: it is no hole of \`from\` and no axis of the tensor; ${ownText(own)}`,
    });
  const stacked = holes.filter((hole) => !holesOf(target.name).includes(hole));
  const gone = new Set([...free, ...[...take].flatMap(([axis, { single }]) => (single ? [axis] : []))]);
  const kept = own.filter((axis) => !gone.has(axis));
  const wanted = [...kept, ...stacked].toSorted();
  const ordered = axes?.flat().map(({ name }) => name) ?? kept;
  if (ordered.toSorted().join() !== wanted.join() && loose === undefined && unknown === undefined) {
    const message =
      axes === undefined
        ? `{${stacked.join('} and {')}} is in \`from\` alone: several tensors would be one; name it as an axis in \`axes\` here`
        : `the axes here are ${ordered.join(', ')}, and of the tensor there are ${wanted.join(', ') || 'none'}`;
    complain({ path: at('axes'), message });
  } else if (source !== undefined && source.length > 1) {
    // Runs of bytes may move, single elements may not.
    const inner = source.at(-1)!.at(-1)!.name;
    const last = (axes ?? source).at(-1)!.at(-1)!.name;
    if (last !== inner || gone.has(inner)) {
      complain({
        path: at('axes'),
        message: `${inner} is the innermost axis of the tensor and must stay that: a matrix that is transposed has all its elements in other places, which is no arrangement of rows`,
      });
    }
  }
  return { name: target.name, ...(axes !== undefined && { axes }), take };
}

function ownText(axes: readonly string[]): string {
  return axes.length === 0 ? '`axes` names none' : `\`axes\` names ${axes.join(', ')}`;
}

/** Names that a safetensors file cannot have. */
function nameFault(name: string): string | null {
  if (name === '__metadata__') return 'is the name of something else in a safetensors file';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
  return /[\u0000-\u001f\u007f]|^\s|\s$/.test(name) || /[\ud800-\udfff]/u.test(name)
    ? 'is no name of a tensor: it has a control character, or space around it'
    : null;
}

function attempt<T>(path: Place, complain: (problem: Problem) => void, parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof AxesFault)) throw error;
    complain({ path, message: `it ${error.message}` });
    return undefined;
  }
}

/** Two rules for one name, of which the second would never be asked. */
function togetherProblems({ rules }: NamesTable): Problem[] {
  const seen = new Map<string, number>();
  const problems: Problem[] = [];
  for (const [i, { from, models }] of rules.entries()) {
    for (const name of from) {
      const key = `${name.replace(/\{\w+\}/g, '{}')} ${models?.join() ?? ''}`;
      const before = seen.get(key);
      if (before === undefined) seen.set(key, i);
      else problems.push({ path: ['rules', i], message: `rule ${before + 1} is about \`${name}\`, too, and the first that fits decides` });
    }
  }
  return problems;
}
