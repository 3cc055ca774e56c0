import { jsonTokens } from './tokens.ts';

/**
 * Keys that an object of a JSON text has twice, of which readers keep the last and say nothing: whoever wrote a score
 * by hand meant one of them. One pass over the text, which is JSON as a parser has found.
 */
export function keysTwice(text: string): readonly string[] {
  const open: Set<string>[] = [];
  const twice = new Set<string>();
  let written = '';
  for (const { start, end } of jsonTokens(text)) {
    switch (text[start]) {
      case '"':
        written = text.slice(start, end);
        break;
      case '{':
      case '[':
        open.push(new Set());
        break;
      case '}':
      case ']':
        open.pop();
        break;
      case ':': {
        // The same key may be written with and without escapes.
        const key = written.includes('\\') ? (JSON.parse(written) as string) : written.slice(1, -1);
        const keys = open.at(-1);
        if (keys?.has(key)) twice.add(key);
        keys?.add(key);
      }
    }
  }
  return [...twice];
}
