import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { type Conflict, MergeError } from '../../base/errors.ts';
import { keysTwice } from '../../base/json/keys-twice.ts';
import { isJsonObject, parseJson } from '../../base/json/parse.ts';
import { refuse } from '../../base/problems.ts';
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
 *   a name twice; E_NOT_FOUND, E_NOT_READABLE
 */
export async function readWeightsFile(path: string): Promise<WeightsFile> {
  const text = await readYamlText(path, (what) => wrong(path, `${what}, so it is no file of weights`));
  const { data, twice } = /^\s*\{/.test(text) ? jsonMap(path, text) : await yamlMap(path, text);
  const problems = [...twice];
  if (!isJsonObject(data)) throw wrong(path, 'is no map of names to lists of weights');
  const entries = Object.entries(data);
  if (entries.length === 0) throw wrong(path, 'holds no weights');
  const members = entries.map(([, list]) => list).find(Array.isArray)?.length;
  const policies = entries.flatMap(([name, weights]): Policy[] => {
    if (name === '') problems.push('an entry has an empty name');
    else if (!Array.isArray(weights) || weights.length === 0 || !weights.every(Number.isFinite))
      problems.push(`${JSON.stringify(name)} has no list of finite numbers`);
    else if (weights.length !== members)
      problems.push(`${JSON.stringify(name)} has ${weights.length} weights, and ${JSON.stringify(entries[0]![0])} has ${members}`);
    else return [{ name, weights }];
    return [];
  });
  const conflicts = problems
    .slice(0, MOST_PROBLEMS)
    .map((message): Conflict => ({ code: 'E_WEIGHTS', message: `${path}: ${message}`, file: path }));
  refuse(conflicts, { several: (count) => `${path} has ${count} problems`, help: HELP });
  return { policies, recorded: { name: basename(path), digest: createHash('sha256').update(text).digest('hex'), groups: policies.length } };
}

function wrong(path: string, why: string): MergeError {
  return new MergeError('E_WEIGHTS', `${path} ${why}`, { details: { file: path }, help: HELP });
}

/** Keys of a JSON object with the text of each, of which the reader keeps the last of equal ones. */
function jsonMap(path: string, text: string): { data: unknown; twice: readonly string[] } {
  let data: unknown;
  try {
    data = parseJson(text);
  } catch (error) {
    if (error instanceof SyntaxError) throw wrong(path, `is torn, or no JSON: ${error.message}`);
    throw error;
  }
  return { data, twice: keysTwice(text).map((key) => `${JSON.stringify(key)} is there twice`) };
}

async function yamlMap(path: string, text: string): Promise<{ data: unknown; twice: readonly string[] }> {
  // The parser takes longer to load than most merges to plan.
  const { RecipeSource } = await import('./source.ts');
  const source = new RecipeSource(path, text, { noun: 'weights file', code: 'E_WEIGHTS' });
  source.refuse();
  return { data: source.data, twice: [] };
}
