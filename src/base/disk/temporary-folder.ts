import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MergeError } from '../errors.ts';
import { toMergeError } from './io-error.ts';

/**
 * Makes a folder that nobody else can look into, for what is removed again (`removeTree`).
 * @param start of its name @throws the errno of mkdir(2)
 */
export function temporaryFolder(parent: string, start: string): Promise<string> {
  return mkdtemp(join(parent, start));
}

/**
 * The same in the system's temporary folder.
 * @throws MergeError of the side of outputs that says how another one is named
 */
export async function systemTemporaryFolder(start: string): Promise<string> {
  const parent = tmpdir();
  try {
    return await temporaryFolder(parent, start);
  } catch (error) {
    const { code, message, details } = toMergeError(error, { action: 'make a folder in', file: parent, side: 'output' });
    throw new MergeError(code, message, { details, help: 'Set TMPDIR to a folder that you may write to.', cause: error });
  }
}
