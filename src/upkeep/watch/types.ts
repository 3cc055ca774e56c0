import type { MergeError, Warning } from '../../base/errors.ts';
import type { TokenSource } from '../../checkpoints/run/types.ts';
import type { Moment } from '../../checkpoints/types.ts';
import type { MergeEvent } from '../../merge/engine/events.ts';
import type { MachineOptions } from '../../merge/run.ts';
import type { CHECKS, LAUNCH, MACHINE, RANKS, TRUST } from '../../recipe/options.ts';
import type { PolicyRequest } from '../../recipe/policy/types.ts';
import type { WeightRequest } from '../../recipe/schedule/types.ts';
import type { LeftOutMember, Selection } from '../../recipe/select/types.ts';
import type { Recipe, RecipeOutput } from '../../recipe/types.ts';
import type { Difference } from '../../search/conclusion/types.ts';
import type { StripEvent, StrippedSave } from '../strip/types.ts';
import type { ScoreOptions } from './scores/options.ts';

/** Which checkpoints a window has; it always ends at the checkpoint that became complete. */
export type WindowSelection = Pick<Selection, 'last' | 'every' | 'from' | 'stage' | 'minInterval' | 'minMembers'>;

/**
 * A run to watch and what to make of it. Explicit weights are left out: a young run has fewer members than a
 * window. Policies cannot have them either, nor name a step; with `accumulate` they have no dtype, and no
 * method but `ema`, the merges of a quantised run need a dtype that is no quantised form, and no merge keeps what
 * a trainer goes on from (`for`, `optimizer`, `extraState`, `weightsFrom`).
 */
export interface WatchOptions
  extends TokenSource,
    Omit<WeightRequest, 'weights' | 'normalize'>,
    PolicyRequest,
    Pick<Recipe, keyof typeof CHECKS | 'format' | 'names' | 'config' | 'shardSize' | 'baseModelId'>,
    Pick<RecipeOutput, 'dtype' | 'for' | 'optimizer' | 'extraState' | 'weightsFrom'>,
    Pick<MachineOptions, keyof typeof MACHINE | keyof typeof TRUST | keyof typeof RANKS | keyof typeof LAUNCH | 'unitBytes'>,
    ScoreOptions {
  /** Run folder. It may be missing yet: the trainer makes it. */
  readonly run: string;
  /** Folder that the merges, `history.jsonl` and the watch's own hidden folder are in. */
  readonly output: string;
  /** Default: the last 10, from 2 members on. */
  readonly select?: WindowSelection | undefined;
  /** Several windows, by their numbers of members, instead of `select.last`: all of a round come of one read. */
  readonly windows?: readonly number[] | undefined;
  /**
   * Instead of windows: one float32 accumulator that every new checkpoint enters with `alpha`, or by its
   * distance and `halfLife` or `halfLifeFraction`.
   */
  readonly accumulate?: 'ema' | undefined;
  /** Newest merges to keep; default 3, `Infinity` for all. */
  readonly keep?: number | undefined;
  /**
   * Shell command, run after each merge with MERGE_OUTPUT, MERGE_STEP, MERGE_TOKENS and MERGE_PROVENANCE in
   * its environment.
   */
  readonly hook?: string | undefined;
  /** Seconds that a hook or an evaluation may take: then it is ended, and has failed (a hook with exit code 124). Default: any time. */
  readonly timeout?: number | undefined;
  /**
   * Folder that holds on to members which the trainer will delete, by hard links, or by copies on another
   * file system.
   */
  readonly pin?: string | undefined;
  /**
   * Saves of the run that there may be at once: then `keep-saves.json` and `keep-saves.sh` in `output` say after each
   * look which to keep for windows of later, and which lines of a shell delete the others. Nothing is deleted.
   */
  readonly keepSaves?: number | undefined;
  /** Windows that are to be merged later, as `keep` takes them. What the windows of the watch need stays besides. */
  readonly keepWindows?: readonly string[] | undefined;
  /** Members that each of these is to hold at least; default 4. */
  readonly keepAtLeast?: number | undefined;
  /** Distance between two saves of the trainer; the smallest that there is when absent. */
  readonly saveEvery?: string | number | undefined;
  /** Steps that are never let go. */
  readonly keepSteps?: readonly number[] | undefined;
  /**
   * With `keepSaves`: folder that copies of the model alone are made in, of saves that are kept for windows and for
   * nothing else, each compared with its save. `strip-saves.sh` in `output` puts them in the places of their saves.
   */
  readonly stripSaves?: string | undefined;
  /** Seconds between two looks at the run; default 30. */
  readonly poll?: number | undefined;
  /** Seconds that a complete checkpoint must have stayed the same; default 10. */
  readonly settle?: number | undefined;
  /** Do what there is to do now, then end. */
  readonly once?: boolean | undefined;
}

export interface WatchMember extends Omit<Moment, 'path'> {
  /** Name of the checkpoint's folder, or of the accumulator. */
  readonly name: string;
  readonly weight: number;
}

/** Saves of the run by their paths in it, oldest first. */
export interface KeptSaves {
  readonly keep: readonly string[];
  readonly delete: readonly string[];
  /** Of `keep` those that a copy without the trainer's state is ready for; absent where none are asked for. */
  readonly copied?: readonly string[] | undefined;
}

/** A line of `history.jsonl`: one round, one checkpoint that became complete. */
export interface WatchRecord extends Omit<Moment, 'path'> {
  /** When the round began, ISO 8601 in UTC. */
  readonly time: string;
  /** Name of the checkpoint that the window ends at. */
  readonly checkpoint: string;
  /** Members that the window was asked to have; absent where it is the only one of the watch. */
  readonly window?: number | undefined;
  readonly members: readonly WatchMember[];
  /** Checkpoints that would be members if they could be used. */
  readonly leftOut: readonly LeftOutMember[];
  /** Which saves to keep as the round began, where that is asked for and was known. */
  readonly saves?: KeptSaves | undefined;
  /** Name of the merge in the watch's folder; null where the round failed. */
  readonly output: string | null;
  /**
   * Of the merge, without the hook; null where the round failed, or where a watch that was killed had made it
   * already.
   */
  readonly seconds: number | null;
  /** Exit code of the hook as a shell shows it; null without a hook. */
  readonly hook: number | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** What the last look at the run found. */
export interface Looked {
  /** Complete checkpoints, and the name of the newest; null where there is none. */
  readonly checkpoints: number;
  readonly newest: string | null;
  /** Checkpoints by their names that cannot be used, or are being written. */
  readonly unusable: number;
}

/** What happens during a watch. */
export type WatchEvent =
  /** The lock is held and the state read. */
  | { readonly type: 'started'; readonly run: string; readonly output: string }
  /** Something of the run that cannot be merged yet, or ever: said once for each path and reason. */
  | { readonly type: 'waiting'; readonly path: string; readonly step: number | null; readonly reason: string }
  | { readonly type: 'pinned' | 'unpinned'; readonly path: string }
  /** A round began; `notes` are what the selection found, a line each. */
  | {
      readonly type: 'round';
      readonly checkpoint: string;
      readonly step: number | null;
      /** Of the widest window. */
      readonly members: readonly WatchMember[];
      /** Members of each window that has a merge. */
      readonly windows: readonly number[];
      readonly notes: readonly string[];
    }
  /** What the merge of the round says. */
  | { readonly type: 'merge'; readonly event: MergeEvent }
  /** A round ended with a merge. */
  | { readonly type: 'merged'; readonly output: string; readonly record: WatchRecord }
  /** The hook begins: from here on it is the one that prints. */
  | { readonly type: 'hooking'; readonly output: string }
  /** The hook failed; its merge stays. `log` is what it printed, where that does not go to stderr. */
  | { readonly type: 'hook'; readonly output: string; readonly exitCode: number; readonly log: string | null }
  /** An older merge of this watch was removed. */
  | { readonly type: 'removed'; readonly path: string }
  /**
   * Which saves to keep is another list than before, and stands in the files; null where it is not known, for the
   * reason that `error` is, which is said again at each new save. `due`: rounds are still to come, after which it is said
   * again.
   */
  | {
      readonly type: 'keeping';
      readonly saves: KeptSaves | null;
      readonly lines: string;
      readonly error: string | null;
      readonly due: boolean;
    }
  /** What happens while a copy without the trainer's state is made and compared. */
  | { readonly type: 'strip'; readonly event: StripEvent & { readonly type: 'copy' | 'merge' | 'verify' } }
  /** A copy is there. */
  | { readonly type: 'copied'; readonly save: StrippedSave }
  /** A copy could not be made; `again` says whether that is tried at the next look, else when something of it changes. */
  | { readonly type: 'uncopied'; readonly path: string; readonly error: MergeError; readonly again: boolean }
  /** Which copies are ready is another list than before: `lines` puts them in place, which frees so many bytes. */
  | { readonly type: 'stripping'; readonly copies: readonly StrippedSave[]; readonly frees: number; readonly lines: string }
  /** Scores are written into this folder, and shown in its page. */
  | { readonly type: 'scoring'; readonly folder: string; readonly page: string; readonly waiting: number }
  /** A model is being scored: `waiting` others are to be. */
  | {
      readonly type: 'evaluating';
      readonly name: string;
      readonly step: number;
      readonly window: number | null;
      readonly waiting: number;
    }
  /**
   * A model has its score, which is on disk. Of a merge `single` is that of the checkpoint alone at its end, where it has
   * one, and `over` how much better the merge is: positive is better.
   */
  | {
      readonly type: 'scored';
      readonly name: string;
      readonly kind: 'single' | 'merge';
      readonly checkpoint: string;
      readonly step: number;
      readonly tokens: number | null;
      readonly window: number | null;
      readonly trial: number;
      readonly score: number;
      readonly stderr: number | null;
      /** Of the evaluation. */
      readonly seconds: number;
      readonly single: number | null;
      readonly over: Difference | null;
      readonly waiting: number;
    }
  /** A model has no score; `log` is what its evaluation printed, where it had one. */
  | {
      readonly type: 'unscored';
      readonly name: string;
      readonly step: number;
      readonly reason: string;
      readonly log: string | null;
      readonly waiting: number;
    }
  | { readonly type: 'retry'; readonly trial: number; readonly attempt: number; readonly pauseSeconds: number }
  | { readonly type: 'warning'; readonly warning: Warning }
  /** With `once`: there was nothing to merge among what was looked at. */
  | ({ readonly type: 'idle' } & Looked)
  /** A round failed; `again` says whether it will be tried again. */
  | { readonly type: 'failed'; readonly checkpoint: string; readonly error: MergeError; readonly again: boolean };

export interface WatchSummary {
  readonly schema: 'ckpt-merge/watch';
  readonly version: 1;
  readonly merges: readonly WatchRecord[];
  /** Rounds that failed, copies and evaluations. */
  readonly failed: readonly { readonly checkpoint: string; readonly error: MergeError }[];
  readonly looked: Looked;
  /** Which saves to keep, where that is asked for; null where it is not known yet. */
  readonly saves?: KeptSaves | null;
}
