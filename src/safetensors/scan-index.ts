import { JsonScanner, latin1 } from './json-scanner.ts';

/** An index file: which shard holds which tensor. */
export interface SafetensorsIndex {
  /** The `metadata` object as it was parsed (`total_size`, `total_parameters`, whatever else is there), or null where there is none. */
  readonly metadata: ReadonlyMap<string, unknown> | null;
  /** Shard name of each tensor, in the order of the file. Shard names stay inside the folder; equal ones are one string. */
  readonly weightMap: ReadonlyMap<string, string>;
}

/**
 * Reads the text of an index strictly.
 * @param text the bytes as latin1, where the caller has it already; the names are slices of it
 * @throws MergeError E_INDEX_JSON, E_INDEX_UTF8, E_INDEX_PATH, E_DUPLICATE_KEY, E_SURROGATE, naming file, tensor and byte position
 */
export function scanIndex(bytes: Uint8Array, path: string, text = latin1(bytes)): SafetensorsIndex {
  const scanner = new JsonScanner(bytes, { path, offset: 0, what: 'index', syntax: 'E_INDEX_JSON', utf8: 'E_INDEX_UTF8' }, text);
  let metadata: ReadonlyMap<string, unknown> | null = null;
  let weightMap: ReadonlyMap<string, string> | undefined;
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
  scanner.finish(' \t\r\n');
  return { metadata, weightMap: weightMap ?? scanner.fail('E_INDEX_JSON', 'the index has no weight_map', 0) };
}

function scanWeightMap(scanner: JsonScanner): Map<string, string> {
  if (scanner.peek() !== 0x7b) scanner.fail('E_INDEX_JSON', 'weight_map is not an object');
  const weightMap = new Map<string, string>();
  const shards = new Map<string, string>();
  scanner.object((tensor, start) => {
    scanner.tensor = tensor;
    if (scanner.peek() !== 0x22) scanner.fail('E_INDEX_JSON', 'the name of its shard is not a string');
    const at = scanner.pos;
    const written = scanner.string();
    let shard = shards.get(written);
    if (shard === undefined) {
      const fault = shardNameFault(written);
      if (fault !== undefined) scanner.fail('E_INDEX_PATH', `its shard ${JSON.stringify(written)} ${fault}`, at);
      // A copy, since a slice would keep the text of the whole index.
      shard = Buffer.from(written).toString();
      shards.set(shard, shard);
    }
    const before = weightMap.size;
    if (weightMap.set(tensor, shard).size === before) scanner.fail('E_DUPLICATE_KEY', 'weight_map names this tensor twice', start);
    scanner.tensor = undefined;
  });
  return weightMap;
}

/**
 * Why a shard name is refused, or undefined where it is a plain relative path. This looks at the name only: a shard may be a symbolic link to
 * anywhere (the Hugging Face cache is made of them), but its name may not leave the folder.
 */
function shardNameFault(name: string): string | undefined {
  if (name === '') return 'is an empty name';
  if (name.includes('\0')) return 'holds a NUL character';
  if (name.includes('\\')) return 'holds a backslash, which some systems read as a separator';
  if (name.startsWith('/') || /^[A-Za-z]:/.test(name)) return 'is an absolute path';
  if (name.split('/').some((part) => part === '..')) return 'leaves the folder of the index';
  if (name.split('/').some((part) => part === '' || part === '.')) return 'is not a plain path';
  return undefined;
}
