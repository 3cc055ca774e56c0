import { dirname, join } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { storeOf } from '../../base/store/store.ts';
import { UNSAID } from '../../checkpoints/results/goal.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import { foundTrials, Records } from './records.ts';
import { readTrials, type StoredTrials, storedGoal, TRIALS_FILE } from './trials-file.ts';

/** What a folder of a study holds. */
export interface StoredStudy extends StoredTrials {
  readonly folder: string;
  /** What the files of the folder say of it: paths there are seen from the folder. */
  readonly written: StoredTrials;
  readonly goal: Goal;
}

/**
 * Reads the trials of a study; neither checkpoints nor the evaluator are needed, and a study that is under
 * way is not disturbed.
 * @param path `trials.jsonl`, or the folder that it lies in
 * @throws MergeError E_NOT_FOUND, E_TRIALS, E_NOT_READABLE
 */
export async function readStudy(path: string): Promise<StoredStudy> {
  const found = await storeOf(path)
    .stat(path)
    .catch(() => null);
  const folder = found?.kind === 'folder' ? path : dirname(path);
  const file = folder === path ? join(path, TRIALS_FILE) : path;
  const stored = await readTrials(file);
  if (stored === null) {
    throw new MergeError('E_NOT_FOUND', `${file}: there are no trials`, {
      details: { file },
      help: 'Name the trials.jsonl of a search, a soup, a forecast or a scored grid, or its folder. Of scores that another pipeline gave there are none: the same command makes the page again.',
    });
  }
  if (stored.identity.kind === 'routers') {
    throw new MergeError('E_TRIALS', `${file}: it is of merge routers, whose report says more than trials can`, {
      details: { file },
      help: 'Run merge routers again.',
    });
  }
  const records = new Records(folder, stored.identity, { stored: true });
  const written = { identity: records.identity(stored.identity), trials: stored.trials.map((trial) => records.trial(trial)) };
  return { ...foundTrials(folder, stored), folder, written, goal: storedGoal(stored) ?? UNSAID };
}
