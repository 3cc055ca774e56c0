import { isThere } from '../../base/disk/own-file.ts';
import { MergeError } from '../../base/errors.ts';
import { parseWeight } from './values.ts';

/** An input as the command line gives it. */
export interface InputArgument {
  readonly path: string;
  readonly weight: number | null;
}

/**
 * Numbers, and words that only a mistaken weight looks like: `:nan` and `:inf` must be refused as weights,
 * not looked for as files.
 */
const WEIGHTED = /^(.+):([+-]?(?:\d[\w.+-]*|\.\d[\w.+-]*|nan|inf|infinity))$/is;

/**
 * Splits `PATH:WEIGHT`. What exists as written is a path (a folder named `step:100`); otherwise a number
 * after the last colon is a weight.
 * @throws MergeError E_WEIGHTS for a weight that is not a finite number.
 */
export function parseInput(text: string, exists: (path: string) => boolean = isThere): InputArgument {
  if (text === '') throw new MergeError('E_USAGE', 'an input is an empty word', { help: 'Is a shell variable unset?' });
  const match = WEIGHTED.exec(text);
  if (match === null || exists(text)) return { path: text, weight: null };
  return { path: match[1]!, weight: parseWeight(match[2]!, `the weight of ${match[1]}`) };
}

/**
 * All inputs of a command, as the library takes them: either every input carries a weight or none does.
 * @throws MergeError E_USAGE when only some do, or when `--weights` is given as well.
 */
export function parseInputs(
  texts: readonly string[],
  weightsGiven: boolean,
  exists?: (path: string) => boolean,
): readonly (string | { readonly path: string; readonly weight: number })[] {
  const inputs = texts.map((text) => parseInput(text, exists));
  const without = inputs.find((input) => input.weight === null);
  const weighted = inputs.find((input) => input.weight !== null);
  if (weighted === undefined) return inputs.map((input) => input.path);
  if (weightsGiven) {
    throw new MergeError('E_USAGE', `both --weights and ${weighted.path}:${weighted.weight} give weights`, { help: 'Use one of the two.' });
  }
  if (without !== undefined) {
    throw new MergeError('E_USAGE', `${weighted.path} carries a weight (${weighted.weight}) but ${without.path} carries none`, {
      help: 'Write PATH:WEIGHT for every input or for none.',
    });
  }
  return inputs.map(({ path, weight }) => ({ path, weight: weight! }));
}
