import { didYouMean } from '../base/did-you-mean.ts';
import { optionName, spokenTo } from '../base/option-words.ts';
import { type Problem, refuse } from '../base/problems.ts';
import { LAUNCH, MACHINE, type Option, OUTPUT, POLICY, PUBLICATION, RANKS, RECIPE, SCORED, SELECT, TRUST } from './options.ts';

/** What a value of the library is, where no table of options says it. */
type Shape =
  /**
   * `inputs`: paths, which may carry weights; `command`: text, words or a function; `anything`: looked at by
   * whoever takes it.
   */
  | { readonly kind: 'inputs' | 'paths' | 'texts' | 'command' | 'function' | 'anything' }
  /** An object of options, or a list of them. */
  | { readonly kind: 'map' | 'maps'; readonly of: Names };

/** An option that a call of the library takes. */
type Entry = (Shape | Pick<Option, 'kind' | 'choices'>) & { readonly needed?: true };

type Names = Readonly<Record<string, Entry>>;

/** An entry for every option of T. */
export type Taken<T> = { readonly [Name in keyof T]-?: Entry };

/** Which checkpoints, as an option of the library. */
export const SELECTION = { kind: 'map', of: { ...SELECT, ...SCORED } } as const satisfies Entry;
const POLICIES = { kind: 'maps', of: POLICY } as const satisfies Entry;

/** What a recipe's output has beside its path, and all that a recipe has beside inputs and outputs. */
export const OF_OUTPUT = { ...OUTPUT, select: SELECTION, policies: POLICIES } as const;
const OUTPUTS: Entry = { kind: 'maps', of: { path: { kind: 'path', needed: true }, ...OF_OUTPUT }, needed: true };
export const OF_RECIPE: Names = { inputs: { kind: 'paths', needed: true }, outputs: OUTPUTS, ...RECIPE };

/** How merges are carried out, by the names that the library has for it. */
export const OF_MACHINE = {
  ...MACHINE,
  ...TRUST,
  ...PUBLICATION,
  ...RANKS,
  ...LAUNCH,
  keep: { kind: 'flag' },
  unitBytes: { kind: 'bytes' },
  sync: { kind: 'flag' },
  outside: { kind: 'anything' },
  tuning: { kind: 'anything' },
} as const satisfies Names;

/** What stands beside the options of a call, and not among them. */
const OF_CALLS = ['signal', 'onProgress', 'onEvent'];

/**
 * Refuses options of a library call that it does not know, that it lacks, or whose values are of another
 * kind: the command line and recipes refuse them too. Numbers may be out of their range, and policies wrong
 * in themselves: that is said by whoever takes them.
 * @param call the name of the function @throws MergeError E_OPTION with every problem
 */
export function checkGiven(call: string, given: unknown, known: Names): void {
  refuse(mapProblems(given, known, call, []), {
    several: (count) => `${count} things are wrong with the options${spokenTo().who === 'library' ? ` of ${call}()` : ''}`,
  });
}

/** Refuses what is no path, where a function takes one. @throws MergeError E_OPTION */
export function checkPathGiven(call: string, path: unknown): asserts path is string {
  if (typeof path === 'string' && path !== '') return;
  refuse([{ path: [], message: `${call}() needs the path of a checkpoint, not ${quoted(path)}`, help: `As ${call}('merged').` }], NONE);
}

const NONE = { several: String };

/** An option's name in backquotes, where no dashes tell it from the words around it. */
function named(name: string): string {
  const word = optionName(name);
  return word.startsWith('--') ? word : `\`${word}\``;
}

function mapProblems(given: unknown, known: Names, whole: string, path: Problem['path']): Problem[] {
  const needed = Object.keys(known).filter((name) => known[name]!.needed);
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    const entries = (needed.length > 0 ? needed : Object.keys(known).slice(0, 2)).map(named).join(' and ');
    return [{ path, message: `${path.length === 0 ? `${whole}()` : whole} takes an object with ${entries}, not ${quoted(given)}` }];
  }
  const values = given as Readonly<Record<string, unknown>>;
  const missing = needed
    .filter((name) => values[name] === undefined)
    .map((name) => ({
      path: [...path, name],
      message: `${named(name)} is missing${path.length > 0 ? ` in ${whole}` : spokenTo().who === 'library' ? `: ${whole}() needs it` : ''}`,
    }));
  return [
    ...missing,
    ...Object.keys(values).flatMap((name) => {
      const value = values[name];
      // Who computes options gives `undefined` for those that are not wanted.
      if (value === undefined) return [];
      if (!Object.hasOwn(known, name))
        return [{ path: [...path, name], message: `unknown option \`${name}\`${advice(name, known, path)}` }];
      return valueProblems(value, known[name]!, name, [...path, name]);
    }),
  ];
}

function valueProblems(value: unknown, entry: Entry, name: string, path: Problem['path']): Problem[] {
  if (entry.kind === 'map') return mapProblems(value, entry.of, named(name), path);
  if (entry.kind === 'maps') {
    if (!Array.isArray(value) || value.length === 0) {
      return Array.isArray(value) && !entry.needed
        ? []
        : [{ path, message: `${named(name)} must be a list of objects, not ${quoted(value)}` }];
    }
    return value.flatMap((item, i) => mapProblems(item, entry.of, `item ${i + 1} of ${named(name)}`, [...path, i]));
  }
  const wanted = WANTED[entry.kind](value, 'choices' in entry ? (entry.choices ?? []) : []);
  if (wanted === null) return [];
  const near = 'choices' in entry && typeof value === 'string' ? didYouMean(value, entry.choices ?? []) : null;
  return [{ path, message: `${named(name)} must be ${wanted}, not ${quoted(value)}${near === null ? '' : `; did you mean ${near}?`}` }];
}

type Kind = Exclude<Entry['kind'], 'map' | 'maps'>;
type Check = (value: unknown, choices: readonly string[]) => string | null;

const isText = (value: unknown): value is string => typeof value === 'string';
const isPath = (value: unknown) => isText(value) && value !== '';
const isNumber = (value: unknown) => typeof value === 'number';
const listOf = (fits: (item: unknown) => boolean) => (value: unknown) => Array.isArray(value) && value.every(fits);
const isInput = (value: unknown) =>
  isPath(value) ||
  (typeof value === 'object' && value !== null && 'path' in value && isPath(value.path) && 'weight' in value && isNumber(value.weight));

/** What a value must be, as half a sentence, where it does not fit. */
const must =
  (wanted: string, ...fits: readonly ((value: unknown) => boolean)[]): Check =>
  (value) =>
    fits.some((right) => right(value)) ? null : wanted;

const amount = must('an amount such as 8B (tokens), 1000steps or a number', isText, isNumber);
const number = must('a number', isNumber);
const path = must('a path', isPath);
const wordOrStep = must('a word, or the step of a member', isText, isNumber);

const WANTED: Readonly<Record<Kind, Check>> = {
  flag: must('true or false', (value) => typeof value === 'boolean'),
  choice: (value, choices) => (choices.some((choice) => choice === value) ? null : `one of ${choices.join(', ')}`),
  text: must('text', isText),
  path,
  file: path,
  names: must('hf or the path of a names file', isPath),
  number,
  time: must('a number of seconds', isNumber),
  integer: number,
  count: must('a whole number', isNumber),
  index: must('a whole number', isNumber),
  bytes: must('a number of bytes', isNumber),
  rate: must('a number of bytes a second', isNumber),
  distance: amount,
  point: amount,
  quantity: amount,
  tokens: amount,
  size: must('a size such as 5GB, or a number of bytes', isText, isNumber),
  steps: must('a list of steps', listOf(isNumber)),
  // What they are is said of each by its place.
  weights: must('a list of numbers', Array.isArray),
  spike: must('auto or the step of the spike', isText, isNumber),
  router: wordOrStep,
  use: wordOrStep,
  words: must('text or a list of texts', isText, listOf(isText)),
  ranges: must(
    'numbers and ranges, as 0-3|7',
    isText,
    isNumber,
    listOf((item) => isText(item) || isNumber(item)),
  ),
  policies: must('a list of objects', Array.isArray),
  inputs: must('a list of paths, or of { path, weight }', listOf(isInput)),
  paths: must('a list of paths', listOf(isPath)),
  texts: must('a list of texts', listOf(isText)),
  command: must(
    'a command, a list of its words, or a function',
    isPath,
    (value) => typeof value === 'function',
    (value) => listOf(isText)(value) && (value as unknown[]).length > 0,
  ),
  function: must('a function', (value) => typeof value === 'function'),
  anything: () => null,
};

/**
 * What to do about an option that is not known: the place where it is, or the known one that it looks like.
 */
function advice(name: string, known: Names, path: Problem['path']): string {
  const names = Object.keys(known);
  if (path.length === 0 && OF_CALLS.includes(name)) return `; \`${name}\` belongs in the second argument`;
  for (const [inner, entry] of Object.entries(known)) {
    if (entry.kind !== 'map' && entry.kind !== 'maps') continue;
    const place = entry.kind === 'map' ? named(inner) : `an item of ${named(inner)}`;
    if (Object.hasOwn(entry.of, name)) return `; \`${name}\` belongs in ${place}`;
  }
  const near = didYouMean(name, names);
  return near === null ? `; known here: ${names.join(', ')}` : `; did you mean \`${near}\`?`;
}

function quoted(value: unknown): string {
  if (typeof value === 'function') return 'a function';
  if (value === undefined || typeof value === 'number' || typeof value === 'bigint') return String(value);
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
