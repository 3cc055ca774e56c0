import { basename, join } from 'node:path';
import { type Conflict, MergeError, type Warning } from '../../../base/errors.ts';
import { mapBounded } from '../../../base/map-bounded.ts';
import type { Shard } from '../../tensors/types.ts';
import { rankFileError } from '../rank-files.ts';
import type { Container, FolderEntries, Found, Opened } from '../types.ts';
import { ScanCache } from './header-cache.ts';
import { MAX_OPEN_FILES } from './limits.ts';
import { readScan, readScans } from './read-header.ts';
import { readIndex } from './read-index.ts';
import type { SafetensorsIndex } from './scan-index.ts';
import { isRankFile, type ShardSet, shardSet } from './shard-names.ts';
import { locateByFile, locateTensors } from './tensor-locator.ts';

const FILE = '.safetensors';
const INDEX = '.safetensors.index.json';
/**
 * What marks a checkpoint of nanotron, whose weights are
 * `model/MODULES/model_weight_pp-rank-..-of-.._tp-rank-..-of-...safetensors`.
 */
const NANOTRON = 'checkpoint_metadata.json';

/** What torch.distributed's HuggingFaceStorageWriter writes into `__metadata__` of a rank's file. */
const RANK_KEY = 'DCP_SHARDING_INFO';

/** Which files make up the checkpoint. */
interface Files {
  readonly names: readonly string[];
  readonly index: SafetensorsIndex | null;
  readonly indexName: string | null;
  readonly warnings: readonly Warning[];
  readonly namesPerFile?: true;
}

/**
 * A folder in the Hugging Face layout (one safetensors file, or an index and its shards), one in nanotron's
 * (a file for each tensor and rank below `model/`), or a single .safetensors file. Headers and index are read
 * and checked against each other and against the file sizes.
 */
export const safetensors: Container = {
  kind: 'safetensors',
  recognise({ path, entries }) {
    if (entries === null) return path.endsWith(FILE);
    return (
      entries.has(NANOTRON) || visibleNames(entries).some((name) => (name.endsWith(FILE) && !isRankFile(name)) || name.endsWith(INDEX))
    );
  },
  async open(found, cache): Promise<Opened> {
    const scans = cache.of(ScanCache);
    const { path, entries } = found;
    const files = entries === null ? singleFile(path) : await filesOfFolder(found, entries, scans);
    const shards = await openShards(found, files, scans);
    const ofRank = shards.find(({ metadata }) => metadata?.has(RANK_KEY));
    if (ofRank !== undefined) throw rankFileError(ofRank.path);
    if (shards.every(({ tensors }) => tensors.count === 0)) {
      throw new MergeError('E_NO_TENSORS', `${path}: the checkpoint holds no tensors`, { details: { file: path } });
    }
    return {
      form: { kind: 'safetensors', writer: files.namesPerFile ? 'nanotron' : null, version: null },
      shards,
      files: shards,
      heads: [],
      indexMetadata: files.index?.metadata ?? null,
      indexName: files.indexName,
      warnings: files.warnings,
      namesPerFile: files.namesPerFile === true,
      locate: files.namesPerFile ? locateByFile(shards) : locateTensors(path, shards, files.index),
    };
  },
};

function visibleNames(entries: FolderEntries): string[] {
  return [...entries.keys()].filter((name) => !name.startsWith('.')).sort();
}

function singleFile(path: string): Files {
  return { names: [basename(path)], index: null, indexName: null, warnings: [] };
}

async function filesOfFolder(found: Found, entries: FolderEntries, cache: ScanCache): Promise<Files> {
  const { path } = found;
  const visible = visibleNames(entries);
  const indexes = visible.filter((name) => name.endsWith(INDEX));
  const singles = visible.filter((name) => name.endsWith(FILE));
  if (indexes.length === 0 && singles.length === 0) return filesOfNanotron(found);
  const [indexName, secondIndex] = indexes;
  if (secondIndex !== undefined) throw ambiguous(path, indexes);
  if (indexName === undefined) {
    const shards = singles.includes('model.safetensors') ? null : shardSet(singles);
    if (shards !== null) return filesOfSet(path, singles, shards);
    const single = singles.includes('model.safetensors') ? 'model.safetensors' : singles.length === 1 ? singles[0] : undefined;
    if (single === undefined) throw noIndex(path, singles);
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
 * All shards that their names count, and no index: the tensors in them are the checkpoint.
 * @throws MergeError E_SHARD_MISSING
 */
function filesOfSet(path: string, singles: readonly string[], { names, count, missing }: ShardSet): Files {
  if (missing !== null) {
    const file = join(path, missing);
    throw new MergeError(
      'E_SHARD_MISSING',
      `${file}: this shard is not there: the folder holds ${names.length} of ${count} shards, and no index`,
      {
        details: { file },
      },
    );
  }
  return { names, index: null, indexName: null, warnings: notIncluded(path, singles, new Set(names)) };
}

async function filesOfNanotron({ store, path }: Found): Promise<Files> {
  const found = await store.listBelow(join(path, 'model'));
  const names = found.filter((name) => name.endsWith('.safetensors')).map((name) => `model/${name}`);
  if (names.length === 0) {
    throw new MergeError('E_NO_CHECKPOINT', `${path}: its folder model holds no safetensors file`, { details: { file: path } });
  }
  return { names: names.sort(), index: null, indexName: null, warnings: [], namesPerFile: true };
}

async function openShards({ path, entries }: Found, files: Files, cache: ScanCache): Promise<Shard[]> {
  const paths = files.names.map((name) => (entries === null ? path : join(path, name)));
  const together = await readScans(paths, cache);
  const results = await mapBounded([...files.names.entries()], MAX_OPEN_FILES, async ([i, name]) => {
    const file = paths[i]!;
    try {
      const { scan, stat } = together[i] ?? (await readScan(file, cache, entries?.get(name)));
      return { name, path: file, stat, tensors: scan.tensors, metadata: scan.metadata };
    } catch (error) {
      if (!(error instanceof MergeError)) throw error;
      return shardError(error, file, files.indexName);
    }
  });
  const errors = results.filter((result) => result instanceof MergeError);
  const [first] = errors;
  if (first === undefined) return results as Shard[];
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

/** Several files, and nothing that says how they belong together. */
function noIndex(path: string, singles: readonly string[]): MergeError {
  const problem = `the folder holds ${singles.length} safetensors files and no index that says how they belong together`;
  const sharded = singles.some((name) => /-\d+-of-\d+\.safetensors$/.test(name));
  return new MergeError('E_NO_CHECKPOINT', `${path}: ${problem}`, {
    details: { file: path },
    help: sharded
      ? 'Copy model.safetensors.index.json from where the shards came from.'
      : 'Name one of the files, or save the checkpoint again with save_pretrained.',
  });
}

/** The first few names, and how many more there are. */
function listed(names: readonly string[]): string {
  const shown = names.slice(0, 3).join(', ');
  return names.length > 3 ? `${shown} and ${names.length - 3} more` : shown;
}
