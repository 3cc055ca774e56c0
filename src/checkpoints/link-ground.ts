import { tmpdir } from 'node:os';
import { dirname, join, parse, resolve } from 'node:path';
import { SHARED_MEMORY } from '../base/disk/shared-memory.ts';
import { MergeError } from '../base/errors.ts';
import { homeFolder, homeOnRecord } from '../base/machine/user.ts';
import { storeOf } from '../base/store/store.ts';
import type { OpenFile } from '../base/store/types.ts';
import { positionFromName } from './names.ts';

/**
 * Folders, links resolved, in which a file that a checkpoint names may lie; null for anywhere. A checkpoint
 * is made by somebody else: without this, `tokenizer.json` as a link to a private file of whoever merges
 * would publish that file.
 */
export type LinkGround = readonly string[] | null;

/** A file of a checkpoint, as it was when it was looked at. */
export interface FoundFile {
  /** The path by which the checkpoint names it. */
  readonly path: string;
  /** The same with all links resolved: what is opened. */
  readonly real: string;
  /** Bytes. */
  readonly size: number;
  /** `Stat.version` of it. */
  readonly version: string;
}

/** A name that leads outside, and is not followed there. */
export interface LeadsOutside {
  /** Where it leads, links resolved. */
  readonly leadsTo: string;
}

/** Checkpoints that make a folder the folder of a run. */
const RUN_FROM = 2;
const WEIGHTS = /\.safetensors(\.index\.json)?$|^checkpoint_metadata\.json$/;

/**
 * Where the files of a checkpoint folder may lie: in that folder; in the folder that holds it, where that is
 * the folder of a run; in this user's Hub cache, or among the blobs of its own repository, where it is a snapshot
 * in another one.
 *
 * A folder of downloads is no run because it holds a checkpoint: there have to be two that are named by step
 * and hold weights, and a home folder, a root of temporary files and what contains one of them never are.
 * @throws MergeError E_NOT_FOUND, E_NOT_READABLE, E_IO
 */
export async function linkGround(checkpoint: string): Promise<LinkGround> {
  const store = storeOf(checkpoint);
  const own = await store.resolve(checkpoint);
  const ground = [own];
  // Where the folder itself is a link, its target has neighbours of its own.
  for (const parent of new Set([await store.resolve(dirname(resolve(checkpoint))), dirname(own)])) {
    if (!(await isWide(parent)) && (await holdsRun(parent))) ground.push(parent);
  }
  const repository = /^(.*\/models--[^/]+)\/snapshots\/[^/]+(?:\/|$)/.exec(own)?.[1];
  // As it stands: a cache whose blobs are a link to elsewhere is not what huggingface_hub makes.
  if (repository !== undefined) ground.push(join(repository, 'blobs'));
  for (const cache of hubCaches()) {
    const real = await store.resolve(cache).catch(() => null);
    if (real !== null && !(await isWide(real))) ground.push(real);
  }
  return ground;
}

/**
 * Where huggingface_hub keeps what it downloads for this user, as its variables say: a run's tokenizer may be
 * a link to there.
 */
function hubCaches(): string[] {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env;
  const own = HF_HUB_CACHE || HUGGINGFACE_HUB_CACHE;
  if (own) return [own];
  if (HF_HOME) return [join(HF_HOME, 'hub')];
  const home = homeFolder();
  const cache = XDG_CACHE_HOME || (home === null ? null : join(home, '.cache'));
  return cache === null ? [] : [join(cache, 'huggingface', 'hub')];
}

/** The path of a file or folder with its links resolved, or where it leads outside. @throws MergeError */
export async function resolveWithin(path: string, ground: LinkGround): Promise<{ readonly real: string } | LeadsOutside> {
  const real = await storeOf(path).resolve(path);
  return ground === null || ground.some((folder) => lies(real, folder)) ? { real } : { leadsTo: real };
}

/**
 * Looks at a file and opens it once, so that one that could not be read later is found out now.
 * @param real of {@link resolveWithin}
 * @throws MergeError E_NOT_FOUND; E_NOT_READABLE for what is no regular file, too; E_INPUT_CHANGED where it
 *   became a link meanwhile; E_IO
 */
export async function lookAt(path: string, real: string): Promise<FoundFile> {
  const file = await storeOf(real).openResolved(real);
  await file.close();
  return { path, real, size: file.stat.size, version: file.stat.version };
}

/**
 * Opens a file that was looked at, and no other.
 * @throws MergeError E_INPUT_CHANGED where another file, or another content, is there now; E_NOT_FOUND,
 *   E_NOT_READABLE, E_IO
 */
export async function openFound({ path, real, version }: FoundFile): Promise<OpenFile> {
  const file = await storeOf(real).openResolved(real);
  if (file.stat.version === version) return file;
  await file.close();
  throw new MergeError('E_INPUT_CHANGED', `${path}: it is not the file that it was when the merge was planned`, {
    details: { file: path },
  });
}

/** Whether `path` is `folder` or lies in it, both without links. */
function lies(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}

async function holdsRun(folder: string): Promise<boolean> {
  const store = storeOf(folder);
  const list = async (path: string) => (await store.list(path).catch(() => null)) ?? [];
  let checkpoints = 0;
  for (const { name, kind } of await list(folder)) {
    if (positionFromName(kind === 'file' ? parse(name).name : name) === null) continue;
    const holds = kind === 'file' ? WEIGHTS.test(name) : (await list(join(folder, name))).some((inner) => WEIGHTS.test(inner.name));
    if (holds) checkpoints++;
    if (checkpoints === RUN_FROM) return true;
  }
  return false;
}

/** Whether a folder is or contains one in which the files of one person, or of all, lie side by side. */
async function isWide(folder: string): Promise<boolean> {
  for (const named of [homeFolder(), homeOnRecord(), tmpdir(), '/tmp', '/var/tmp', SHARED_MEMORY]) {
    if (named === null) continue;
    // This machine may have none of it.
    const shared = await storeOf(named)
      .resolve(named)
      .catch(() => null);
    if (shared !== null && lies(shared, folder)) return true;
  }
  return false;
}
