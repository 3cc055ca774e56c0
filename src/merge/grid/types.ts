import type { Warning } from '../../base/errors.ts';
import type { BrokenCheckpoint, Run } from '../../checkpoints/run/types.ts';
import type { ArmAxes, Grid, GridArm, LeftArm } from '../../recipe/grid/types.ts';
import type { ParameterValue } from '../../recipe/schedule/types.ts';
import type { MemberReport } from '../../recipe/select/types.ts';
import type { MergeEvent } from '../engine/events.ts';
import type { MergedMember } from '../plan/types.ts';
import type { MachineOptions } from '../run.ts';

/** A grid, where its merges go, and how the machine is used. */
export interface GridOptions extends Grid, MachineOptions {
  /** Folder of the merges, each in a folder of its own name. */
  readonly output: string;
  /** Make more merges than anybody is taken to want. */
  readonly yesAll?: boolean | undefined;
}

/** A merge of a grid, and what there is of it. */
export interface SurveyedArm extends GridArm {
  /** Under the one of its names that it has there, or is to have. */
  readonly path: string;
  readonly state: 'missing' | 'there' | 'gone';
  /** Bytes of what is there. */
  readonly bytes: number | null;
}

/** What of a grid is there, and what is to be made. */
export interface Survey {
  readonly run: Run;
  /** What was asked for, with the container that all of it is made in where that does not follow from each. */
  readonly grid: Grid;
  /** Why that is so. */
  readonly ofContainers: Warning | null;
  readonly arms: readonly SurveyedArm[];
  readonly left: readonly LeftArm[];
  readonly combinations: number;
  /** Saves that cannot be used, newer than the newest that can, where merges are to end at the newest. */
  readonly passedOver: readonly BrokenCheckpoint[];
  /** Names of merges in the folder that are none of this grid. */
  readonly others: readonly string[];
}

/** One read of the inputs. */
export interface GridBatch {
  /** Names of the outputs that are made in it. */
  readonly outputs: readonly string[];
  /** Checkpoints that are read, and their bytes. */
  readonly members: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Of these checkpoints those that an earlier batch reads as well, and their bytes. */
  readonly rereads: number;
  readonly bytesReread: number;
}

/** A merge of a grid, as documents have it. */
export interface GridOutput extends MemberReport {
  readonly name: string;
  /** Every combination of the axes that this one merge stands for. */
  readonly names: readonly string[];
  readonly path: string;
  readonly axes: ArmAxes;
  readonly method: string;
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  readonly members: readonly MergedMember[];
  /** Null where nothing is planned of it: it is there, or cannot be made. */
  readonly bytesWritten: number | null;
  /** Number of the batch that makes it, from 1 on; null where none does. */
  readonly batch: number | null;
  /** It was there, as this grid makes it. */
  readonly skipped?: true;
  /** It is not there and cannot be made: these members are not there any more. */
  readonly gone?: readonly string[];
  /** Changes of the training that its window crosses. */
  readonly flags: readonly string[];
}

/** The JSON document of `grid --dry-run`. */
export interface GridPlan {
  readonly schema: 'ckpt-merge/grid-plan';
  readonly version: 1;
  readonly run: string;
  readonly outputs: readonly GridOutput[];
  /** Windows that fit at no place, and why. */
  readonly left: readonly LeftArm[];
  /** Merges in the folder that are none of this grid, by their names. */
  readonly others: readonly string[];
  /** Combinations of the axes, before equal merges were made one. */
  readonly combinations: number;
  readonly batches: readonly GridBatch[];
  readonly bytesRead: number;
  /** What making each output on its own would read. */
  readonly bytesReadAlone: number;
  readonly bytesWritten: number;
  readonly peakMemoryBytes: number;
  readonly freeBytesNeeded: number;
  readonly freeBytesAvailable: number;
  readonly warnings: readonly Warning[];
}

/** The JSON document of `grid`. */
export interface GridResult extends Omit<GridPlan, 'schema' | 'peakMemoryBytes' | 'freeBytesNeeded' | 'freeBytesAvailable'> {
  readonly schema: 'ckpt-merge/grid';
  readonly seconds: number;
  /** Highest anonymous memory of the process that was seen; null where the system does not tell. */
  readonly peakAnonBytes: number | null;
}

/**
 * What happens while a grid is made: `plan` once, then for each read `batch` and what happens in it (`merge`), then
 * `done` once. Ranks plan a read at a time: their `plan` has no batches, and is what was to be made when they began.
 */
export type GridEvent =
  | { readonly type: 'plan'; readonly plan: GridPlan }
  | { readonly type: 'batch'; readonly number: number; readonly batch: GridBatch }
  | { readonly type: 'merge'; readonly event: MergeEvent }
  | { readonly type: 'done'; readonly result: GridResult };

export interface GridRunOptions {
  /** Ends the work; the promise rejects with `signal.reason`, and what is made stays. */
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: ((event: GridEvent) => void) | undefined;
}
