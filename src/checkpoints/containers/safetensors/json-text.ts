/**
 * Text that JSON writes as it is, between quotes: printable ASCII without quote and backslash. Nearly every
 * tensor name.
 */
const PLAIN = /^[ !#-[\]-~]*$/;

/**
 * A string as JSON, with the characters that need no escape left as they are; undefined for half of a
 * surrogate pair, which has no UTF-8 form.
 */
export function quoteUtf8(text: string): string | undefined {
  if (PLAIN.test(text)) return `"${text}"`;
  return /[\ud800-\udfff]/u.test(text) ? undefined : JSON.stringify(text);
}

/** A string as JSON in ASCII, as Python writes it by default. */
export function quoteAscii(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`;
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
