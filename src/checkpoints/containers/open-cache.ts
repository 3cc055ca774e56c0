/**
 * What containers remember of the checkpoints opened with it. The steps of a run say much alike, so ten
 * inputs cost little more time and memory than one. Use one for the inputs of a merge and let it go with
 * them.
 */
export class OpenCache {
  readonly #parts = new Map<new () => object, object>();

  /** The part of one container: an object of its class, made when it is first asked for. */
  of<T extends object>(Part: new () => T): T {
    let part = this.#parts.get(Part) as T | undefined;
    if (part === undefined) {
      part = new Part();
      this.#parts.set(Part, part);
    }
    return part;
  }

  /** A cache that goes on with a part that was filled elsewhere. */
  static with(part: object): OpenCache {
    const cache = new OpenCache();
    cache.#parts.set(part.constructor as new () => object, part);
    return cache;
  }
}
