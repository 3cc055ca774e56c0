import { lstat, readdir, realpath, statfs } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import type { Checkpoint } from '../checkpoint/types.ts';
import type { Conflict } from '../errors.ts';

/** OUT ending in .safetensors with single-file inputs is a file; anything else is a folder. */
export function outputKind(path: string, inputs: readonly Checkpoint[]): 'folder' | 'file' {
  return path.endsWith('.safetensors') && inputs.every((c) => c.kind === 'file') ? 'file' : 'folder';
}

/** The nearest ancestor (or the path itself) that exists, through symlinks, and what lies below it. */
async function existingAncestor(path: string): Promise<{ real: string; rest: string }> {
  let head = resolve(path);
  let rest = '';
  for (;;) {
    try {
      return { real: await realpath(head), rest };
    } catch {
      const parent = dirname(head);
      if (parent === head) return { real: head, rest };
      rest = rest === '' ? basename(head) : join(basename(head), rest);
      head = parent;
    }
  }
}

/** Where OUT really is or will be, symlinks of existing parents resolved. */
async function realDestination(path: string): Promise<string> {
  const { real, rest } = await existingAncestor(path);
  return rest === '' ? real : join(real, rest);
}

function contains(outer: string, inner: string): boolean {
  const rel = relative(outer, inner);
  return rel === '' || (!rel.startsWith('..') && !isAbsolute(rel));
}

/** What forbids an output where it is: an input there, something existing, a thing that cannot be replaced. Space is {@link freeBytes}'s. */
export async function outputConflicts(path: string, sources: readonly Checkpoint[], force: boolean): Promise<Conflict[]> {
  const destination = await realDestination(path);
  for (const source of sources) {
    const places = [source.path, ...source.shards.map((s) => s.path)];
    for (const place of places) {
      const real = await realpath(place).catch(() => resolve(place));
      const folder = place === source.path && source.kind === 'folder';
      if (contains(destination, real) || (folder && contains(real, destination))) {
        const how = destination === real ? 'is' : contains(destination, real) ? 'contains' : 'lies inside';
        return [{ code: 'E_OUTPUT_OVERLAPS_INPUT', message: `the output ${path} ${how} the input ${place}`, file: path }];
      }
    }
  }
  const stat = await lstat(destination).catch(() => undefined);
  if (stat === undefined) return [];
  if (!stat.isFile() && !stat.isDirectory()) {
    return [{ code: 'E_OUTPUT_KIND', message: `the output ${path} is neither a file nor a folder`, file: path }];
  }
  if (force) return [];
  if (stat.isDirectory() && (await readdir(destination)).length === 0) return [];
  return [{ code: 'E_OUTPUT_EXISTS', message: `the output ${path} exists`, file: path }];
}

/** Bytes that an unprivileged process may still write on the file system where `path` is or will be; with its device, to add outputs up. */
export async function freeBytes(path: string): Promise<{ device: number; available: number }> {
  const { real } = await existingAncestor(path);
  const [space, stat] = await Promise.all([statfs(real), lstat(real)]);
  return { device: stat.dev, available: space.bavail * space.bsize };
}
