import type { TensorTable } from '../../tensors/types.ts';

/** Columns of a header but for the places of its data. */
export type HeaderColumns = Pick<TensorTable, 'names' | 'shapes' | 'dtypes' | 'bytes'>;

/** Names that a header may have, each once; of one header at a time it notes which were there. */
export class KnownNames {
  readonly names: readonly string[];
  readonly #entryOf: (name: string) => number;
  /** [names] The header that had it last. */
  readonly #had: Int32Array;
  #header = 0;
  /** What to add to the row of a name for the entry that is probably the same. */
  #shift = 0;

  /** @param entryOf of a name its place among the names, or -1 */
  constructor(names: readonly string[], entryOf: (name: string) => number) {
    this.names = names;
    this.#entryOf = entryOf;
    this.#had = new Int32Array(names.length);
  }

  /** A header begins. */
  begin(): void {
    this.#header++;
    this.#shift = 0;
  }

  has(name: string): boolean {
    return this.#entryOf(name) >= 0;
  }

  /** Entry of a name that a header has in a row, -1 where it is none of these, -2 where the header had it before. */
  take(name: string, row: number): number {
    let entry = row + this.#shift;
    if (this.names[entry] !== name) {
      entry = this.#entryOf(name);
      if (entry < 0) return -1;
      // What follows it there probably follows it here.
      this.#shift = entry - row;
    }
    if (this.#had[entry] === this.#header) return -2;
    this.#had[entry] = this.#header;
    return entry;
  }
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
  readonly #byFirst = new Map<string, { readonly known: KnownNames; readonly columns: HeaderColumns }>();
  #index: KnownNames | undefined;

  /** Names of an index, which those of its files mostly follow. */
  addIndex(index: { readonly names: readonly string[]; entryOf(name: string): number }): void {
    if (this.#index?.names !== index.names) this.#index = new KnownNames(index.names, (name) => index.entryOf(name));
  }

  /** Names of the index before, where a name is one of them. */
  index(name: string): KnownNames | undefined {
    const known = this.#index?.has(name) ? this.#index : undefined;
    known?.begin();
    return known;
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
    let rows: ReadonlyMap<string, number> | undefined;
    const rowOf = (name: string): number => {
      rows ??= new Map(names.map((other, row) => [other, row]));
      return rows.get(name) ?? -1;
    };
    this.#byFirst.set(first, { known: new KnownNames(names, rowOf), columns });
    return columns;
  }

  /** The names that a header probably has which begins with this one. */
  likely(first: string): KnownNames | undefined {
    const index = this.index(first);
    if (index !== undefined) return index;
    const known = this.#byFirst.get(first)?.known;
    known?.begin();
    return known;
  }
}

/** Bytes follow from shapes and dtypes. */
function isAlike(a: HeaderColumns, b: HeaderColumns): boolean {
  const count = a.names.length;
  if (count !== b.names.length || Buffer.compare(a.dtypes, b.dtypes) !== 0) return false;
  for (let row = 0; row < count; row++) if (a.names[row] !== b.names[row] || a.shapes[row] !== b.shapes[row]) return false;
  return true;
}
