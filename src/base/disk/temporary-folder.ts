import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Makes a folder that nobody else can look into, for what is removed again (`removeTree`).
 * @param start of its name @throws the errno of mkdir(2)
 */
export function temporaryFolder(parent: string, start: string): Promise<string> {
  return mkdtemp(join(parent, start));
}
