import { basename, join, relative } from 'node:path';
import { readWhole, storeOf } from '../../base/store/store.ts';
import { snapshotFolders } from '../hub.ts';
import { positionFromName } from '../names.ts';

/** A revision that the Hub's cache holds. */
export interface Snapshot {
  readonly path: string;
  /** The revision whose name gives a position, else the first by name, else the commit. */
  readonly name: string;
}

/** A file of `refs/` holds a commit of 40 characters. */
const MAX_REF_BYTES = 4096;

/**
 * The snapshots of a repository in the Hub's cache, by the names of their revisions: a file `refs/NAME` holds
 * the commit, and `snapshots/COMMIT/` the files, as links into `blobs/`.
 */
export async function snapshots(repository: string): Promise<Snapshot[]> {
  const refs = join(repository, 'refs');
  const names = new Map<string, string[]>();
  for (const path of await filesBelow(refs)) {
    const commit = (await readWhole(path, MAX_REF_BYTES)).toString().trim();
    names.set(commit, [...(names.get(commit) ?? []), relative(refs, path)]);
  }
  return (await snapshotFolders(repository)).map((path) => {
    const commit = basename(path);
    const revisions = (names.get(commit) ?? []).sort();
    return { path, name: revisions.find((revision) => positionFromName(revision) !== null) ?? revisions[0] ?? commit };
  });
}

/** Names of revisions may hold slashes: then their files lie in folders. */
async function filesBelow(folder: string): Promise<string[]> {
  const entries = await storeOf(folder)
    .list(folder)
    .catch(() => null);
  const files: string[] = [];
  for (const { name, kind } of entries ?? []) {
    if (kind === 'file') files.push(join(folder, name));
    else if (kind === 'folder') files.push(...(await filesBelow(join(folder, name))));
  }
  return files;
}
