import { MergeError } from '../errors.ts';
import { readWhole } from './store.ts';

export interface TextLine {
  /** From 1. */
  readonly line: number;
  readonly text: string;
}

/** Far beyond any table of numbers that people write: somebody named a checkpoint. */
const LIMIT = 2 ** 26;

/**
 * The lines of a small text file, trimmed, without what stands behind `#` and without empty ones.
 * @throws MergeError E_NOT_FOUND; E_NOT_READABLE for what is no file, cannot be read or has more than 64 MiB
 */
export async function textLines(path: string): Promise<TextLine[]> {
  const text = await readText(path);
  return text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .map((content, i) => ({ line: i + 1, text: content.replace(/#.*/, '').trim() }))
    .filter(({ text }) => text !== '');
}

async function readText(path: string): Promise<string> {
  try {
    return (await readWhole(path, LIMIT)).toString();
  } catch (cause) {
    const { code, details: of, help } = cause as MergeError;
    if (of.errno === undefined) throw cause;
    const problem = code === 'E_NOT_FOUND' ? 'is not there' : `cannot be read (${of.errno})`;
    throw new MergeError(code, `${path} ${problem}`, { details: of, help, cause });
  }
}

/** A number with a slip in it, or a word that programs write for none. */
const NEARLY_NUMBER = /^[+-]?(?:[\d.][\d._]{0,15}[A-Za-z]{0,5}[+-]?\d{0,4}|nan|inf|infinity|none|null|[A-Za-z])$/i;

/**
 * How a message begins about what is no number in a line: `line 3: "0,5x"`. The file may be anybody's, named by
 * a recipe from a stranger, so nothing of it is shown but what is nearly a number.
 */
export function lineAndNumber(line: number, text: string): string {
  const cells = text.split(',').map((cell) => cell.trim());
  return cells.length <= 4 && cells.every((cell) => NEARLY_NUMBER.test(cell)) ? `line ${line}: ${JSON.stringify(text)}` : `line ${line}`;
}
