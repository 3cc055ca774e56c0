import type { Axes, NamedAxis, SizeWord, TakenRange } from './types.ts';

const WORD = /^[a-z][a-z0-9_]*$/;
/** Most axes of a tensor: a real one has five. */
const MOST_AXES = 12;

/** What is wrong with a text of a names file, as half a sentence. */
export class AxesFault extends Error {}

/**
 * `(head pair half=2) in`: dimensions outermost first, of several axes in brackets.
 * @throws AxesFault
 */
export function parseAxes(text: string): Axes {
  const tokens = text.match(/[()]|[^\s()]+/g) ?? [];
  const dimensions: NamedAxis[][] = [];
  let open: NamedAxis[] | null = null;
  for (const token of tokens) {
    if (token === '(') {
      if (open !== null) throw new AxesFault('has a bracket inside a bracket');
      open = [];
    } else if (token === ')') {
      if (open === null || open.length === 0)
        throw new AxesFault(open === null ? 'closes a bracket that is not open' : 'has an empty bracket');
      dimensions.push(open);
      open = null;
    } else if (open === null) dimensions.push([parseAxis(token)]);
    else open.push(parseAxis(token));
  }
  if (open !== null) throw new AxesFault('has a bracket that is not closed');
  const names = dimensions.flat().map(({ name }) => name);
  if (names.length === 0) throw new AxesFault('names no axis');
  if (names.length > MOST_AXES) throw new AxesFault(`names ${names.length} axes, and at most ${MOST_AXES} make sense`);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new AxesFault(`names the axis ${twice} twice`);
  return dimensions;
}

function parseAxis(token: string): NamedAxis {
  const [name = '', size, ...more] = token.split('=');
  if (!WORD.test(name) || more.length > 0)
    throw new AxesFault(`has '${token}', which is no axis: a word of small letters, as head or head=8`);
  return size === undefined ? { name } : { name, size: parseSize(size, token) };
}

function parseSize(text: string, token: string): SizeWord {
  if (WORD.test(text)) return text;
  if (!/^[1-9]\d{0,11}$/.test(text)) throw new AxesFault(`has '${token}', whose size is neither a number from 1 on nor a word`);
  return Number(text);
}

/**
 * `-1`, `:vocab_size`, `1:3`: what is taken of an axis.
 * @throws AxesFault
 */
export function parseTaken(given: string | number): TakenRange {
  if (typeof given === 'number') {
    if (!Number.isSafeInteger(given)) throw new AxesFault(`takes ${given}, which is no whole number`);
    return { from: given, to: null, single: true };
  }
  const [from = '', to, ...more] = given.split(':').map((part) => part.trim());
  if (more.length > 0 || given.trim() === '') throw new AxesFault(`takes '${given}', which is no index and no range as 0:2`);
  const bound = (text: string): SizeWord | null => {
    if (text === '') return null;
    if (WORD.test(text)) return text;
    if (!/^-?\d{1,12}$/.test(text)) throw new AxesFault(`takes '${given}', which is no index and no range as 0:2`);
    return Number(text);
  };
  return { from: bound(from), to: to === undefined ? null : bound(to), single: to === undefined };
}
