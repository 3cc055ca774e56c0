const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** A string (quotes included) or one of `{ } [ ] , :` of a JSON text, by its characters. */
export interface JsonToken {
  readonly start: number;
  readonly end: number;
}

/**
 * The strings and punctuation of a JSON text in order; numbers and words are passed over. One pass, whatever
 * the text holds. Of a text that ends inside a string, that string is the last token.
 */
export function* jsonTokens(text: string): Generator<JsonToken, void> {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) {
      const end = stringEnd(text, i);
      yield { start: i, end };
      i = end - 1;
    } else if (isPunctuation(code)) yield { start: i, end: i + 1 };
  }
}

/** Where the string that begins at `start` ends: behind its closing quote, or with the text. */
export function stringEnd(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) return i + 1;
    if (code === BACKSLASH) i++;
  }
  return text.length;
}

function isPunctuation(code: number): boolean {
  // { } [ ] , :
  return code === 0x7b || code === 0x7d || code === 0x5b || code === 0x5d || code === 0x2c || code === 0x3a;
}
