import { basename } from 'node:path';
import { MergeError } from '../base/errors.ts';
import type { FileStat, LocalStat } from '../base/store/local.ts';
import { containerOf } from './containers/all.ts';
import { find } from './containers/found.ts';
import { OpenCache } from './containers/open-cache.ts';
import { safetensors } from './containers/safetensors/container.ts';
import { HeaderCache, scansOf } from './containers/safetensors/header-cache.ts';
import { headerOf } from './containers/safetensors/scan-header.ts';
import type { SafetensorsHeader } from './containers/safetensors/types.ts';
import type { Container, Found, Opened } from './containers/types.ts';
import { emptiedConflict } from './emptied.ts';
import { innerCheckpoints } from './inner-checkpoint.ts';
import { type NamedPosition, positionFromName } from './names.ts';
import { notACheckpoint, severalInside } from './not-a-checkpoint.ts';
import { positionOfFolder, readPosition } from './position.ts';
import { dataBytes } from './tensors/table.ts';
import type { Checkpoint } from './types.ts';

export interface OpenOptions {
  /** Shared between the inputs of a merge, so that what they say alike is read and kept once. */
  readonly cache?: OpenCache;
  /**
   * Name that gives its position, where that is not the folder's or file's own: the revision of a snapshot in
   * the Hub's cache.
   */
  readonly name?: string;
  /** The position that its name gives among those of its siblings, where that is known. */
  readonly position?: NamedPosition;
  /** Whether its name is that of a checkpoint, although it gives no step: it may lie deeper in its folder. */
  readonly deeper?: boolean;
  /**
   * Whether it is one of many that are looked at and not read from: where its tensors lie may be left open.
   */
  readonly listed?: boolean;
  /**
   * Whether the optimizer's state belongs to it where that lies in files of its own, as DeepSpeed's of each rank
   * does: a merge that training goes on from has it. Others do not read these files.
   */
  readonly withState?: boolean | undefined;
}

/**
 * Opens a checkpoint, a folder or a file, in whatever container knows it; one that lies inside the folder of
 * its step (`epoch_0_step_20/model/consolidated`) by that folder, too. What its tensors are is read and
 * checked, data is not, and no file stays open.
 * @throws MergeError E_NOT_FOUND, E_NOT_READABLE, E_NO_CHECKPOINT, E_AMBIGUOUS, E_NO_TENSORS,
 * E_OTHER_CONTENT, E_SHARD_MISSING, E_TENSOR_MISPLACED, E_TENSOR_TWICE, E_TENSOR_UNINDEXED, and what
 * `readHeader` and `readIndex` throw; with several faults, all are in `details.conflicts`
 */
export async function openCheckpoint(
  path: string,
  { cache = new OpenCache(), name, position: named, deeper = false, listed = false, withState = false }: OpenOptions = {},
): Promise<Checkpoint> {
  const { found, container } = await lookInto(await find(path), { name, position: named, deeper });
  const step = (named ?? positionFromName(name ?? basename(path)))?.step ?? null;
  const opened = await (listed && container.list !== undefined
    ? container.list(found, cache, step)
    : container.open({ ...found, withState }, cache));
  refuseEmptied(found.path, opened);
  const isFolder = found.entries !== null;
  const { state, ...told } = opened;
  const outer = found.path === path ? undefined : path;
  const known = { name, position: named, entries: found.entries ?? undefined, outer, state };
  const { warnings, ...position } = await readPosition(found.path, isFolder, known);
  return {
    path: found.path,
    kind: isFolder ? 'folder' : 'file',
    ...told,
    tensorCount: opened.shards.reduce((sum, { tensors }) => sum + tensors.count, 0),
    bytes: dataBytes(opened.shards),
    ...position,
    warnings: [...opened.warnings, ...warnings],
  };
}

const openListed = (path: string): Promise<Checkpoint> => openCheckpoint(path, { listed: true });

/** Share of its tensors from which on empty ones are what a checkpoint is about. */
const EMPTIED = 1 / 4;

/** @throws MergeError E_NO_TENSORS where so much is empty that it says nothing of the model */
function refuseEmptied(path: string, { shards }: Opened): void {
  let [all, count, first] = [0, 0, ''];
  let shape: readonly number[] = [];
  for (const { tensors } of shards) {
    all += tensors.count;
    for (let row = 0; row < tensors.count; row++) {
      if (tensors.bytes[row] !== 0 || !tensors.names[row]!.endsWith('weight')) continue;
      if (count++ === 0) [first, shape] = [tensors.names[row]!, tensors.shapes[row]!];
    }
  }
  if (count === 0 || count < EMPTIED * all) return;
  const { code, message, help } = emptiedConflict(path, { count, all, first, shape });
  throw new MergeError(code, message, { details: { file: path, tensor: first }, ...(help !== undefined && { help }) });
}

/** The checkpoint that is meant by a path, and who can read it. @throws MergeError where there is none */
async function lookInto(
  found: Found,
  { name, position: named, deeper }: { name: string | undefined; position: NamedPosition | undefined; deeper: boolean },
): Promise<{ found: Found; container: Container }> {
  const container = await containerOf(found);
  if (container === safetensors) return { found, container };
  const position = named ?? (name === undefined ? await positionOfFolder(found.path) : positionFromName(name));
  const inner = found.entries === null ? [] : await innerCheckpoints(found, position?.step ?? null, container === undefined);
  const [only, other] = inner;
  // In a folder that names no step they may be anything: a run of one checkpoint, say.
  if (only === undefined || (position == null && !deeper)) {
    if (container !== undefined) return { found, container };
    throw await notACheckpoint(found, inner, openListed);
  }
  // Beside its own form a trainer keeps what it exported, which others load.
  if (other !== undefined) throw severalInside(found.path, inner);
  const within = await find(only);
  const reader = await containerOf(within);
  if (reader === undefined) throw await notACheckpoint(found, [], openListed);
  return { found: within, container: reader };
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
export async function openSafetensors(
  path: string,
  { cache = new HeaderCache(), ...options }: Pick<OpenOptions, 'name'> & { readonly cache?: HeaderCache } = {},
): Promise<SafetensorsCheckpoint> {
  const { files: _, ...checkpoint } = await openCheckpoint(path, { cache: OpenCache.with(scansOf(cache)), ...options });
  const shards = checkpoint.shards.map(({ name, path: file, stat, tensors }): SafetensorsShard => {
    // Its path is one of this machine.
    const local = stat as LocalStat;
    return { name, path: file, stat: local, header: { path: file, fileSize: stat.size, ...headerOf(tensors) } };
  });
  return { ...checkpoint, shards };
}
