/** A test of one character (code point). */
export type CharacterTest = (character: string) => boolean;

/** A part of a pattern: one character, or `*` for any number of them. */
export type GlobPart = CharacterTest | '*';

/**
 * Whether a text is what the parts say, from its first character to its last. Takes at most text times parts
 * steps, where a regular expression with many `.*` would take a power of the text's length.
 */
export function globMatches(parts: readonly GlobPart[], text: string): boolean {
  const characters = [...text];
  let [at, part] = [0, 0];
  // Where to go on when what follows the last `*` does not fit: it then takes one character more.
  let [star, taken] = [-1, 0];
  while (at < characters.length) {
    const here = parts[part];
    if (here === '*') [star, taken] = [part++, at];
    else if (here?.(characters[at]!)) [at, part] = [at + 1, part + 1];
    else if (star < 0) return false;
    else [at, part] = [++taken, star + 1];
  }
  while (parts[part] === '*') part++;
  return part === parts.length;
}

/** The parts of a pattern of characters, `?` for any one and `*` for any number. */
export function globParts(glob: string): GlobPart[] {
  return [...glob].map((part) => (part === '*' ? part : part === '?' ? () => true : (character) => character === part));
}
