import type { TensorTable } from '../../tensors/types.ts';

/** Columns of a header but for the places of its data. */
export type HeaderColumns = Pick<TensorTable, 'names' | 'shapes' | 'dtypes' | 'bytes'>;

/** Names in an order, from one of them on. */
export interface NamesFrom {
  readonly names: readonly string[];
  readonly from: number;
}

/**
 * Names of tensors as they were read before. The steps of a run have the same in the same order: where they are
 * the same strings, too, half a million of them for each step take no memory, and to look one up or compare two
 * takes no time.
 */
export class SeenNames {
  /** Shapes by their sizes: equal ones are one array. */
  readonly shapes = new Map<string, readonly number[]>();
  /** Headers by their first names: the last of each, for the steps of a run follow one another. */
  readonly #byFirst = new Map<string, NamesFrom & { readonly columns: HeaderColumns }>();
  #index: { readonly names: readonly string[]; entryOf(name: string): number } | undefined;

  /** Names of an index, which those of its files mostly follow. */
  addIndex(index: { readonly names: readonly string[]; entryOf(name: string): number }): void {
    this.#index = index;
  }

  /**
   * Takes the names of a header in its order, and its columns. A header of the same tensors, be they in another
   * place of its file, has the columns of the one before it: who has worked out what they mean finds them again.
   */
  addHeader(names: readonly string[], columns: HeaderColumns): HeaderColumns {
    const [first] = names;
    if (first === undefined) return columns;
    const before = this.#byFirst.get(first)?.columns;
    if (before !== undefined && isAlike(before, columns)) return before;
    this.#byFirst.set(first, { names, from: 0, columns });
    return columns;
  }

  /** What probably follows, where a header begins with this name. */
  likely(first: string): NamesFrom | undefined {
    const entry = this.#index?.entryOf(first) ?? -1;
    return entry === -1 ? this.#byFirst.get(first) : { names: this.#index!.names, from: entry };
  }
}

/** Bytes follow from shapes and dtypes. */
function isAlike(a: HeaderColumns, b: HeaderColumns): boolean {
  const count = a.names.length;
  if (count !== b.names.length || Buffer.compare(a.dtypes, b.dtypes) !== 0) return false;
  for (let row = 0; row < count; row++) if (a.names[row] !== b.names[row] || a.shapes[row] !== b.shapes[row]) return false;
  return true;
}
