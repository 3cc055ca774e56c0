import { MergeError } from '../../base/errors.ts';
import { launchedRank } from '../../base/process/rank.ts';

/**
 * A study is one process's: several that were started with one command would each make all of it.
 * @throws MergeError E_USAGE in one of several ranks
 */
export function refuseRanks(): void {
  const task = launchedRank(process.env);
  if (task === null) return;
  const { rank, size, launcher, single } = task;
  throw new MergeError('E_USAGE', `this is rank ${rank} of ${size} (${launcher}), and one process makes a search`, {
    help: `Run it with \`${single}\`. It scores several models at a time with --parallel.`,
  });
}
