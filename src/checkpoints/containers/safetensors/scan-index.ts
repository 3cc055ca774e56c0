import { JsonScanner } from './json-scanner.ts';
import type { KnownNames, SeenNames } from './seen-names.ts';

/**
 * An index file: which shard holds which tensor. Columns, as in a header: entry i is `names[i]` in
 * `shards[shardOf[i]]`.
 */
export interface SafetensorsIndex {
  /**
   * The `metadata` object as it was parsed (`total_size`, `total_parameters`, whatever else is there), or
   * null where there is none.
   */
  readonly metadata: ReadonlyMap<string, unknown> | null;
  /** Each shard once, as the index writes it but without `./`: a plain path that stays inside the folder. */
  readonly shards: readonly string[];
  /** Tensors, in the order of the file. */
  readonly names: readonly string[];
  readonly shardOf: Int32Array;
  /** Entry of a tensor, or -1. */
  entryOf(name: string): number;
}

/**
 * Reads the text of an index strictly.
 * @throws MergeError E_INDEX_JSON, E_INDEX_UTF8, E_INDEX_PATH, E_DUPLICATE_KEY, E_SURROGATE, naming file,
 *   tensor and byte position
 */
export function scanIndex(bytes: Uint8Array, path: string): SafetensorsIndex {
  return scanIndexAfter(bytes, path);
}

/** As {@link scanIndex}. @param before names that were read before: those of an index of the same tensors are kept */
export function scanIndexAfter(bytes: Uint8Array, path: string, before?: SeenNames): SafetensorsIndex {
  const scanner = new JsonScanner(bytes, { path, offset: 0, what: 'index', syntax: 'E_INDEX_JSON', utf8: 'E_INDEX_UTF8' });
  let metadata: ReadonlyMap<string, unknown> | null = null;
  let weightMap: Omit<SafetensorsIndex, 'metadata'> | undefined;
  const seen = new Set<string>();
  if (scanner.peek() !== 0x7b) scanner.fail('E_INDEX_JSON', 'the index is not an object');
  scanner.object((key, start) => {
    if (seen.has(key)) scanner.fail('E_DUPLICATE_KEY', `the index holds the key ${JSON.stringify(key)} twice`, start);
    seen.add(key);
    if (key === 'weight_map') {
      weightMap = scanWeightMap(scanner, before);
      return;
    }
    const at = scanner.pos;
    const value = scanner.value();
    if (key !== 'metadata' || value === null) return;
    if (!(value instanceof Map)) return scanner.fail('E_INDEX_JSON', 'metadata is not an object', at);
    metadata = value;
  });
  scanner.finish('\t\r\n');
  return { metadata, ...(weightMap ?? scanner.fail('E_INDEX_JSON', 'the index has no weight_map', 0)) };
}

function scanWeightMap(scanner: JsonScanner, before: SeenNames | undefined): Omit<SafetensorsIndex, 'metadata'> {
  if (scanner.peek() !== 0x7b) scanner.fail('E_INDEX_JSON', 'weight_map is not an object');
  const tensors = new IndexedNames(before);
  const shardOf: number[] = [];
  const shards: string[] = [];
  const numbers = new Map<string, number>();
  scanner.object((tensor, start) => {
    scanner.tensor = tensor;
    if (scanner.peek() !== 0x22) scanner.fail('E_INDEX_JSON', 'the name of its shard is not a string');
    const at = scanner.pos;
    const shard = scanner.string();
    let number = numbers.get(shard);
    if (number === undefined) {
      const fault = shardNameFault(shard);
      if (fault !== undefined) scanner.fail('E_INDEX_PATH', `its shard ${JSON.stringify(shard)} ${fault}`, at);
      // `./name` is `name`, and one shard under both.
      const plain = shard.replaceAll(/(?<=^|\/)\.\//g, '');
      number = numbers.get(plain) ?? shards.push(plain) - 1;
      numbers.set(plain, number).set(shard, number);
    }
    if (!tensors.add(tensor)) scanner.fail('E_DUPLICATE_KEY', 'weight_map names this tensor twice', start);
    shardOf.push(number);
    scanner.tensor = undefined;
  });
  const { names } = tensors;
  const placeOf = tensors.lookup();
  // Most are asked for one after the other.
  let next = 0;
  const entryOf = (name: string): number => {
    const entry = names[next] === name ? next : placeOf(name);
    next = entry + 1;
    return entry;
  };
  return { shards, names, shardOf: Int32Array.from(shardOf), entryOf };
}

/** How names are looked up that were read: in a map of them all, by way of the order in which that has them. */
interface Lookup {
  readonly entries: ReadonlyMap<string, number>;
  /** [names] The entry of each in the map; null where it is its own. */
  readonly mapped: Int32Array | null;
}

/** By the names of an index, which live as long as it does. */
const LOOKUPS = new WeakMap<readonly string[], Lookup>();

/**
 * The names of an index as they are read. To make a map of half a million takes longer than all else about an
 * index: where an index before had the same names, in whatever order, its map is used.
 */
class IndexedNames {
  readonly names: string[] = [];
  readonly #before: SeenNames | undefined;
  #known: KnownNames | undefined;
  #lookup: Lookup | undefined;
  readonly #mapped: number[] = [];
  #entries: Map<string, number> | null = null;

  constructor(before: SeenNames | undefined) {
    this.#before = before;
  }

  /** @returns false where it is there already */
  add(name: string): boolean {
    const row = this.names.length;
    if (row === 0) this.#follow(this.#before?.index(name));
    if (this.#known !== undefined && this.#lookup !== undefined) {
      const entry = this.#known.take(name, row);
      if (entry === -2) return false;
      if (entry !== -1) {
        this.names.push(this.#known.names[entry]!);
        this.#mapped.push(this.#lookup.mapped?.[entry] ?? entry);
        return true;
      }
      // An index of other tensors.
      this.#follow(undefined);
      this.#entries = new Map(this.names.map((other, i) => [other, i]));
    }
    this.#entries ??= new Map();
    if (this.#entries.set(name, row).size === row) return false;
    this.names.push(name);
    return true;
  }

  #follow(known: KnownNames | undefined): void {
    this.#lookup = known && LOOKUPS.get(known.names);
    this.#known = this.#lookup && known;
  }

  /** When all are there: the entry of a name, or -1. */
  lookup(): (name: string) => number {
    if (this.#lookup === undefined) {
      const entries = this.#entries ?? new Map<string, number>();
      LOOKUPS.set(this.names, { entries, mapped: null });
      return (name) => entries.get(name) ?? -1;
    }
    const { entries } = this.#lookup;
    const mapped = Int32Array.from(this.#mapped);
    LOOKUPS.set(this.names, { entries, mapped });
    let places: Int32Array | null = null;
    return (name) => {
      places ??= inverse(mapped, entries.size);
      return places[entries.get(name) ?? -1] ?? -1;
    };
  }
}

/** [count] where each number is; -1 where it is not. */
function inverse(numbers: Int32Array, count: number): Int32Array {
  const places = new Int32Array(count).fill(-1);
  for (const [i, number] of numbers.entries()) places[number] = i;
  return places;
}

/**
 * Why a shard name is refused, or undefined where it is a plain relative path. This looks at the name only: a
 * shard may be a symbolic link to anywhere (the Hugging Face cache is made of them), but its name may not
 * leave the folder.
 */
function shardNameFault(name: string): string | undefined {
  if (name === '') return 'is an empty name';
  if (name.includes('\0')) return 'holds a NUL character';
  if (name.includes('\\')) return 'holds a backslash, which some systems read as a separator';
  if (name.startsWith('/') || /^[A-Za-z]:/.test(name)) return 'is an absolute path';
  if (name.split('/').some((part) => part === '..')) return 'goes up by .., and may leave the folder of the index';
  if (name.split('/').some((part) => part === '') || /(^|\/)\.$/.test(name)) return 'is not a plain path';
  return undefined;
}
