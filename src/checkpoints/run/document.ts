import type { DtypeName } from '../../base/dtype.ts';
import type { Warning } from '../../base/errors.ts';
import type { Moment, Position } from '../types.ts';
import { branchWarnings } from './branches.ts';
import type { Run } from './types.ts';

/** A checkpoint in what `merge ls --json` prints; null is unknown. */
export interface ListedCheckpoint extends Moment, Position {
  /** Path of its run, as given. */
  readonly run: string;
  readonly bytes: number | null;
  readonly dtypes: readonly DtypeName[] | null;
  readonly complete: boolean;
  /** Why it is left out; null where it is not. */
  readonly reason: string | null;
  readonly loss: number | null;
  readonly evalLoss: number | null;
  readonly learningRate: number | null;
  /** Other metrics by name, logged since the checkpoint before; absent where there are none. */
  readonly metrics?: Readonly<Record<string, number>>;
}

/** What `merge ls --json` prints. */
export interface RunDocument {
  readonly schema: 'ckpt-merge/ls';
  readonly version: 1;
  /** The run; null where several were asked for. */
  readonly run: string | null;
  readonly runs: readonly string[];
  /** Run by run: the complete ones in order, then what is left out. */
  readonly checkpoints: readonly ListedCheckpoint[];
  readonly warnings: readonly Warning[];
}

/** What there is to say of a run, whatever is chosen of it. */
export function runWarnings({ checkpoints, abandoned, warnings }: Run): Warning[] {
  return [...branchWarnings(checkpoints, abandoned), ...warnings];
}

/** Runs as plain JSON. */
export function runDocument(runs: readonly Run[]): RunDocument {
  return {
    schema: 'ckpt-merge/ls',
    version: 1,
    run: runs.length === 1 ? runs[0]!.path : null,
    runs: runs.map(({ path }) => path),
    checkpoints: runs.flatMap(listed),
    warnings: runs.flatMap(runWarnings),
  };
}

function listed(run: Run): ListedCheckpoint[] {
  const unknown = {
    tokens: null,
    stage: null,
    ingredient: null,
    bytes: null,
    dtypes: null,
    loss: null,
    evalLoss: null,
    learningRate: null,
  };
  return [
    ...run.checkpoints.map(({ path, epoch, step, tokens, stage, ingredient, bytes, dtypes, loss, evalLoss, learningRate, metrics }) => {
      return {
        run: run.path,
        path,
        ...(epoch !== undefined && { epoch }),
        step,
        tokens,
        stage,
        ingredient,
        bytes,
        dtypes,
        complete: true,
        reason: null,
        loss,
        evalLoss,
        learningRate,
        ...(metrics !== undefined && Object.keys(metrics).length > 0 && { metrics }),
      };
    }),
    ...run.excluded.map(({ path, step, reason }) => ({ ...unknown, run: run.path, path, step, complete: false, reason })),
  ];
}
