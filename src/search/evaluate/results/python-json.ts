/**
 * A string, or one of the three words that Python writes for floats that JSON has none for. Strings come
 * first, so that words in them are left alone.
 */
const STRING_OR_WORD = /"[^"\\]*(?:\\.[^"\\]*)*"|\bNaN\b|\bInfinity\b/gs;

/**
 * JSON as Python's `json.dumps` writes it: with bare `NaN`, `Infinity` and `-Infinity`. All three are read as
 * a number that is not finite (`NaN` as infinity: JSON text has no spelling that JavaScript would read as
 * NaN), so that they cannot be taken for a score and do not hide the numbers beside them.
 * @returns undefined for what is no JSON
 */
export function parsePythonJson(text: string): unknown {
  for (const attempt of [text, text.replace(STRING_OR_WORD, (found) => (found.startsWith('"') ? found : '1e999'))]) {
    try {
      return JSON.parse(attempt);
    } catch {
      // The second attempt follows, or what is here is no JSON.
    }
  }
  return undefined;
}
