import { realpath, stat, statfs } from 'node:fs/promises';
import { dirname, relative, resolve } from 'node:path';
import type { Checkpoint } from '../checkpoint/types.ts';
import { type Conflict, MergeError } from '../errors.ts';
import { checkOccupant, locate } from '../publish/destination.ts';
import { allocatedBytes, findPartials } from '../publish/partial.ts';

/** OUT ending in .safetensors is a file where inputs and layout are single files; anything else is a folder. */
export function outputKind(path: string, sources: readonly Checkpoint[]): 'folder' | 'file' {
  return path.endsWith('.safetensors') && sources.every((c) => c.kind === 'file') ? 'file' : 'folder';
}

function contains(outer: string, inner: string): boolean {
  const rest = relative(outer, inner);
  return rest === '' || (rest !== '..' && !rest.startsWith('../'));
}

/** What forbids an output where it is: an input there, something existing, a thing that cannot be replaced. Space is {@link freeSpace}'s. */
export async function outputConflicts(
  path: string,
  kind: 'folder' | 'file',
  sources: readonly Checkpoint[],
  force: boolean,
): Promise<Conflict[]> {
  try {
    const destination = await locate(path);
    for (const source of sources) {
      for (const place of [source.path, ...source.shards.map((s) => s.path)]) {
        const real = await realpath(place).catch(() => resolve(place));
        const inside = place === source.path && source.kind === 'folder' && contains(real, destination.path);
        if (!inside && !contains(destination.path, real)) continue;
        const how = destination.path === real ? 'is' : inside ? 'lies inside' : 'contains';
        return [{ code: 'E_OUTPUT_OVERLAPS_INPUT', message: `the output ${path} ${how} the input ${place}`, file: path }];
      }
    }
    await checkOccupant(destination, kind, force);
    return [];
  } catch (error) {
    if (!(error instanceof MergeError)) throw error;
    return [{ code: error.code, message: error.message, file: error.details.file ?? path }];
  }
}

/**
 * Bytes that may still be written where an output will be, with the file system's device to add outputs up. What unfinished merges to the same output
 * hold counts as free: they are continued or removed.
 */
export async function freeSpace(path: string): Promise<{ device: number; available: number }> {
  const destination = await locate(path);
  const place = destination.missing.length > 0 ? dirname(destination.missing[0]!) : destination.parent;
  const [space, { dev }] = await Promise.all([statfs(place), stat(place)]);
  // Some network and user-space file systems report no size at all.
  if (space.blocks === 0) return { device: dev, available: Number.POSITIVE_INFINITY };
  let available = space.bavail * space.bsize;
  for (const partial of await findPartials(path)) if (partial.state === 'stale') available += await allocatedBytes(partial.path);
  return { device: dev, available };
}
