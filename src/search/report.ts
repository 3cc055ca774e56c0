import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { MergeError } from '../errors.ts';
import { readTrials, TRIALS_FILE } from '../study/trials-file.ts';
import type { Goal } from '../study/types.ts';
import { searchDocument } from './document.ts';
import type { SearchDocument } from './types.ts';
import { storedValidation } from './validation.ts';

/**
 * What the trials of a search say: the document that it would end with now. Reads the file alone (and that of its validation): neither checkpoints nor the evaluator are
 * needed, and a search that is under way is not disturbed.
 *
 * @param path `trials.jsonl`, or the folder that it lies in
 * @throws MergeError E_NOT_FOUND, E_TRIALS, E_NOT_READABLE
 */
export async function readSearch(path: string): Promise<SearchDocument> {
  const folder = (await stat(path).catch(() => null))?.isDirectory() ? path : dirname(path);
  const file = folder === path ? join(path, TRIALS_FILE) : path;
  const stored = await readTrials(file);
  if (stored === null) {
    throw new MergeError('E_NOT_FOUND', `${file}: there are no trials`, {
      details: { file },
      help: 'Name the trials.jsonl of a search, or its folder.',
    });
  }
  const { identity, trials } = stored;
  const told = trials.find(({ higherIsBetter, score }) => score !== null && higherIsBetter !== null)?.higherIsBetter ?? null;
  const goal: Goal | null = identity.goal ?? (told === null ? null : told ? 'maximize' : 'minimize');
  return searchDocument({
    identity,
    goal,
    trials,
    validation: await storedValidation(folder, identity, trials),
    ended: 'trials',
    folder,
    output: null,
    merges: { merges: 0, reads: 0 },
    warnings: [],
  });
}
