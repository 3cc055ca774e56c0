import { JsonScanner } from './json-scanner.ts';

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
  const scanner = new JsonScanner(bytes, { path, offset: 0, what: 'index', syntax: 'E_INDEX_JSON', utf8: 'E_INDEX_UTF8' });
  let metadata: ReadonlyMap<string, unknown> | null = null;
  let weightMap: Omit<SafetensorsIndex, 'metadata'> | undefined;
  const seen = new Set<string>();
  if (scanner.peek() !== 0x7b) scanner.fail('E_INDEX_JSON', 'the index is not an object');
  scanner.object((key, start) => {
    if (seen.has(key)) scanner.fail('E_DUPLICATE_KEY', `the index holds the key ${JSON.stringify(key)} twice`, start);
    seen.add(key);
    if (key === 'weight_map') {
      weightMap = scanWeightMap(scanner);
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

function scanWeightMap(scanner: JsonScanner): Omit<SafetensorsIndex, 'metadata'> {
  if (scanner.peek() !== 0x7b) scanner.fail('E_INDEX_JSON', 'weight_map is not an object');
  const entries = new Map<string, number>();
  const names: string[] = [];
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
    if (entries.set(tensor, names.length).size === names.length) {
      scanner.fail('E_DUPLICATE_KEY', 'weight_map names this tensor twice', start);
    }
    names.push(tensor);
    shardOf.push(number);
    scanner.tensor = undefined;
  });
  // Most are asked for one after the other.
  let next = 0;
  const entryOf = (name: string): number => {
    const entry = names[next] === name ? next : (entries.get(name) ?? -1);
    next = entry + 1;
    return entry;
  };
  return { shards, names, shardOf: Int32Array.from(shardOf), entryOf };
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
