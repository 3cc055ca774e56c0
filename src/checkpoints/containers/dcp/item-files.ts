import { join } from 'node:path';
import { mapBounded } from '../../../base/map-bounded.ts';
import type { OpenFile, Stat, Store } from '../../../base/store/types.ts';

/** Files that are looked at at the same time. */
const LOOKED_AT = 16;

/** The files that items lie in, of which there may be thousands: each is open while it is read. */
export class ItemFiles {
  readonly paths: readonly string[];
  readonly stats: readonly Stat[];
  readonly #store: Store;

  private constructor(store: Store, paths: readonly string[], stats: readonly Stat[]) {
    this.#store = store;
    this.paths = paths;
    this.stats = stats;
  }

  /** @param names in the folder @throws MergeError E_NOT_FOUND, E_NOT_READABLE, E_IO */
  static async of(store: Store, folder: string, names: readonly string[]): Promise<ItemFiles> {
    const paths = names.map((name) => join(folder, name));
    const stats = await mapBounded(paths, LOOKED_AT, (path) => store.stat(path));
    const other = stats.findIndex(({ kind }) => kind !== 'file');
    // Opening it says what it is instead.
    if (other >= 0) await (await store.open(paths[other]!)).close();
    return new ItemFiles(store, paths, stats);
  }

  /** @throws MergeError as opening does, and what `work` throws */
  async use<T>(file: number, work: (opened: OpenFile) => Promise<T>): Promise<T> {
    const opened = await this.#store.open(this.paths[file]!);
    try {
      return await work(opened);
    } finally {
      await opened.close();
    }
  }
}
