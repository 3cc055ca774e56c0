/**
 * Text in lines of at most `width` characters, broken at spaces, but not before `%` and `±`; a longer word,
 * as a path, stays whole. Lines after the first are indented.
 */
export function wrap(text: string, width: number, indent = ''): string[] {
  const lines: string[] = [];
  for (const word of text.split(/ (?![%±])/)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`${last === undefined ? '' : indent}${word}`);
  }
  return lines;
}
