import type { Warning } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json/parse.ts';
import type { Store } from '../../base/store/types.ts';
import type { TensorSection } from '../tensors/section.ts';
import type { TensorFile, TensorPlace, TensorSource } from '../tensors/types.ts';
import type { OpenCache } from './open-cache.ts';

/** Names in a folder; true for those that are known to be regular files (a link may be one). */
export type FolderEntries = ReadonlyMap<string, boolean>;

/** Something that may be a checkpoint, before anything of it is opened. */
export interface Found {
  readonly store: Store;
  /** As it was given. */
  readonly path: string;
  /** What lies in the folder, hidden names too; null where the path is a file. */
  readonly entries: FolderEntries | null;
  /** Whether the files of the optimizer's state of ranks belong to it, where a container has such files. */
  readonly withState?: boolean | undefined;
  /** Names in the folder and in its folders, as `a` and `a/b`. Of a file none. */
  paths(): Promise<readonly string[]>;
}

/** What the trainer's own state, where it is a part of the checkpoint, says of its place in the run. */
export interface ContainedState {
  /** Optimizer step; null where it does not say. */
  readonly step: number | null;
  /** Tokens seen; null where it does not say. */
  readonly tokens: number | null;
  /** The file that says so. */
  readonly file: string;
  /**
   * It says so under a key that may be any loop's (`step`), and not in the form of a trainer that is known: where
   * a name gives the place, that is believed.
   */
  readonly byKey?: true;
}

/** In which form a checkpoint is stored, and who wrote it. */
export interface StoredForm {
  readonly kind: 'safetensors' | 'torch' | 'dcp';
  /** In words, as `Megatron-core (torch_dist)`; null where nothing tells it. */
  readonly writer: string | null;
  /** What it says of versions, as `sharded_backend_version 1`; null where it says nothing. */
  readonly version: string | null;
}

/**
 * Values of a trainer's state that are no tensors, and only it understands: steps, learning rates,
 * generators.
 */
export interface StoredObjects {
  readonly section: Exclude<TensorSection, 'model'>;
  readonly count: number;
  readonly bytes: number;
}

/**
 * A run of a buffer of many weights that is a part of the float32 master of one of them, as the trainer records
 * it.
 */
export interface MasterFragment {
  /** Name of the tensor that is the buffer. */
  readonly buffer: string;
  readonly weight: string;
  /** First element in the buffer. */
  readonly start: number;
  readonly elements: number;
}

/** What a container tells of a checkpoint: all but its place in a run. */
export interface Opened extends TensorSource {
  readonly form: StoredForm;
  /** What it holds beside tensors; absent where its files are not looked through for that. */
  readonly objects?: readonly StoredObjects[] | undefined;
  /** The index's own `metadata` object where there is an index, else null. */
  readonly indexMetadata: ReadonlyMap<string, unknown> | null;
  /** Name of the index file, where there is one. */
  readonly indexName: string | null;
  /**
   * Tensors are known by file and name together: nanotron has a file for each, and calls all of them `data`.
   */
  readonly namesPerFile: boolean;
  /**
   * Files that say where the tensors lie, where those that hold them do not: `.metadata` of
   * torch.distributed.
   */
  readonly heads: readonly TensorFile[];
  readonly warnings: readonly Warning[];
  /**
   * Parts of masters in buffers of many weights: those of a weight follow one another as its elements do. Absent
   * where nothing of the kind is read; of a checkpoint that was opened with the files of its optimizer's state.
   */
  readonly fragments?: readonly MasterFragment[] | undefined;
  /** Absent where the container holds nothing of the trainer's. */
  readonly state?: ContainedState | undefined;
  /**
   * Reads with which arguments the trainer was started, as far as they are numbers, texts, flags or lists of
   * them; null where nothing of it can be read. Absent where the container never has any.
   */
  arguments?(): Promise<JsonObject | null>;
  /**
   * Which shard (index into `shards`) and row holds a tensor; undefined where none does.
   * @param file name of the shard that holds it elsewhere; counts where `namesPerFile`
   */
  locate(name: string, file?: string): TensorPlace | undefined;
}

/** A form in which checkpoints are stored. */
export interface Container {
  /** In words. */
  readonly kind: string;
  /** Whether this is one, by its names and, where they do not say enough, the first bytes of its files. */
  recognise(found: Found): boolean | Promise<boolean>;
  /**
   * Reads what there is to know of the tensors, not their data, and leaves no file open.
   * @throws MergeError for what cannot be read; of a container that is recognised only, what to do instead
   */
  open(found: Found, cache: OpenCache): Promise<Opened>;
  /**
   * As `open`, of a step of a run that is looked at and not read from: what it says like another one that was
   * listed with this cache may be taken from that. Absent where opening costs little.
   * @param named step that its name gives; null where that is none
   */
  list?(found: Found, cache: OpenCache, named: number | null): Promise<Opened>;
}
