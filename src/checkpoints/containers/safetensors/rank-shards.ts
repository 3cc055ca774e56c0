import { basename, join } from 'node:path';
import { dtypeByCode } from '../../../base/dtype.ts';
import { MergeError, type Warning } from '../../../base/errors.ts';
import { mapBounded } from '../../../base/map-bounded.ts';
import { BoxTable } from '../../tensors/box-table.ts';
import { locateIn, shardsOf } from '../../tensors/shards.ts';
import type { TensorFile } from '../../tensors/types.ts';
import type { Container, Found, Opened } from '../types.ts';
import { ScanCache } from './header-cache.ts';
import { MAX_OPEN_FILES } from './limits.ts';
import { readScan } from './read-header.ts';
import { isRankFile, rankGaps } from './shard-names.ts';

/**
 * What torch.distributed's HuggingFaceStorageWriter writes into `__metadata__`: where each tensor of the file
 * begins in the whole.
 */
const RANK_KEY = 'DCP_SHARDING_INFO';
/** The version of the form, beside it. */
const VERSION_KEY = 'DCP_VERSION';
/** Where the writer leaves them when it makes the whole beside them. */
const INNER = 'sharded';

/**
 * Safetensors files of torch.distributed, one or several a rank, each with its part of every tensor. Nothing
 * says how large the whole is: as far as its parts reach, which must leave no hole.
 */
export const rankShards: Container = {
  kind: 'safetensors, a file a rank',
  recognise: async (found) => (await filesOf(found)).length > 0,
  async open(found, cache): Promise<Opened> {
    const { path } = found;
    const names = await filesOf(found);
    const warnings = warningsOf(path, names);
    const scans = cache.of(ScanCache);
    const files = await mapBounded(names, MAX_OPEN_FILES, async (name) => {
      const at = join(path, name);
      const { scan, stat } = await readScan(at, scans);
      return { name, path: at, stat, scan } satisfies TensorFile & { readonly scan: unknown };
    });
    const starts = files.map(({ path: at, scan }) => startsOf(at, scan.metadata?.get(RANK_KEY)));
    const shapes = new Map<string, number[]>();
    for (const [f, { path: at, scan }] of files.entries()) {
      for (const [row, name] of scan.tensors.names.entries()) {
        const size = scan.tensors.shapes[row]!;
        const start = starts[f]!.get(name);
        if (start?.length !== size.length) throw failure(at, name, `has no place of ${size.length} dimensions in ${RANK_KEY}`);
        const whole = shapes.get(name) ?? size.map(() => 0);
        if (whole.length !== size.length) throw failure(at, name, 'has parts of different dimensions');
        shapes.set(
          name,
          whole.map((length, axis) => Math.max(length, start[axis]! + size[axis]!)),
        );
      }
    }
    const table = new BoxTable();
    for (const [f, { path: at, scan }] of files.entries()) {
      for (const [row, name] of scan.tensors.names.entries()) {
        const size = scan.tensors.shapes[row]!;
        const dtype = dtypeByCode(scan.tensors.dtypes[row]!);
        if ((table.get(name)?.dtype ?? dtype) !== dtype)
          throw failure(at, name, `is ${dtype.name} here, and ${table.get(name)!.dtype.name} in another file`);
        const stride = size.map((_, axis) => size.slice(axis + 1).reduce((product, length) => product * length, 1));
        const box = { file: f, offset: scan.tensors.offset[row]!, start: starts[f]!.get(name)!, size, stride };
        table.add(name, { dtype, shape: shapes.get(name)!, section: 'model' }, box);
      }
    }
    if (table.count === 0) throw new MergeError('E_NO_TENSORS', `${path}: the checkpoint holds no tensors`, { details: { file: path } });
    const tensors = table.table((name, text) => failure(path, name, text));
    const shards = shardsOf(tensors, files);
    const version = files[0]!.scan.metadata?.get(VERSION_KEY);
    return {
      form: {
        kind: 'safetensors',
        writer: 'torch.distributed.checkpoint (HuggingFaceStorageWriter, a file a rank)',
        version: version === undefined ? null : `${VERSION_KEY} ${version}`,
      },
      shards,
      files,
      heads: [],
      indexMetadata: null,
      indexName: null,
      namesPerFile: false,
      warnings,
      locate: locateIn(shards),
    };
  },
};

async function filesOf({ entries, paths }: Found): Promise<string[]> {
  if (entries === null) return [];
  const own = [...entries.keys()].filter(isRankFile);
  if (own.length > 0) return own.sort();
  if (!entries.has(INNER)) return [];
  return (await paths()).filter((path) => path.startsWith(`${INNER}/`) && isRankFile(basename(path))).sort();
}

/**
 * What the names of the files tell of some that are not there.
 * @throws MergeError E_SHARD_MISSING for a part of the model that no rank has
 */
function warningsOf(path: string, names: readonly string[]): Warning[] {
  const { part, files } = rankGaps(names.map((name) => basename(name)));
  if (part !== null) {
    const file = `model-${part.number}-of-${part.count}`;
    throw new MergeError('E_SHARD_MISSING', `${path}: no rank has a file of ${file}`, { details: { file: path } });
  }
  const [one] = files;
  if (one === undefined) return [];
  const more = files.length > 1 ? `, like ${files.length - 1} more of this rank,` : '';
  const message =
    `${path}: ${one}${more} is not there, and other ranks have a file of that part of the model: where it was lost, and not left out ` +
    'because this rank has nothing to put there, tensors end too early, which merge diff with another checkpoint shows';
  return [{ code: 'W_RANK_FILE', message }];
}

/** Where the tensors of a file begin in the whole. */
function startsOf(path: string, text: string | undefined): ReadonlyMap<string, readonly number[]> {
  const fault = (why: string): MergeError => new MergeError('E_METADATA', `${path}: ${RANK_KEY} ${why}`, { details: { file: path } });
  if (text === undefined) throw fault('is not in __metadata__, so that nothing says where its tensors belong');
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    throw fault('is no JSON');
  }
  if (typeof said !== 'object' || said === null || Array.isArray(said)) throw fault('is no object of tensors');
  return new Map(
    Object.entries(said).map(([name, entry]): [string, readonly number[]] => {
      const offsets: unknown = typeof entry === 'object' && entry !== null ? (entry as Record<string, unknown>).saved_offsets : undefined;
      if (!Array.isArray(offsets) || !offsets.every((value) => Number.isSafeInteger(value) && value >= 0)) {
        throw fault(`does not say in saved_offsets where ${JSON.stringify(name)} begins`);
      }
      return [name, offsets as number[]];
    }),
  );
}

function failure(file: string, tensor: string, text: string): MergeError {
  return new MergeError('E_DCP', `${file}: ${tensor} ${text}`, { details: { file, tensor } });
}
