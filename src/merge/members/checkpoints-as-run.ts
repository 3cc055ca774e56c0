import { MergeError } from '../../base/errors.ts';
import { mapBounded } from '../../base/map-bounded.ts';
import { OpenCache } from '../../checkpoints/containers/open-cache.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import { placeOfMerge } from '../../checkpoints/own-record.ts';
import { checkpointName, withSiblings } from '../../checkpoints/position.ts';
import { abandonedBranch } from '../../checkpoints/run/branches.ts';
import { describe } from '../../checkpoints/run/examine.ts';
import { loggedAt, logOf } from '../../checkpoints/run/log.ts';
import { comparePositions, samePosition } from '../../checkpoints/run/position.ts';
import type { Run } from '../../checkpoints/run/types.ts';

/** Checkpoints opened at a time. */
const OPEN_AT_ONCE = 8;

/** Checkpoints that were named one by one, as a run. */
interface NamedAsRun {
  readonly run: Run;
  /** Where each lies, by the path that was given: the folder of a step may hold it deeper. */
  readonly paths: ReadonlyMap<string, string>;
}

/**
 * Checkpoints that were named one by one as a run, so that a selection can be made among them. Nothing is
 * left out: each was asked for by name.
 *
 * @throws MergeError E_ORDER where a step is unknown or two checkpoints are at the same place; what opening a
 *   checkpoint throws
 */
export async function checkpointsAsRun(paths: readonly string[], signal?: AbortSignal): Promise<NamedAsRun> {
  const cache = new OpenCache();
  const opened = await mapBounded(paths, OPEN_AT_ONCE, async (path) => {
    signal?.throwIfAborted();
    const checkpoint = await openCheckpoint(path, { cache });
    return describe({ ...checkpoint, ...(await placeOfMerge(checkpoint)) }, checkpointName(checkpoint.path));
  });
  const found = new Map(paths.map((path, i) => [path, opened[i]!.path]));
  const checkpoints = withSiblings(opened, ({ path }) => path).toSorted(comparePositions);
  for (const [i, checkpoint] of checkpoints.entries()) {
    if (checkpoint.step === null) {
      throw new MergeError('E_ORDER', `the step of ${checkpoint.path} is not known, so the inputs cannot be looked at as a run`, {
        details: { file: checkpoint.path },
        help: 'Leave out what is about runs (selections, token counts), or give the folder a name such as checkpoint-1000.',
      });
    }
    const before = checkpoints[i - 1];
    if (before !== undefined && samePosition(before, checkpoint)) {
      throw new MergeError('E_ORDER', `${before.path} and ${checkpoint.path} are both step ${checkpoint.step}`, {
        details: { file: checkpoint.path },
      });
    }
  }
  const log = await logOf(checkpoints);
  const run = {
    path: paths[0]!,
    checkpoints: checkpoints.map((checkpoint) => ({ ...checkpoint, ...loggedAt(log, checkpoint.step) })),
    excluded: [],
    broken: [],
    abandoned: await abandonedBranch(checkpoints),
    log,
    warnings: [],
  };
  return { run, paths: found };
}
