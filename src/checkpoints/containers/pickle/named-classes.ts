import type { Global } from './values.ts';

/** The variable that names further classes: objects of them are passed over, with all that is in them. */
export const CLASSES = 'CKPT_MERGE_CLASSES';

/** What the variable has to say for one more name: what it says already goes before it. */
export function withNamed(name: string, variables: Readonly<Record<string, string | undefined>> = process.env): string {
  return [...namesIn(variables), name].join(',');
}

function namesIn(variables: Readonly<Record<string, string | undefined>>): string[] {
  return (variables[CLASSES] ?? '').split(',').flatMap((name) => (name.trim() === '' ? [] : [name.trim()]));
}

/**
 * The classes and functions that whoever runs this program lets a pickle name, as
 * `omegaconf.*,mylib.args.Args`: full names, with commas between, `*` for any text. A variable and no option,
 * as it changes no byte of a merge: it decides only which files are read, in every command and whatever
 * starts it.
 */
export function namedClasses(variables: Readonly<Record<string, string | undefined>> = process.env): (global: Global) => boolean {
  const names = namesIn(variables);
  if (names.length === 0) return () => false;
  const patterns = names.map((name) => name.split('*'));
  return ({ path }) => patterns.some((pattern) => fits(path, pattern));
}

/**
 * Whether a text is these parts with any text between them. No regular expression: the variable may be of any
 * length.
 */
function fits(text: string, [first = '', ...others]: readonly string[]): boolean {
  const last = others.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const part of others) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}
