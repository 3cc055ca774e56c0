import { basename, join } from 'node:path';
import { MergeError, type Warning } from '../../../base/errors.ts';
import { mapBounded } from '../../../base/map-bounded.ts';
import { BoxTable } from '../../tensors/box-table.ts';
import { locateIn, shardsOf } from '../../tensors/shards.ts';
import type { TensorFile } from '../../tensors/types.ts';
import type { Container, Found, Opened } from '../types.ts';
import { Region } from '../zip/region.ts';
import { type PlacedTensor, placeInStorage, readArchive } from './archive.ts';
import { type DTensorPart, dtensorOf } from './dtensor.ts';
import { type Leaf, leavesOf } from './state.ts';
import { type TorchTensor, tensorOf } from './tensor.ts';
import { tensorFingerprint } from './tensor-fingerprint.ts';
import { unreachedTensors } from './unreached.ts';

/** verl's, which says how many there are, and accelerate's. */
const RANK_FILE = /^(?:model_world_size_(?<world>\d+)_rank_(?<verl>\d+)\.pt|pytorch_model_fsdp(?:_0)?_rank(?<accelerate>\d+)\.bin)$/;
/** Folders in which verl keeps them: one a model that it trains. */
const INNER = ['actor', 'critic'];
/** Files that are read at the same time. */
const READS = 16;
/** Names that a warning gives. */
const EXAMPLES = 3;

/** A tensor of a rank's file, and where it lies. */
interface RankTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly start: readonly number[];
  readonly replicated: boolean;
  /** Ranks that have a part of it; 1 of a plain tensor. */
  readonly ranks: number;
  readonly placed: PlacedTensor;
  /** What other ranks with the same part must have too; null where nothing is looked at. */
  readonly print: string | null;
}

/**
 * The state of FSDP as verl saves it, or accelerate with use_dcp=False: a file of torch.save for each rank,
 * in which tensors are DTensors. All ranks must be there.
 */
export const fsdpRanks: Container = {
  kind: 'FSDP, a file a rank',
  recognise: async (found) => (await rankFiles(found)).length > 0,
  async open(found): Promise<Opened> {
    const { path, store } = found;
    const all = await rankFiles(found);
    refuseIncomplete(path, all);
    const ranks = await mapBounded(all, READS, async ({ name }) => {
      const file = await store.open(join(path, name));
      try {
        const region = new Region(file, basename(name));
        const { root, storages } = await readArchive(region);
        const fault = (tensor: string, text: string): MergeError => failure(file.path, tensor, text);
        const tensors: RankTensor[] = [];
        for (const leaf of leavesOf(root, (text) => fault('what was saved', text))) {
          const part = partOf(leaf, storages, fault);
          if (part === null) continue;
          // Replicas of a DTensor are made alike by what made it; nothing does so for what each rank has
          // whole.
          const alone = part.ranks < all.length && !part.placed.shape.includes(0);
          tensors.push({ ...part, print: alone ? await tensorFingerprint(region, part.placed) : null });
        }
        return { file: { name, path: file.path, stat: file.stat } satisfies TensorFile, tensors, lost: unreachedTensors(root, file.path) };
      } finally {
        await file.close();
      }
    });
    const world = ranks.reduce((most, { tensors }) => tensors.reduce((max, tensor) => Math.max(max, tensor.ranks), most), 1);
    if (all.length < world) throw missing(path, all, world, all.length);
    const table = new BoxTable();
    const taken = new Map<string, { readonly print: string | null; readonly path: string }>();
    const having = new Map<string, number>();
    for (const [rank, { file, tensors }] of ranks.entries()) {
      for (const { name, shape, start, replicated, placed, ranks: parts, print } of tensors) {
        const known = table.get(name);
        if (known !== undefined && (known.dtype !== placed.dtype || known.shape.join() !== shape.join())) {
          throw failure(file.path, name, `is another tensor than in ${ranks[0]!.file.path}`);
        }
        if (parts === 1) having.set(name, (having.get(name) ?? 0) + 1);
        // What several ranks hold is taken from the first.
        const key = `${name} ${start.join()} ${placed.shape.join()}`;
        const same = taken.get(key);
        if (same !== undefined && (replicated || parts < all.length || placed.shape.includes(0))) {
          if (same.print !== print) throw otherBytes(file.path, name, same.path);
          continue;
        }
        taken.set(key, { print, path: file.path });
        const box = { file: rank, offset: placed.at, start, size: placed.shape, stride: placed.stride };
        table.add(name, { dtype: placed.dtype, shape, section: 'model' }, box);
      }
    }
    const tensors = table.table((name, text) => failure(path, name, text));
    const files = ranks.map(({ file }) => file);
    const shards = shardsOf(tensors, files);
    return {
      form: {
        kind: 'torch',
        writer: `torch.save of FSDP, a file a rank (${all[0]!.world === null ? 'accelerate' : 'verl'})`,
        version: `world size ${ranks.length}`,
      },
      shards,
      files,
      heads: [],
      indexMetadata: null,
      indexName: null,
      namesPerFile: false,
      // What ranks have there they have alike.
      warnings: [...ofSomeRanks(path, having, ranks.length), ...(ranks.find(({ lost }) => lost.length > 0)?.lost ?? [])],
      locate: locateIn(shards),
    };
  },
};

/** A rank's file. */
interface RankFile {
  readonly name: string;
  /** How many there are; null where the name does not say it. */
  readonly world: number | null;
  readonly rank: number;
}

/** The files of ranks below the path, in their order. */
async function rankFiles({ entries, paths }: Found): Promise<RankFile[]> {
  if (entries === null) return [];
  const own = [...entries.keys()].some((name) => RANK_FILE.test(name));
  const inner = INNER.find((name) => entries.has(name));
  if (!own && inner === undefined) return [];
  const names = own ? [...entries.keys()] : (await paths()).filter((name) => name.startsWith(`${inner}/`));
  return names
    .flatMap((name) => {
      const match = RANK_FILE.exec(basename(name));
      if (match === null) return [];
      const { world, verl, accelerate } = match.groups!;
      return [{ name, world: world === undefined ? null : Number(world), rank: Number(verl ?? accelerate) }];
    })
    .sort((a, b) => a.rank - b.rank);
}

/** @throws MergeError E_SHARD_MISSING where not each rank's file is there once */
function refuseIncomplete(path: string, ranks: readonly RankFile[]): void {
  const { world } = ranks[0]!;
  const odd = ranks.findIndex((file, i) => file.rank !== i || file.world !== world);
  if (odd === -1 && ranks.length === (world ?? ranks.length)) return;
  throw missing(path, ranks, world, odd === -1 ? ranks.length : odd);
}

/** @param world files that there should be; null where that is not known */
function missing(path: string, ranks: readonly RankFile[], world: number | null, rank: number): MergeError {
  const file = join(
    path,
    ranks[0]!.name.replace(/(rank_?)\d+/, (_, word: string) => `${word}${rank}`),
  );
  const there = `${ranks.length}${world === null ? '' : ` of ${world}`}`;
  return new MergeError('E_SHARD_MISSING', `${file}: this rank's file is not there: the folder holds ${there}`, { details: { file } });
}

function partOf(
  leaf: Leaf,
  storages: Parameters<typeof placeInStorage>[1],
  fault: (tensor: string, text: string) => MergeError,
): Omit<RankTensor, 'print'> | null {
  const part: DTensorPart | TorchTensor | { readonly refused: string } | null = dtensorOf(leaf.value) ?? tensorOf(leaf.value);
  if (part === null) return null;
  const { name } = leaf;
  if ('refused' in part) throw fault(name, part.refused);
  const tensor = 'local' in part ? part.local : part;
  const placed = placeInStorage(tensor, storages);
  if ('refused' in placed) throw fault(name, placed.refused);
  // A plain tensor is whole in every rank's file.
  const { shape, start, replicated, ranks } =
    'local' in part ? part : { shape: tensor.shape, start: tensor.shape.map(() => 0), replicated: true, ranks: 1 };
  return { name, shape, start, replicated, ranks, placed };
}

function failure(file: string, tensor: string, text: string): MergeError {
  return new MergeError('E_TORCH_FILE', `${file}: ${tensor} ${text}`, { details: { file, tensor } });
}

function otherBytes(file: string, tensor: string, first: string): MergeError {
  return new MergeError(
    'E_TORCH_FILE',
    `${file}: ${tensor} has other bytes than in ${first}, and both ranks say that they have all of it`,
    {
      details: { file, tensor },
      help:
        "Nothing tells which rank's it is: gather the state before it is saved (torch.distributed.checkpoint.state_dict.get_model_state_dict " +
        'with full_state_dict=True), or save it with torch.distributed.checkpoint.',
    },
  );
}

/** @param having for tensors that a rank has whole, the ranks that have them */
function ofSomeRanks(path: string, having: ReadonlyMap<string, number>, ranks: number): Warning[] {
  const names = [...having].flatMap(([name, count]) => (count < ranks ? [name] : []));
  if (names.length === 0) return [];
  const examples = `${names.slice(0, EXAMPLES).join(', ')}${names.length > EXAMPLES ? ', …' : ''}`;
  const [are, they] = names.length === 1 ? ['1 tensor is', 'it is'] : [`${names.length} tensors are`, 'they are'];
  const message =
    `${path}: ${are} not in the files of all ${ranks} ranks (${examples}): ${they} taken from those that have ` +
    `${names.length === 1 ? 'it' : 'them'}. Where each rank should, the files are of different saves: compare their times`;
  return [{ code: 'W_SOME_RANKS', message }];
}
