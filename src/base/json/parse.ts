import { PythonParser } from './python-parser.ts';
import { stringEnd } from './tokens.ts';

/**
 * Deepest nesting that is read, far beyond any document of ours or a harness's: what walks a document calls
 * itself, and a file of brackets is not to exhaust the stack.
 */
export const MOST_NESTED = 256;

/**
 * JSON, strictly (RFC 8259); of equal keys the last counts, and `__proto__` is a key like others.
 * @throws SyntaxError for what is no JSON, or is nested too deeply; it quotes nothing of the text
 */
export function parseJson(text: string): unknown {
  survey(text);
  return parsed(text);
}

/**
 * JSON as Python's `json` module writes and reads it: as {@link parseJson}, and with bare `NaN`, `Infinity`
 * and `-Infinity`, which become these numbers.
 * @throws SyntaxError for what is no JSON, or is nested too deeply; it quotes nothing of the text
 */
export function parsePythonJson(text: string): unknown {
  return survey(text).words ? new PythonParser(text).document() : parsed(text);
}

/** As {@link parsePythonJson}, and undefined for what that refuses. */
export function pythonJsonOrNone(text: string): unknown {
  try {
    return parsePythonJson(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

export type JsonObject = Readonly<Record<string, unknown>>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * V8 quotes the text in its messages. They end up in warnings and in what is published of a merge, and the
 * file may be a link that somebody else laid to a private one.
 */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const position = /at position \d+/.exec((error as Error).message)?.[0];
    throw new SyntaxError(position === undefined ? 'it is not valid JSON' : `it is not valid JSON ${position}`);
  }
}

/** One pass over a text. @returns whether `N` or `I` stands outside its strings: no JSON has them there */
function survey(text: string): { readonly words: boolean } {
  let depth = 0;
  let words = false;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22: // "
        i = stringEnd(text, i) - 1;
        break;
      case 0x5b: // [
      case 0x7b: // {
        if (++depth > MOST_NESTED) throw new SyntaxError(`it is nested more than ${MOST_NESTED} deep`);
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
        break;
      case 0x4e: // N
      case 0x49: // I
        words = true;
        break;
    }
  }
  return { words };
}
