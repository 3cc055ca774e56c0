/** What would repaint a terminal, or turn the direction of its text; lines of a script stay lines. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are exactly what must not reach a terminal
const UNSHOWN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+/g;

/**
 * Quotes a word for every POSIX shell (`sh` may be dash, which has no `$'…'`), only where it needs it, so that it can
 * be shown, pasted, and written into a script. Characters that a terminal would obey are made by `printf` in their
 * place, of octal digits alone.
 */
export function shellQuote(word: string): string {
  if (word === '') return "''";
  // A shell takes a leading = for the path of a command (zsh).
  if (/^[\w@%+:,./-][\w@%+=:,./-]*$/.test(word)) return word;
  const special = [...word.matchAll(UNSHOWN)].map(([found]) => `"$(printf '${octal(found)}')"`);
  const plain = word.split(UNSHOWN).map((text) => (text === '' ? '' : `'${text.replaceAll("'", `'\\''`)}'`));
  // No newline is among what printf makes, which $( ) would take from its end.
  return plain.map((text, i) => `${text}${special[i] ?? ''}`).join('');
}

function octal(text: string): string {
  return [...Buffer.from(text)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
}
