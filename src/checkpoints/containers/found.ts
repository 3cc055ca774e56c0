import { join } from 'node:path';
import { storeOf } from '../../base/store/store.ts';
import type { Store } from '../../base/store/types.ts';
import type { Found } from './types.ts';

/** Folders that are looked into: a checkpoint has a few, and an Orbax tree may have thousands. */
const FOLDERS_READ = 16;

/**
 * Looks at a path.
 * @throws MergeError E_NOT_FOUND, E_NOT_READABLE, E_IO
 */
export async function find(path: string): Promise<Found> {
  const store = storeOf(path);
  const listed = await store.list(path);
  if (listed === null) {
    // A path below a file is nothing, and a file is something: only the latter can be looked at.
    await store.stat(path);
    return { store, path, entries: null, paths: () => Promise.resolve([]) };
  }
  const folders = listed.filter(({ kind }) => kind === 'folder').map(({ name }) => name);
  let paths: Promise<readonly string[]> | undefined;
  return {
    store,
    path,
    entries: new Map(listed.map(({ name, kind }) => [name, kind === 'file'])),
    paths: () => {
      paths ??= withInner(
        store,
        path,
        listed.map(({ name }) => name),
        folders,
      );
      return paths;
    },
  };
}

async function withInner(store: Store, path: string, names: readonly string[], folders: readonly string[]): Promise<string[]> {
  const paths = [...names];
  for (const folder of folders.slice(0, FOLDERS_READ)) {
    const inner = await store.list(join(path, folder)).catch(() => null);
    paths.push(...(inner ?? []).map(({ name }) => `${folder}/${name}`));
  }
  return paths;
}
