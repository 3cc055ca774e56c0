import { basename } from 'node:path';
import { mapBounded } from '../checkpoint/map-bounded.ts';
import { openCheckpoint } from '../checkpoint/open.ts';
import type { Checkpoint } from '../checkpoint/types.ts';
import { type DtypeName, dtypeByCode } from '../dtype.ts';
import { MergeError } from '../errors.ts';
import { HeaderCache } from '../safetensors/header-cache.ts';
import { positionFromName } from '../trajectory/names.ts';
import { readLog } from '../trajectory/states.ts';
import type { LogEntry, Run, RunCheckpoint } from '../trajectory/types.ts';

/** Checkpoints opened at a time. */
const OPEN_AT_ONCE = 8;

/**
 * Checkpoints that were named one by one as a run, so that a selection can be made among them. Nothing is left out: each was asked for by name.
 *
 * @throws MergeError E_ORDER where a step is unknown or two checkpoints are at the same place; what opening a checkpoint throws
 */
export async function checkpointsAsRun(paths: readonly string[], signal?: AbortSignal): Promise<Run> {
  const cache = new HeaderCache();
  const opened = await mapBounded(paths, OPEN_AT_ONCE, async (path) => {
    signal?.throwIfAborted();
    return openCheckpoint(path, { cache });
  });
  const checkpoints = opened.map(describe).sort(byPosition);
  for (const [i, checkpoint] of checkpoints.entries()) {
    if (checkpoint.step === null) {
      throw new MergeError('E_ORDER', `the step of ${checkpoint.path} is not known, so nothing can be selected by it`, {
        details: { file: checkpoint.path },
        help: 'Leave the selection out, or give the folder a name such as checkpoint-1000.',
      });
    }
    const before = checkpoints[i - 1];
    if (before !== undefined && byPosition(before, checkpoint) === 0) {
      throw new MergeError('E_ORDER', `${before.path} and ${checkpoint.path} are both step ${checkpoint.step}`, {
        details: { file: checkpoint.path },
      });
    }
  }
  const newest = opened.find(({ path }) => path === checkpoints.at(-1)?.path);
  const log = newest?.kind === 'folder' ? await readLog(newest.path) : [];
  return {
    path: paths[0] ?? '',
    checkpoints: checkpoints.map((checkpoint) => ({ ...checkpoint, ...logged(log, checkpoint.step!) })),
    excluded: [],
    log,
    warnings: [],
  };
}

function describe({ path, step, tokens, bytes, shards }: Checkpoint): RunCheckpoint {
  const name = basename(path).replace(/\.safetensors$/, '');
  const named = positionFromName(name);
  return {
    path,
    name,
    stage: named?.stage ?? null,
    ingredient: named?.ingredient ?? null,
    step,
    tokens,
    tokensFrom: tokens === null ? null : tokens === named?.tokens ? 'name' : 'state',
    bytes,
    dtypes: dtypesOf(shards),
    learningRate: null,
    loss: null,
  };
}

/** By bytes, most first. */
function dtypesOf(shards: Checkpoint['shards']): DtypeName[] {
  const bytes = new Map<DtypeName, number>();
  for (const { header } of shards) {
    const { dtypes, begin, end, count } = header.tensors;
    for (let row = 0; row < count; row++) {
      const { name } = dtypeByCode(dtypes[row]!);
      bytes.set(name, (bytes.get(name) ?? 0) + end[row]! - begin[row]!);
    }
  }
  return [...bytes].sort((a, b) => b[1] - a[1]).map(([name]) => name);
}

function byPosition(a: RunCheckpoint, b: RunCheckpoint): number {
  return (a.stage ?? -1) - (b.stage ?? -1) || (a.ingredient ?? -1) - (b.ingredient ?? -1) || (a.step ?? -1) - (b.step ?? -1);
}

/** What the log says at a step, or at the last line before it. */
function logged(log: readonly LogEntry[], step: number): Pick<RunCheckpoint, 'learningRate' | 'loss'> {
  const before = log.filter((entry) => entry.step <= step);
  return {
    learningRate: before.findLast((entry) => entry.learningRate !== null)?.learningRate ?? null,
    loss: before.findLast((entry) => entry.loss !== null)?.loss ?? null,
  };
}
