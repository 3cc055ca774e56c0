import { basename, dirname, join } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { storeOf } from '../../base/store/store.ts';
import type { Store } from '../../base/store/types.ts';
import type { Found } from './types.ts';

/** Folders that are looked into: a checkpoint has a few, and an Orbax tree may have thousands. */
const FOLDERS_READ = 16;

const WEIGHTS = /\.(?:safetensors|pt|pth|bin|ckpt)$/;

/**
 * Looks at a path.
 * @throws MergeError E_NOT_FOUND, E_NOT_READABLE, E_IO
 */
export async function find(path: string): Promise<Found> {
  const store = storeOf(path);
  const listed = await store.list(path).catch(async (error: unknown) => {
    throw (await withExtension(store, path, error)) ?? error;
  });
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

/** Names of files of weights are easily given without their extension. */
async function withExtension(store: Store, path: string, error: unknown): Promise<MergeError | null> {
  if (!(error instanceof MergeError) || error.code !== 'E_NOT_FOUND') return null;
  const beside = (await store.list(dirname(path)).catch(() => null)) ?? [];
  const names = beside.map(({ name }) => name).filter((name) => name.startsWith(`${basename(path)}.`) && WEIGHTS.test(name));
  if (names.length === 0) return null;
  const { code, message, details, cause } = error;
  return new MergeError(code, message, { details, cause, help: `Name it with its extension: ${join(dirname(path), names[0]!)}` });
}

async function withInner(store: Store, path: string, names: readonly string[], folders: readonly string[]): Promise<string[]> {
  const paths = [...names];
  for (const folder of folders.slice(0, FOLDERS_READ)) {
    const inner = await store.list(join(path, folder)).catch(() => null);
    paths.push(...(inner ?? []).map(({ name }) => `${folder}/${name}`));
  }
  return paths;
}
