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
  readonly #byFirst = new Map<string, NamesFrom>();
  #index: { readonly names: readonly string[]; entryOf(name: string): number } | undefined;

  /** Names of an index, which those of its files mostly follow. */
  addIndex(index: { readonly names: readonly string[]; entryOf(name: string): number }): void {
    this.#index = index;
  }

  /** Names of a header in its order. */
  addHeader(names: readonly string[]): void {
    const [first] = names;
    if (first !== undefined && !this.#byFirst.has(first)) this.#byFirst.set(first, { names, from: 0 });
  }

  /** What probably follows, where a header begins with this name. */
  likely(first: string): NamesFrom | undefined {
    const entry = this.#index?.entryOf(first) ?? -1;
    return entry === -1 ? this.#byFirst.get(first) : { names: this.#index!.names, from: entry };
  }
}
