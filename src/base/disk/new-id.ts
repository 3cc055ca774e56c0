import { randomBytes } from 'node:crypto';

/** A random id, of letters and digits that every file system keeps apart. */
export function newId(): string {
  return randomBytes(6).toString('hex');
}
