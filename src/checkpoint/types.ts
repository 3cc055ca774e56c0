import type { Warning } from '../errors.ts';
import type { SafetensorsHeader } from '../safetensors/types.ts';
import type { Position } from '../trajectory/types.ts';

/** Names in a folder; true for those that are known to be regular files (a link may be one). */
export type FolderEntries = ReadonlyMap<string, boolean>;

/** What identifies a file on this machine, to notice that it changed. */
export interface FileStat {
  readonly size: number;
  readonly dev: bigint;
  readonly ino: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

export interface Shard {
  /** Name inside the checkpoint, as the index writes it; the file's own name for a single file. */
  readonly name: string;
  readonly path: string;
  readonly stat: FileStat;
  readonly header: SafetensorsHeader;
}

/**
 * A safetensors checkpoint as it lies on disk: a folder in the layout of Hugging Face or of nanotron, or one file. Headers are read, data is not. Its position comes from its
 * state files or its name.
 */
export interface Checkpoint extends Position {
  /** The path that was given. */
  readonly path: string;
  readonly kind: 'folder' | 'file';
  /** Sorted by name. */
  readonly shards: readonly Shard[];
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
  /** Tensors are known by file and name together: nanotron has a file for each, and calls all of them `data`. */
  readonly namesPerFile: boolean;
  /**
   * Which shard (index into `shards`) and row holds a tensor; undefined where none does.
   * @param file name of the shard that holds it elsewhere; counts where `namesPerFile`
   */
  locate(name: string, file?: string): { readonly shard: number; readonly row: number } | undefined;
}
