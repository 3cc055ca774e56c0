import { isUtf8 } from 'node:buffer';

/**
 * Bytes as text, without a byte order mark; null where they are no UTF-8. (A `TextDecoder` that refuses what
 * is none needs ICU, which Node can be built without.)
 */
export function utf8Text(bytes: Buffer): string | null {
  if (!isUtf8(bytes)) return null;
  const text = bytes.toString('utf8');
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}
