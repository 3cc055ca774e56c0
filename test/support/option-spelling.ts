import { readFileSync } from 'node:fs';

/** Names of options of two words, as docs/cli.md has them: those of one are words of prose, too. */
const LONG = new Set(
  [...readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8').matchAll(/--(?!no-)([a-z]+(?:-[a-z]+)+)/g)].map((m) => m[1]!),
);
const BARE = new RegExp(`(?<![-\\w=])(?:${[...LONG].join('|')})(?![-\\w=.])`, 'g');
/** A method of that name, and the measure that an option of that name takes. */
const PROSE = /^(lr-curve|half-life)$/;
/** An option as the command line has it. */
export const DASHED = /(?<![\w-])--([a-z][a-z\d]*(?:-[a-z\d]+)*)(?![\w-])/g;
/** The same as properties of the library. */
const PROPERTIES = new Set([...LONG].map((name) => name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())));

/** Options of two words that a text names without their dashes, as a recipe has them. */
export function withoutDashes(text: string): string[] {
  const plain = text.replace(/`[^`]*`/g, '').replaceAll(DASHED, '');
  return [...plain.matchAll(BARE)].map(([name]) => name).filter((name) => !PROSE.test(name));
}

/** Options of two words that a text names as properties of the library. */
export function asProperties(text: string): string[] {
  return [...text.matchAll(/\b[a-z]+(?:[A-Z][a-z]+)+\b/g)].map(([name]) => name).filter((name) => PROPERTIES.has(name));
}
