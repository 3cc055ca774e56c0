import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { positionFromName } from '../names.ts';

/** A revision that the Hub's cache holds. */
export interface Snapshot {
  readonly path: string;
  /** The revision whose name gives a position, else the first by name, else the commit. */
  readonly name: string;
}

/**
 * The folder of a repository in the Hub's cache (`models--org--name`, with `refs/` and `snapshots/`), if
 * `path` is that or its `snapshots`; else null.
 */
export async function hubRepository(path: string): Promise<string | null> {
  const folder = basename(resolve(path)) === 'snapshots' ? dirname(resolve(path)) : path;
  const entries: string[] = await readdir(folder).catch(() => []);
  return entries.includes('refs') && entries.includes('snapshots') ? folder : null;
}

/**
 * The snapshots of a repository in the Hub's cache, by the names of their revisions: a file `refs/NAME` holds
 * the commit, and `snapshots/COMMIT/` the files, as links into `blobs/`.
 */
export async function snapshots(repository: string): Promise<Snapshot[]> {
  const refs = join(repository, 'refs');
  const files = await readdir(refs, { recursive: true, withFileTypes: true }).catch(() => []);
  const names = new Map<string, string[]>();
  for (const file of files.filter((entry) => entry.isFile())) {
    const path = join(file.parentPath, file.name);
    const commit = (await readFile(path, 'utf8')).trim();
    names.set(commit, [...(names.get(commit) ?? []), relative(refs, path)]);
  }
  const commits = await readdir(join(repository, 'snapshots'));
  return commits.sort().map((commit) => {
    const revisions = (names.get(commit) ?? []).sort();
    const name = revisions.find((revision) => positionFromName(revision) !== null) ?? revisions[0] ?? commit;
    return { path: join(repository, 'snapshots', commit), name };
  });
}
