import type { DtypeName } from '../../base/dtype.ts';
import type { Warning } from '../../base/errors.ts';
import type { LogEntry, Position } from '../types.ts';

/** A complete checkpoint of a run, known without its tensors' data. */
export interface RunCheckpoint extends Position {
  readonly path: string;
  /** Of the folder, or of the file without its extension; `shownName` is what people are shown. */
  readonly name: string;
  /** Where `tokens` comes from; null where it is null. */
  readonly tokensFrom: 'name' | 'state' | 'option' | null;
  /** Bytes of tensor data. */
  readonly bytes: number;
  /** Dtypes of its tensors, the one with the most bytes first. */
  readonly dtypes: readonly DtypeName[];
  /** Its container holds the optimizer's state beside the model; absent where it does not, or cannot tell. */
  readonly holdsOptimizer?: true | undefined;
  /** Logged at this step, or at the last log before it; null where no state file has it. */
  readonly learningRate: number | null;
  readonly loss: number | null;
  /** When its last tensor file was written, milliseconds since 1970; null where the store does not say. */
  readonly savedAt: number | null;
  /** Logged by an evaluation at this very step (`eval_loss`); null where there was none. */
  readonly evalLoss: number | null;
  /** Other metrics, from a file of the user's or the trainer's log; absent where none was asked for or found. */
  readonly metrics?: Readonly<Record<string, number>> | undefined;
}

/** What of a run is not a member, and why, in words for people. */
export interface Excluded {
  readonly path: string;
  readonly step: number | null;
  readonly reason: string;
  /** Its score, where a better one was taken. */
  readonly score?: number | undefined;
  /** What to do, where that is not to wait for a save or to mend the checkpoint. */
  readonly help?: string | undefined;
}

/**
 * One of the run's checkpoints by its name, that cannot be used. Its tokens are known from the name alone.
 */
export interface BrokenCheckpoint extends Excluded, Position {
  readonly name: string;
  readonly step: number;
}

/** A checkpoint that seems to be of another branch of the training than the one that goes on. */
export interface StrayCheckpoint {
  readonly path: string;
  /**
   * Paths of those whose training logs contradict its own, which is a fact; null where only times of files
   * speak against it.
   */
  readonly contradicts: readonly string[] | null;
}

/** A training run as it lies on disk. */
export interface Run {
  readonly path: string;
  /** Complete ones, in order, no two at the same position. */
  readonly checkpoints: readonly RunCheckpoint[];
  readonly excluded: readonly Excluded[];
  /**
   * Those of `excluded` that ought to be checkpoints of the run (damaged, incomplete, unreadable, not
   * converted), in order; none that stands where a complete one does.
   */
  readonly broken: readonly BrokenCheckpoint[];
  /** Those that seem to be of a branch that was abandoned: see `abandonedBranch`. */
  readonly abandoned: readonly StrayCheckpoint[];
  /** By step; empty where no state file has a log. */
  readonly log: readonly LogEntry[];
  readonly warnings: readonly Warning[];
}

/** An amount of training: a count of tokens, of optimizer steps or of saved checkpoints. */
export interface Quantity {
  readonly value: number;
  readonly unit: 'tokens' | 'steps' | 'checkpoints';
}

/**
 * A {@link Quantity} as users write it: `8B`, `1.5T`, `500M` (tokens), `1000steps`, `3ckpt`; a bare number is
 * steps.
 */
export type QuantityText = string | number;

/** Where tokens come from when neither names nor state files say. At most one of the three. */
export interface TokenSource {
  /** Tokens of every step, as `4M` or a number. */
  readonly tokensPerStep?: string | number | undefined;
  /** `0:2M,50000:4M`: from step 0 on 2M tokens a step, from step 50,000 on 4M. */
  readonly batchSchedule?: string | undefined;
  /** CSV with the columns step,tokens. */
  readonly tokensFile?: string | undefined;
}
