import { basename, join } from 'node:path';
import { type Conflict, MergeError, type Warning } from '../base/errors.ts';
import { mapBounded } from '../base/map-bounded.ts';
import { type FileStat, localStore } from '../base/store/local.ts';
import { storeOf } from '../base/store/store.ts';
import type { Stat, Store } from '../base/store/types.ts';
import { foreignFormat } from './foreign.ts';
import { readPosition } from './position.ts';
import { HeaderCache, type ScanCache, scansOf } from './safetensors/header-cache.ts';
import { MAX_OPEN_FILES } from './safetensors/limits.ts';
import { readScan } from './safetensors/read-header.ts';
import { readIndex } from './safetensors/read-index.ts';
import { headerOf, type Scan } from './safetensors/scan-header.ts';
import type { SafetensorsIndex } from './safetensors/scan-index.ts';
import type { SafetensorsHeader } from './safetensors/types.ts';
import { locateByFile, locateTensors } from './tensor-locator.ts';
import { dataBytes } from './tensors/table.ts';
import type { Shard } from './tensors/types.ts';
import type { Checkpoint, FolderEntries } from './types.ts';

export interface OpenOptions {
  /** Shared between the inputs of a merge, so that headers that are equal are parsed and stored once. */
  readonly cache?: HeaderCache;
  /**
   * Name that gives its position, where that is not the folder's or file's own: the revision of a snapshot in
   * the Hub's cache.
   */
  readonly name?: string;
}

/** Which files make up the checkpoint. */
interface Files {
  readonly names: readonly string[];
  readonly index: SafetensorsIndex | null;
  readonly indexName: string | null;
  readonly warnings: readonly Warning[];
  readonly namesPerFile?: true;
}

/**
 * Opens a checkpoint: a folder in the Hugging Face layout (one safetensors file, or an index and its shards),
 * one in nanotron's (a file for each tensor and rank below `model/`), or a single .safetensors file. Headers
 * and index are read and checked against each other and against the file sizes; data is not read and no file
 * stays open.
 * @throws MergeError E_NOT_FOUND, E_NOT_READABLE, E_NO_CHECKPOINT, E_AMBIGUOUS, E_NO_TENSORS,
 * E_SHARD_MISSING, E_TENSOR_MISPLACED, E_TENSOR_TWICE, E_TENSOR_UNINDEXED, and what `readHeader` and
 * `readIndex` throw; with several faults, all are in `details.conflicts`
 */
export async function openCheckpoint(path: string, options: OpenOptions = {}): Promise<Checkpoint> {
  return (await open(storeOf(path), path, options)).checkpoint;
}

/** A shard of a {@link SafetensorsCheckpoint}. */
export interface SafetensorsShard {
  /** Name inside the checkpoint, as the index writes it; the file's own name for a single file. */
  readonly name: string;
  readonly path: string;
  readonly stat: FileStat;
  readonly header: SafetensorsHeader;
}

/** A checkpoint of safetensors files with their headers: what the public entry gives. */
export interface SafetensorsCheckpoint extends Omit<Checkpoint, 'shards' | 'files'> {
  /** Sorted by name. */
  readonly shards: readonly SafetensorsShard[];
}

/** {@link openCheckpoint} for those who want the headers themselves. */
export async function openSafetensors(path: string, options: OpenOptions = {}): Promise<SafetensorsCheckpoint> {
  const { checkpoint, opened } = await open(localStore, path, options);
  const { files: _, ...rest } = checkpoint;
  const shards = opened.map(({ name, path: file, stat, scan }): SafetensorsShard => {
    return { name, path: file, stat, header: { path: file, fileSize: stat.size, ...headerOf(scan) } };
  });
  return { ...rest, shards };
}

/** A shard whose header was read. */
interface Opened<S extends Stat> {
  readonly name: string;
  readonly path: string;
  readonly stat: S;
  readonly scan: Scan;
}

async function open<S extends Stat>(
  store: Store<S>,
  path: string,
  { cache = new HeaderCache(), name }: OpenOptions,
): Promise<{ checkpoint: Checkpoint; opened: readonly Opened<S>[] }> {
  const scans = scansOf(cache);
  const entries = await entriesOf(path);
  const isFolder = entries !== null;
  const files = isFolder ? await filesOfFolder(path, entries, scans) : singleFile(path);
  const opened = await openShards(store, path, entries, files, scans);
  const shards = opened.map(({ name, path, stat, scan: { tensors, metadata } }): Shard => ({ name, path, stat, tensors, metadata }));
  const tensorCount = shards.reduce((sum, { tensors }) => sum + tensors.count, 0);
  if (tensorCount === 0) throw new MergeError('E_NO_TENSORS', `${path}: the checkpoint holds no tensors`, { details: { file: path } });
  const { warnings, ...position } = await readPosition(path, isFolder, { name, entries: entries ?? undefined });
  const checkpoint = {
    path,
    kind: isFolder ? ('folder' as const) : ('file' as const),
    shards,
    files: shards,
    indexMetadata: files.index?.metadata ?? null,
    indexName: files.indexName,
    tensorCount,
    bytes: dataBytes(shards),
    ...position,
    warnings: [...files.warnings, ...warnings],
    namesPerFile: files.namesPerFile === true,
    locate: files.namesPerFile ? locateByFile(shards) : locateTensors(path, shards, files.index),
  };
  return { checkpoint, opened };
}

function singleFile(path: string): Files {
  const name = basename(path);
  if (!name.endsWith('.safetensors')) {
    const help = name.endsWith('.index.json')
      ? 'Name the folder that holds the index.'
      : 'Name a folder, or a file ending in .safetensors.';
    throw new MergeError('E_NO_CHECKPOINT', `${path}: is neither a folder nor a .safetensors file`, { details: { file: path }, help });
  }
  return { names: [name], index: null, indexName: null, warnings: [] };
}

/** What lies in a folder, hidden ones too; null where the path is something else. */
async function entriesOf(path: string): Promise<FolderEntries | null> {
  const store = storeOf(path);
  const entries = await store.list(path);
  if (entries !== null) return new Map(entries.map(({ name, kind }) => [name, kind === 'file']));
  // A path below a file is nothing, and a file is something: only the latter can be looked at.
  await store.stat(path);
  return null;
}

async function filesOfFolder(path: string, entries: FolderEntries, cache: ScanCache): Promise<Files> {
  const visible = [...entries.keys()].filter((name) => !name.startsWith('.')).sort();
  const indexes = visible.filter((name) => name.endsWith('.safetensors.index.json'));
  const singles = visible.filter((name) => name.endsWith('.safetensors'));
  if (indexes.length === 0 && singles.length === 0 && entries.has(NANOTRON)) return filesOfNanotron(path);
  const [indexName, secondIndex] = indexes;
  if (secondIndex !== undefined) throw ambiguous(path, indexes);
  if (indexName === undefined) {
    const single = singles.includes('model.safetensors') ? 'model.safetensors' : singles.length === 1 ? singles[0] : undefined;
    if (single === undefined) throw await noCheckpoint(path, visible, singles);
    return { names: [single], index: null, indexName: null, warnings: notIncluded(path, singles, new Set([single])) };
  }
  const index = await readIndex(join(path, indexName), cache, entries.get(indexName));
  const named = new Set(index.shards);
  // Some writers index even a single file; then there is nothing to choose between.
  const rival = singles.find((name) => !named.has(name) && (name === 'model.safetensors' || `${name}.index.json` === indexName));
  if (rival !== undefined) throw ambiguous(path, [rival, indexName]);
  return { names: [...named].sort(), index, indexName, warnings: notIncluded(path, singles, named) };
}

/**
 * What marks a checkpoint of nanotron, whose weights are
 * `model/MODULES/model_weight_pp-rank-..-of-.._tp-rank-..-of-...safetensors`.
 */
const NANOTRON = 'checkpoint_metadata.json';

async function filesOfNanotron(path: string): Promise<Files> {
  const found = await storeOf(path).listBelow(join(path, 'model'));
  const names = found.filter((name) => name.endsWith('.safetensors')).map((name) => `model/${name}`);
  if (names.length === 0) {
    throw new MergeError('E_NO_CHECKPOINT', `${path}: its folder model holds no safetensors file`, { details: { file: path } });
  }
  return { names: names.sort(), index: null, indexName: null, warnings: [], namesPerFile: true };
}

async function openShards<S extends Stat>(
  store: Store<S>,
  path: string,
  entries: FolderEntries | null,
  files: Files,
  cache: ScanCache,
): Promise<Opened<S>[]> {
  const results = await mapBounded(files.names, MAX_OPEN_FILES, async (name) => {
    const file = entries === null ? path : join(path, name);
    try {
      return { name, path: file, ...(await readScan(store, file, cache, entries?.get(name))) };
    } catch (error) {
      if (!(error instanceof MergeError)) throw error;
      return shardError(error, file, files.indexName);
    }
  });
  const errors = results.filter((result) => result instanceof MergeError);
  const [first] = errors;
  if (first === undefined) return results as Opened<S>[];
  if (errors.length === 1) throw first;
  const conflicts: Conflict[] = errors.map(({ code, message, details: { file, tensor } }) => ({
    code,
    message,
    ...(file !== undefined && { file }),
    ...(tensor !== undefined && { tensor }),
  }));
  throw new MergeError(first.code, `${first.message} (and ${errors.length - 1} more of ${files.names.length} shards have faults)`, {
    details: { ...first.details, conflicts },
    cause: first,
  });
}

/** A shard that is not there is the index's word against the folder's. */
function shardError(error: MergeError, file: string, indexName: string | null): MergeError {
  if (error.code !== 'E_NOT_FOUND' || indexName === null) return error;
  return new MergeError('E_SHARD_MISSING', `${file}: ${indexName} names this shard, and it is not there`, {
    details: error.details,
    cause: error,
  });
}

function notIncluded(path: string, singles: readonly string[], included: ReadonlySet<string>): Warning[] {
  const others = singles.filter((name) => !included.has(name));
  if (others.length === 0) return [];
  return [
    { code: 'W_UNINDEXED_FILE', message: `${path}: ${listed(others)} ${others.length === 1 ? 'is' : 'are'} not part of the checkpoint` },
  ];
}

function ambiguous(path: string, names: readonly string[]): MergeError {
  return new MergeError('E_AMBIGUOUS', `${path}: holds both ${names.join(' and ')}`, { details: { file: path, candidates: names } });
}

async function noCheckpoint(path: string, visible: readonly string[], singles: readonly string[]): Promise<MergeError> {
  const foreign = singles.length === 0 ? await foreignFormat(path) : null;
  if (foreign !== null) {
    return new MergeError('E_NO_CHECKPOINT', `${path}: is a checkpoint of ${foreign.format}, not safetensors`, {
      details: { file: path, ...foreign },
      help: `Convert it first, with ${foreign.converter}.`,
    });
  }
  const [problem, help] = whyNoCheckpoint(visible, singles);
  return new MergeError('E_NO_CHECKPOINT', `${path}: ${problem}`, { details: { file: path }, ...(help !== undefined && { help }) });
}

function whyNoCheckpoint(visible: readonly string[], singles: readonly string[]): [problem: string, help?: string] {
  if (visible.length === 0) return ['the folder is empty'];
  if (singles.length > 0) {
    const sharded = singles.some((name) => /-\d+-of-\d+\.safetensors$/.test(name));
    return [
      `the folder holds ${singles.length} safetensors files and no index that says how they belong together`,
      sharded
        ? 'Copy model.safetensors.index.json from where the shards came from.'
        : 'Name one of the files, or save the checkpoint again with save_pretrained.',
    ];
  }
  return ['the folder holds no safetensors file'];
}

/** The first few names, and how many more there are. */
function listed(names: readonly string[]): string {
  const shown = names.slice(0, 3).join(', ');
  return names.length > 3 ? `${shown} and ${names.length - 3} more` : shown;
}
