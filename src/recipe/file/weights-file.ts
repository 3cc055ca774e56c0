import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { type Conflict, MergeError } from '../../base/errors.ts';
import { keysTwice } from '../../base/json/keys-twice.ts';
import { isJsonObject, parseJson } from '../../base/json/parse.ts';
import { jsonTokens } from '../../base/json/tokens.ts';
import { refuse } from '../../base/problems.ts';
import { policyAt } from '../policy/label.ts';
import type { Policy } from '../policy/types.ts';
import { readYamlText } from './read.ts';

/** Weights of tensors by their names, as policies, and what records say of the file that they are from. */
export interface WeightsFile {
  readonly policies: readonly Policy[];
  readonly recorded: RecordedWeightsFile;
}

export interface RecordedWeightsFile {
  /** Its name without its folder. */
  readonly name: string;
  /** SHA-256 of its bytes. */
  readonly digest: string;
  /** Entries, each a policy. */
  readonly groups: number;
}

/** Problems that are told; who has more mends these first. */
const MOST_PROBLEMS = 50;
const HELP =
  'A weights file holds names of tensors, * and ? in them, each with a list of numbers, one a member: {"model.layers.0.*": [0.2, 0.8]}.';

/**
 * Reads a file of weights for single tensors: JSON or YAML, a map of names or patterns to lists of numbers. Each
 * entry is a policy `name=PATTERN:weights=…`, in the order of the file: the first that fits a tensor decides.
 *
 * @throws MergeError E_WEIGHTS with every problem: no map, no list of finite numbers, lists of different lengths,
 *   of zeros alone or without a finite sum, a name twice; E_NOT_FOUND, E_NOT_READABLE
 */
export async function readWeightsFile(path: string): Promise<WeightsFile> {
  const text = await readYamlText(path, (what) => wrong(path, `${what}, so it is no file of weights`));
  const { data, twice, lineOf } = /^\s*\{/.test(text) ? jsonMap(path, text) : await yamlMap(path, text);
  if (!isJsonObject(data)) throw wrong(path, 'is no map of names to lists of weights');
  const entries = Object.entries(data);
  if (entries.length === 0) throw wrong(path, 'holds no weights');
  const first = entries.find(([, list]) => Array.isArray(list));
  const members = (first?.[1] as readonly unknown[] | undefined)?.length;
  const quoted = (name: string) => JSON.stringify(name);
  const faultOf = ([name, weights]: readonly [string, unknown]): string | null => {
    if (name === '') return 'an entry has an empty name';
    if (!Array.isArray(weights) || weights.length === 0 || !weights.every(Number.isFinite))
      return `${quoted(name)} has no list of finite numbers`;
    if (weights.length !== members) return `${quoted(name)} has ${weights.length} weights, and ${quoted(first![0])} has ${members}`;
    if (weights.every((weight) => weight === 0)) return `the weights of ${quoted(name)} are all 0`;
    if (!Number.isFinite(weights.reduce((sum, weight) => sum + weight, 0))) return `the weights of ${quoted(name)} have no finite sum`;
    return null;
  };
  const conflict = (message: string): Conflict => ({ code: 'E_WEIGHTS', message: `${path}${message}`, file: path });
  const faults = entries.flatMap((entry) => {
    const fault = faultOf(entry);
    return fault === null ? [] : [{ fault, name: entry[0] }];
  });
  refuse(
    [
      ...twice.map((message) => conflict(`: ${message}`)),
      ...faults.slice(0, MOST_PROBLEMS).map(({ fault, name }) => conflict(`:${lineOf(name)}: ${fault}`)),
    ].slice(0, MOST_PROBLEMS),
    { several: (count) => `${path} has ${count} problems`, help: HELP },
  );
  const policies = entries.map(([name, weights]) =>
    policyAt({ name, weights: weights as readonly number[] }, { file: path, line: () => lineOf(name) }),
  );
  return { policies, recorded: { name: basename(path), digest: createHash('sha256').update(text).digest('hex'), groups: policies.length } };
}

function wrong(path: string, why: string): MergeError {
  return new MergeError('E_WEIGHTS', `${path} ${why}`, { details: { file: path }, help: HELP });
}

/** A map as data, keys that it has twice, of which the reader keeps the last, and the line of an entry. */
interface ReadMap {
  readonly data: unknown;
  readonly twice: readonly string[];
  lineOf(name: string): number;
}

function jsonMap(path: string, text: string): ReadMap {
  let data: unknown;
  try {
    data = parseJson(text);
  } catch (error) {
    if (error instanceof SyntaxError) throw wrong(path, `is torn, or no JSON: ${error.message}`);
    throw error;
  }
  let lines: ReadonlyMap<string, number> | undefined;
  return {
    data,
    twice: keysTwice(text).map((key) => `${JSON.stringify(key)} is there twice`),
    lineOf: (name) => {
      lines ??= linesOfKeys(text);
      return lines.get(name) ?? 1;
    },
  };
}

/** The lines of the keys of a JSON object, those inside of its values not among them. */
function linesOfKeys(text: string): Map<string, number> {
  const found = new Map<string, number>();
  let [depth, line, counted] = [0, 1, 0];
  let last = { start: 0, end: 0 };
  for (const token of jsonTokens(text)) {
    const character = text[token.start]!;
    if (character === '{' || character === '[') depth++;
    else if (character === '}' || character === ']') depth--;
    else if (character === ':' && depth === 1) {
      for (; counted < last.start; counted++) if (text[counted] === '\n') line++;
      found.set(JSON.parse(text.slice(last.start, last.end)) as string, line);
    }
    last = token;
  }
  return found;
}

async function yamlMap(path: string, text: string): Promise<ReadMap> {
  // The parser takes longer to load than most merges to plan.
  const { RecipeSource } = await import('./source.ts');
  const source = new RecipeSource(path, text, { noun: 'weights file', code: 'E_WEIGHTS' });
  source.refuse();
  return { data: source.data, twice: [], lineOf: (name) => source.lineOf([name]) };
}
