import { worded } from '../../base/option-words.ts';
import { launchedTask } from '../../base/process/launched-task.ts';

/**
 * What to do where another process works, or worked, on the same search, and a launcher started several with
 * one command; null where it started one.
 */
export function helpForTasks(): string | null {
  const task = launchedTask(process.env);
  if (task === null) return null;
  const { launcher, single, rank, size } = task;
  return (
    `This is task ${rank} of the ${size} that ${launcher} started with one command, and one process makes a search: run it ` +
    worded`with \`${single}\`. It scores several models at a time with --parallel.`
  );
}
