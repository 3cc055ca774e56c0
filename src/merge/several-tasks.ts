import { setTimeout as sleep } from 'node:timers/promises';
import { MergeError, type Warning } from '../base/errors.ts';
import type { LaunchedTask } from '../base/process/launched-task.ts';
import type { MergeEvent } from './engine/events.ts';
import { resumptions } from './engine/resumption.ts';
import type { Plan } from './plan/types.ts';

/** How long a task looks for another one that makes the same merge, milliseconds, and how often. */
const LOOK_FOR_MS = 3000;
const PAUSE_MS = 500;

export interface TaskTools {
  /** The plan as it would be with `resume`: outputs that are there are left out. */
  readonly plan: () => Promise<Plan>;
  readonly signal: AbortSignal | undefined;
}

/**
 * For one of several tasks that a launcher started with one command (`srun -n4 merge …`): the first one makes
 * the merge, and the others wait for it, so that none undoes what another did, and the job does not fail.
 * Tasks that make merges of their own (a sweep) find nothing to wait for, and begin.
 *
 * @returns the plan of what is left to this task: of no outputs where another one made them
 * @throws MergeError E_BUSY where the other task ended without its output; `signal.reason` when aborted
 */
export async function* planOfTask(task: LaunchedTask, { plan, signal }: TaskTools): AsyncGenerator<MergeEvent, Plan> {
  let own = await plan();
  const until = performance.now() + LOOK_FOR_MS;
  let said = false;
  const warning = severalTasks(task);
  if (own.outputs.length === 0) yield { type: 'warning', warning };
  while (own.outputs.length > 0) {
    const waits = (await resumptions(own)).some(({ what }) => what === 'wait');
    if (waits && !said) yield { type: 'warning', warning };
    said ||= waits;
    if (!waits && performance.now() > until) break;
    if (!waits && said) {
      own = await plan();
      if (own.outputs.length === 0) break;
      throw new MergeError('E_BUSY', `the task that made ${own.outputs[0]!.path} ended without it`, {
        details: { file: own.outputs[0]!.path },
        help: `See what it said. Run it with ${task.single}: one process makes a merge.`,
      });
    }
    await sleep(PAUSE_MS, undefined, { ...(signal === undefined ? {} : { signal }) }).catch(() => signal?.throwIfAborted());
  }
  return own;
}

/**
 * Holds back what a merge says before its work begins: a task that finds out there that another one has done
 * it merges nothing.
 */
export async function* onceAtWork<T>(events: AsyncGenerator<MergeEvent, T>): AsyncGenerator<MergeEvent, T> {
  const held: MergeEvent[] = [];
  let working = false;
  try {
    for (;;) {
      const { done, value } = await events.next();
      working ||= done === true || !['plan', 'warning'].includes(value.type);
      if (working) yield* held.splice(0);
      if (done) return value;
      if (working) yield value;
      else held.push(value);
    }
  } finally {
    await events.return(undefined as never);
  }
}

/** What a task says that does nothing. */
export function severalTasks({ launcher, single, rank, size }: LaunchedTask): Warning {
  const message =
    `this is task ${rank} of the ${size} that ${launcher} started, and another one makes, or made, this very merge: ` +
    `this one waits for it and does nothing. Run it with ${single}`;
  return { code: 'W_SEVERAL_TASKS', message };
}
