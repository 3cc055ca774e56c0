import { createHash } from 'node:crypto';

/** The first twelve hex digits of a text's SHA-256: enough to tell apart what has a name in one folder. */
export function shortDigest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}
