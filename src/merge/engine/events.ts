import type { Warning } from '../../base/errors.ts';
import type { TreatmentRow } from '../../recipe/policy/table.ts';
import type { MemberReport } from '../../recipe/select/types.ts';
import type { OutputFormat, Purpose } from '../../recipe/types.ts';
import type { Isa } from '../native/binding.ts';
import type { MergedMember, Plan } from '../plan/types.ts';
import type { RoundingFigure } from '../record/rounding.ts';

export interface ProgressEvent {
  readonly type: 'progress';
  /**
   * `check`: what an interrupted run left is read and compared with its checksums; `merge`: reading,
   * computing, writing; `sync`: waiting for the device; `publish`: side files and rename.
   */
  readonly phase: 'check' | 'merge' | 'sync' | 'publish';
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly bytesReadTotal: number;
  readonly bytesWrittenTotal: number;
  /** Of what an interrupted run left, bytes that were checked, and all; both 0 where nothing is resumed. */
  readonly bytesChecked: number;
  readonly bytesCheckedTotal: number;
  /** Over the last few seconds. */
  readonly readBytesPerSecond: number;
  readonly writeBytesPerSecond: number;
  /** Seconds of the merge phase still to come; null while nothing is known. */
  readonly etaSeconds: number | null;
  /** Tensor file of the outputs in work. */
  readonly outputFile: string;
}

/**
 * What happens during a merge, in order: `plan` once, then `progress` and `warning`, then `done` once. A
 * merge that is aborted or fails says before it throws of which outputs it `kept` finished parts, with which
 * the same merge goes on under `resume`.
 */
export type MergeEvent =
  | { readonly type: 'plan'; readonly plan: Plan }
  | ProgressEvent
  | { readonly type: 'warning'; readonly warning: Warning }
  | { readonly type: 'kept'; readonly output: string }
  /** A line that a command printed which starts the ranks of the merge (`launcher`), or one of these. */
  | { readonly type: 'launcher'; readonly line: string }
  | { readonly type: 'done'; readonly result: MergeResult };

export interface MergedOutput extends MemberReport {
  readonly path: string;
  /** Its container, and whether it has what training goes on from (`resume`). */
  readonly format: OutputFormat;
  readonly purpose: Purpose | null;
  readonly method: string;
  readonly members: readonly MergedMember[];
  /** What the selection found that is to be known of siblings; empty elsewhere. */
  readonly notes: readonly string[];
  /** How a trainer starts from it, where it was made for that; else null. */
  readonly next: string | null;
  readonly bytesWritten: number;
  readonly tensors: number;
  /** What was done with the tensors of each role. */
  readonly treatments: readonly TreatmentRow[];
  /** How far quantising anew moved the merged values, by role; empty where nothing was. */
  readonly rounding: readonly RoundingFigure[];
}

/** The JSON document of `average`. */
export interface MergeResult {
  readonly schema: 'ckpt-merge/average';
  readonly version: 1;
  readonly outputs: readonly MergedOutput[];
  /** Outputs asked for that were there as this merge makes them, and were left as they are. */
  readonly finished: readonly string[];
  readonly bytesRead: number;
  readonly seconds: number;
  /** Processes that made it together, and machines that they ran on; absent where it was one alone. */
  readonly ranks?: number | undefined;
  readonly hosts?: number | undefined;
  /** Thread-seconds of reading, computing (mapped reads included) and writing; wall seconds of syncing. */
  readonly phases: {
    readonly readSeconds: number;
    readonly computeSeconds: number;
    readonly writeSeconds: number;
    readonly syncSeconds: number;
  };
  /**
   * Highest resident and anonymous memory of the process that was seen; null where the system does not tell.
   */
  readonly peakRssBytes: number | null;
  readonly peakAnonBytes: number | null;
  /** Compute threads; 0 where a resumed merge had nothing left to compute. */
  readonly threads: number;
  readonly isa: Isa;
  readonly io: 'map' | 'read' | 'mixed';
  readonly resumedBytes: number;
  readonly warnings: readonly Warning[];
}
