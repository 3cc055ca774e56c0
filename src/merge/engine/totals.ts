import type { Warning } from '../../base/errors.ts';
import { MemoryWatch } from '../../base/machine/resident.ts';
import type { Isa } from '../native/binding.ts';
import type { CombineResult } from '../native/combine.ts';
import { mergedMembers } from '../plan/document.ts';
import { goingOn } from '../plan/going-on.ts';
import type { Plan } from '../plan/types.ts';
import type { RoundingFigure } from '../record/rounding.ts';
import type { MergeResult, ProgressEvent } from './events.ts';
import { RateMeter } from './rate.ts';
import type { OwnTotals, SharedTotals } from './shared-work.ts';

/** Least seconds between progress events. */
const PROGRESS_SECONDS = 0.1;

/** What every native call says of itself. */
export type CallTotals = Pick<CombineResult, 'bytesRead' | 'bytesWritten' | 'readSeconds' | 'computeSeconds' | 'writeSeconds'>;

/** What a merge has done so far: bytes, thread-seconds, memory; and how that is told. */
export class MergeTotals {
  readonly #plan: Plan;
  readonly #started = performance.now() / 1000;
  readonly #meter = new RateMeter(this.#started);
  readonly #memory = new MemoryWatch();
  readonly #phases = { readSeconds: 0, computeSeconds: 0, writeSeconds: 0, syncSeconds: 0 };
  #lastProgress = 0;
  #resumedBytes = 0;
  #checked = { bytes: 0, total: 0 };
  #bytesWritten = 0;
  bytesRead = 0;
  /** Of a process that shares its work with others: what all of them did. */
  #all: SharedTotals | undefined;

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  /** Wall seconds since the merge began. */
  get seconds(): number {
    return performance.now() / 1000 - this.#started;
  }

  /** What this process did. */
  get own(): OwnTotals {
    return { bytesRead: this.bytesRead, bytesWritten: this.#bytesWritten, seconds: this.seconds };
  }

  /** Takes what all processes did that share the work. */
  share(all: SharedTotals): void {
    this.#all = all;
  }

  called(result: CallTotals): void {
    this.bytesRead += result.bytesRead;
    this.#bytesWritten += result.bytesWritten;
    this.#phases.readSeconds += result.readSeconds;
    this.#phases.computeSeconds += result.computeSeconds;
    this.#phases.writeSeconds += result.writeSeconds;
    this.#memory.look();
  }

  resumed(bytes: number): void {
    this.#resumedBytes += bytes;
  }

  /** @param total bytes that there are to check */
  checked(bytes: number, total: number): void {
    this.#checked = { bytes: this.#checked.bytes + bytes, total };
  }

  waitedForSync(seconds: number): void {
    this.#phases.syncSeconds += seconds;
  }

  /**
   * The event to send now; undefined where the last one was a moment ago. Changes of phase are always told.
   */
  progress(phase: ProgressEvent['phase'], shard: number): ProgressEvent | undefined {
    const now = performance.now() / 1000;
    if ((phase === 'merge' || phase === 'check') && now - this.#lastProgress < PROGRESS_SECONDS) return undefined;
    this.#lastProgress = now;
    const done = this.#all ?? this.own;
    const rates = this.#meter.rates(now, done.bytesRead, done.bytesWritten);
    const bytesWritten = Math.min(done.bytesWritten + this.#resumedBytes, this.#plan.bytesWritten);
    return {
      type: 'progress',
      phase,
      // What was read twice, or by ranks of an earlier start, is no more than there is to read.
      bytesRead: Math.min(done.bytesRead, this.#plan.bytesRead),
      bytesWritten,
      bytesReadTotal: this.#plan.bytesRead,
      bytesWrittenTotal: this.#plan.bytesWritten,
      bytesChecked: this.#checked.bytes,
      bytesCheckedTotal: this.#checked.total,
      readBytesPerSecond: rates.read,
      writeBytesPerSecond: rates.written,
      etaSeconds: rates.written > 0 ? Math.max(0, this.#plan.bytesWritten - bytesWritten) / rates.written : null,
      outputFile: this.#plan.outputs[0]!.files[shard]?.name ?? '',
    };
  }

  /** @param rounding [K] */
  result(
    how: { readonly threads: number; readonly isa: Isa; readonly io: MergeResult['io'] },
    rounding: readonly (readonly RoundingFigure[])[],
    warnings: readonly Warning[],
  ): MergeResult {
    this.#memory.look();
    const { outputs, finished, tensors, format } = this.#plan;
    return {
      schema: 'ckpt-merge/average',
      version: 1,
      outputs: outputs.map((o, k) => ({
        path: o.path,
        format,
        purpose: o.purpose,
        method: o.schedule.method,
        members: mergedMembers(this.#plan, o),
        notes: o.selection?.siblings === true ? o.selection.notes : [],
        ...o.report,
        next: goingOn(this.#plan, o),
        bytesWritten: o.bytes,
        tensors,
        treatments: o.treatments,
        rounding: rounding[k]!,
      })),
      finished,
      bytesRead: (this.#all ?? this).bytesRead,
      seconds: this.seconds,
      ...(this.#all !== undefined && { ranks: this.#all.ranks, hosts: this.#all.hosts }),
      phases: this.#phases,
      peakRssBytes: this.#memory.rssBytes,
      peakAnonBytes: this.#memory.anonBytes,
      ...how,
      resumedBytes: this.#resumedBytes,
      warnings,
    };
  }
}
