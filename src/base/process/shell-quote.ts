/** What would repaint a terminal, or turn the direction of its text; lines of a script stay lines. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are exactly what must not reach a terminal
const UNSHOWN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/**
 * Quotes a word for a POSIX shell, only where it needs it, so that a suggested command can be shown and pasted.
 * Characters that a terminal would obey are written as bash, zsh and ksh read them.
 */
export function shellQuote(word: string): string {
  if (word.search(UNSHOWN) >= 0) {
    const octal = (c: string) => [...Buffer.from(c)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
    return `$'${word.replace(/[\\']/g, '\\$&').replace(UNSHOWN, octal)}'`;
  }
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
