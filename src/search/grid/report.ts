import { MergeError } from '../../base/errors.ts';
import { readStudy, type StoredStudy } from '../study/read.ts';
import { gridScoresDocument } from './document.ts';
import { secondSet } from './second-set.ts';
import type { GridScores } from './types.ts';

/**
 * What the trials of a grid say: the document that it would end with now. Reads the file alone (and that of its
 * second set).
 *
 * @param path `trials.jsonl`, or the folder that it lies in
 * @throws MergeError E_NOT_FOUND, E_TRIALS (also where the trials are of a search), E_NOT_READABLE
 */
export async function readGridScores(path: string): Promise<GridScores> {
  const stored = await readStudy(path);
  if (stored.identity.kind !== 'grid') {
    throw new MergeError('E_TRIALS', `${path}: these are trials of a ${stored.identity.kind}, not of a grid`, { details: { file: path } });
  }
  return storedGridScores(stored);
}

/** @throws MergeError where the file of a second set cannot be read as one */
export async function storedGridScores({ folder, identity, trials, goal }: StoredStudy): Promise<GridScores> {
  return gridScoresDocument({ identity, goal, trials, validation: await secondSet(folder, identity, trials), reads: 0, warnings: [] });
}
