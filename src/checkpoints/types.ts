import type { Warning } from '../base/errors.ts';
import type { TensorPlace, TensorSource } from './tensors/types.ts';

/** Names in a folder; true for those that are known to be regular files (a link may be one). */
export type FolderEntries = ReadonlyMap<string, boolean>;

/**
 * A checkpoint as it lies somewhere, a folder or one file, whatever container holds its tensors. What they
 * are is read, data is not. Its position comes from its state files or its name. Shards are sorted by name.
 */
export interface Checkpoint extends Position, TensorSource {
  /** The path that was given. */
  readonly path: string;
  readonly kind: 'folder' | 'file';
  /** The index's own `metadata` object where there is an index, else null. */
  readonly indexMetadata: ReadonlyMap<string, unknown> | null;
  /** Name of the index file, where there is one. */
  readonly indexName: string | null;
  readonly tensorCount: number;
  /** Bytes of tensor data. */
  readonly bytes: number;
  /** The state file that says that the trainer will remove this checkpoint; null where none does. */
  readonly ephemeral: string | null;
  readonly warnings: readonly Warning[];
  /**
   * Tensors are known by file and name together: nanotron has a file for each, and calls all of them `data`.
   */
  readonly namesPerFile: boolean;
  /**
   * Which shard (index into `shards`) and row holds a tensor; undefined where none does.
   * @param file name of the shard that holds it elsewhere; counts where `namesPerFile`
   */
  locate(name: string, file?: string): TensorPlace | undefined;
}

/**
 * Where a checkpoint stands. Within a run, checkpoints are ordered by (stage, ingredient, step) as integers;
 * unknown counts as before everything.
 */
export interface Position {
  /** Stage of a training in several stages. */
  readonly stage: number | null;
  /** One of several trainings from one start that differ in data order or seed: siblings, not moments. */
  readonly ingredient: number | null;
  /** Optimizer step. */
  readonly step: number | null;
  /** Tokens seen since the start of the run. */
  readonly tokens: number | null;
}

/** A checkpoint as a moment of its training, as documents name it; null is unknown. */
export interface Moment extends Pick<Position, 'step' | 'tokens'> {
  readonly path: string;
}

/** A line of the training log. */
export interface LogEntry {
  readonly step: number;
  /** Infinity where the trainer logged NaN or infinity. */
  readonly loss: number | null;
  readonly learningRate: number | null;
}
