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
 * The classes and functions that whoever runs this program lets a pickle name, as `omegaconf.*,mylib.args.Args`:
 * full names, with commas between, `*` for any text. A variable and no option, as it changes no byte of a merge:
 * it decides only which files are read, in every command and whatever starts it.
 */
export function namedClasses(variables: Readonly<Record<string, string | undefined>> = process.env): (global: Global) => boolean {
  const names = namesIn(variables);
  if (names.length === 0) return () => false;
  const escaped = names.map((name) => name.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`).replaceAll('*', '.*'));
  const pattern = new RegExp(`^(?:${escaped.join('|')})$`);
  return ({ path }) => pattern.test(path);
}
