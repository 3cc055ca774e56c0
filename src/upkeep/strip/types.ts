import type { VerifyProgress } from '../../analysis/verify/verify.ts';
import type { MergeEvent } from '../../merge/engine/events.ts';
import type { MachineOptions } from '../../merge/run.ts';
import type { MACHINE, TRUST } from '../../recipe/options.ts';
import type { KeepOptions, KeepReport } from '../keep/keep.ts';

export interface StripOptions extends KeepOptions, Pick<MachineOptions, keyof typeof MACHINE | keyof typeof TRUST> {
  /** Folder that the copies are made in, each called as its save. */
  readonly output: string;
  /** Copies that there are to be in it at most, of the oldest saves; all where absent. */
  readonly copies?: number | undefined;
}

/** A save and its copy without the trainer's state. */
export interface StrippedSave {
  readonly path: string;
  readonly copy: string;
  readonly step: number | null;
  /** Bytes of all files of the save, and of its copy. */
  readonly bytes: number;
  readonly copyBytes: number;
  /**
   * What of it the copy does not have and is not surely the trainer's state, and so goes with the save: paths in it, those
   * of whole folders with a `/` at the end.
   */
  readonly loses: readonly string[];
  /**
   * `missing`: to be made; `there`: it was made before, by its record and the sizes of its files; `made`: by this
   * call.
   */
  readonly state: 'missing' | 'there' | 'made';
  /** What it was compared with the save by: every element, or every checksum and a sample; null where it was not. */
  readonly verified: 'full' | 'sample' | null;
  /** What the save looked like before it was compared, by names, sizes and times of its files; empty where it was not. */
  readonly look: string;
}

/** A save that a script which was cut short left set aside, under a hidden name. */
export interface UnfinishedSave extends Pick<StrippedSave, 'path' | 'copy' | 'step'> {
  /** Where it is. */
  readonly aside: string;
  /** Bytes of its copy, in its place or not; 0 without one. */
  readonly copyBytes: number;
  /** What the script does: goes on with the copy, moves the save back, or nothing. */
  readonly end: 'finish' | 'restore' | 'leave';
  readonly reason: string;
}

/** Which saves could do without the trainer's state, and their copies. No save was changed. */
export interface StripReport extends Omit<KeepReport, 'schema'> {
  readonly schema: 'ckpt-merge/strip' | 'ckpt-merge/strip-plan';
  readonly output: string;
  readonly copies: readonly StrippedSave[];
  /** Saves that stay as they are, and why. */
  readonly left: readonly { readonly path: string; readonly step: number | null; readonly reason: string }[];
  /** Saves that a script which was cut short left set aside: none of the list above, and lost to none. */
  readonly unfinished: readonly UnfinishedSave[];
  /** `output` is on another file system than the run: to move a copy is to write it again. */
  readonly elsewhere: boolean;
  /** Bytes that are freed where each of `copies` takes the place of its save. */
  readonly frees: number;
  /** Bytes of the copies that were missing, and what the file system of `output` has free for them. */
  readonly freeBytesNeeded: number;
  readonly freeBytesAvailable: number;
}

/** What happens while copies are made. */
export type StripEvent =
  | { readonly type: 'plan'; readonly report: StripReport }
  /** The work on a copy begins, `number` of `count`. */
  | { readonly type: 'copy'; readonly number: number; readonly count: number; readonly save: StrippedSave }
  | { readonly type: 'merge'; readonly event: MergeEvent }
  | { readonly type: 'verify'; readonly event: VerifyProgress }
  | { readonly type: 'done'; readonly report: StripReport };
