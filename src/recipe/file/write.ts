import { parameterLabel } from '../schedule/parameters.ts';
import type { Recipe, RecipeOutput } from '../types.ts';
import { PATHS } from './spelling.ts';

/** What is said beside the entries of a recipe, as comments. */
export interface Remarks {
  /** Above everything, a line each. */
  readonly head?: readonly string[];
  /** Under the path of each output; null where there is nothing to say. */
  readonly outputs?: readonly (string | null)[];
}

/**
 * A recipe as the text of a recipe file: what {@link parseRecipe} makes of it is the same recipe. Paths are
 * written as they are, so they must be those that the file is to hold. Entries stand in the order of the
 * recipe's own keys, what takes several lines last.
 *
 * Not by the library that reads YAML: loading it takes longer than planning most merges, and every merge
 * writes a recipe.
 */
export function recipeYaml({ inputs, outputs, ...options }: Recipe, { head = [], outputs: said = [] }: Remarks = {}): string {
  return [
    ...head.map(comment),
    'inputs:',
    ...inputs.map((path) => `  - ${text(path, LEADS_UP)}`),
    ...entries(options),
    'outputs:',
    ...outputs.flatMap((output, k) => outputLines(output, said[k] ?? null)),
    '',
  ].join('\n');
}

function outputLines({ path, policies, ...output }: RecipeOutput, said: string | null): string[] {
  const lines = [
    ...(said === null ? [] : [comment(said)]),
    ...entries(output),
    ...(policies === undefined ? [] : policies.length === 0 ? ['policies: []'] : ['policies:', ...policies.map((p) => `  - ${flow(p)}`)]),
  ];
  return [`  - path: ${text(path, LEADS_UP)}`, ...lines.map((line) => `    ${line}`)];
}

function comment(text: string): string {
  return `# ${text}`;
}

/** An entry a line. */
function entries(map: object): string[] {
  return given(map).map(([key, value]) => {
    const label = parameterLabel(key);
    return `${label}: ${typeof value !== 'string' ? flow(value) : text(value, PATHS.has(label) ? LEADS_UP : PLAIN)}`;
  });
}

/** A value on one line: `{ role: router, layers: "0-3", weights: [0.5, 0.5] }`. */
function flow(value: unknown): string {
  if (typeof value === 'string') return text(value, WORD);
  if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return Object.is(value, -0) ? '-0' : String(value);
  const inner = given(value).map(([key, item]) => `${parameterLabel(key)}: ${flow(item)}`);
  return inner.length === 0 ? '{}' : `{ ${inner.join(', ')} }`;
}

function given(map: object): [string, unknown][] {
  return Object.entries(map).filter(([, value]) => value !== undefined);
}

const LEADS_UP = /^\.\.\/[\w./-]*$/;
const WORD = /^[A-Za-z]\w+$/;
/** Names of schedules and decays, and amounts: `ema-normalized`, `1-sqrt`, `2.5B`. */
const PLAIN = /^(?:[A-Za-z][\w-]+|\d+(?:\.\d+)?-?[A-Za-z]+)$/;
/** What YAML (1.1 or 1.2) takes for something else than text, though it looks like it. */
const OTHER = /^(?:true|false|null|yes|no|on|off|0x[\da-f]+)$/i;

/**
 * Text as YAML reads it back: plain where it cannot be anything but text, else quoted as in JSON, which is
 * YAML too.
 */
function text(value: string, plain: RegExp): string {
  return plain.test(value) && !OTHER.test(value) ? value : JSON.stringify(value);
}
