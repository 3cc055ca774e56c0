import type { JsonObject } from '../base/json/parse.ts';
import type { Opened } from './containers/types.ts';
import type { Shard } from './tensors/types.ts';

/**
 * A checkpoint as it lies somewhere, a folder or one file, whatever container holds its tensors. What they
 * are is read, data is not. Its position comes from its state files or its name. Shards are sorted by name.
 */
export interface Checkpoint extends Position, Opened {
  /**
   * Where it lies: the path that was given, or goes on from that where it was the folder of a step around it.
   */
  readonly path: string;
  readonly kind: 'folder' | 'file';
  readonly tensorCount: number;
  /** Bytes of tensor data. */
  readonly bytes: number;
  /** The shards as its files have them, where `shards` are its tensors under other names. */
  readonly stored?: readonly Shard[] | undefined;
  /** Its configuration, where that is not the one in its folder. */
  readonly config?: JsonObject | undefined;
  /** The state file that says that the trainer will remove this checkpoint; null where none does. */
  readonly ephemeral: string | null;
}

/**
 * Where a checkpoint stands. Within a run, checkpoints are ordered by (stage, ingredient, epoch, step) as
 * integers; unknown counts as before everything.
 */
export interface Position {
  /** Stage of a training in several stages. */
  readonly stage: number | null;
  /** One of several trainings from one start that differ in data order or seed: siblings, not moments. */
  readonly ingredient: number | null;
  /**
   * Where steps begin anew in every epoch, the epoch: distances in steps are not known then. Where names
   * count epochs alone, `step` is the epoch as well. Absent elsewhere.
   */
  readonly epoch?: number | undefined;
  /** Optimizer step. */
  readonly step: number | null;
  /** Tokens seen since the start of the run. */
  readonly tokens: number | null;
}

/** A checkpoint as a moment of its training, as documents name it; null is unknown. */
export interface Moment extends Pick<Position, 'epoch' | 'step' | 'tokens'> {
  readonly path: string;
}

/** A line of the training log. */
export interface LogEntry {
  readonly step: number;
  /** Infinity where the trainer logged NaN or infinity. */
  readonly loss: number | null;
  readonly learningRate: number | null;
  /** Of an evaluation on held-out text during training; absent where there was none at this step. */
  readonly evalLoss?: number;
  /** Everything else that evaluations logged (`eval_accuracy`), by name; absent where there was nothing. */
  readonly metrics?: Readonly<Record<string, number>>;
}
