import { MergeError } from '../../base/errors.ts';
import { worded } from '../../base/option-words.ts';
import { launchedRank } from '../../base/process/rank.ts';

/**
 * A study is one process's: several that were started with one command would each make all of it.
 * @throws MergeError E_USAGE in one of several ranks
 */
export function refuseRanks(): void {
  const task = launchedRank(process.env);
  if (task === null) return;
  const { rank, size, launcher, single } = task;
  throw new MergeError(
    'E_USAGE',
    `this is rank ${rank} of ${size} (${launcher}), and one process makes a search, soup, forecast or scored grid`,
    {
      help: worded`Run it with \`${single}\`, and name with --launcher the command that starts the ranks of each merge, as 'srun -N ${size}'. It scores several models at a time with --parallel.`,
    },
  );
}
