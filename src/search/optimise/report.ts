import { join } from 'node:path';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { readStudy, type StoredStudy } from '../study/read.ts';
import { searchDocument } from './document.ts';
import { REFERENCE_RECIPE } from './files.ts';
import type { SearchDocument } from './types.ts';
import { storedValidation } from './validation.ts';

/**
 * What the trials of a search or a soup say: the document that it would end with now. Reads the file alone
 * (and that of its validation).
 *
 * @param path `trials.jsonl`, or the folder that it lies in
 * @throws MergeError E_NOT_FOUND, E_TRIALS (also where the trials are of a forecast), E_NOT_READABLE
 */
export async function readSearch(path: string): Promise<SearchDocument> {
  const stored = await readStudy(path);
  const { kind } = stored.identity;
  if (kind === 'forecast' || kind === 'grid') {
    throw new MergeError('E_TRIALS', `${path}: these are trials of a ${kind}, not of a search`, { details: { file: path } });
  }
  return storedSearch(stored);
}

/** @throws MergeError where the file of a validation cannot be read as one */
export async function storedSearch({ folder, identity, trials, goal }: StoredStudy): Promise<SearchDocument> {
  return searchDocument({
    identity,
    goal,
    trials,
    validation: await storedValidation(folder, identity, trials),
    ended: 'trials',
    folder,
    reference: (await SYSTEM.fs.lstat(join(folder, REFERENCE_RECIPE)).catch(() => null)) !== null,
    output: null,
    merges: { merges: 0, reads: 0 },
    warnings: [],
  });
}
