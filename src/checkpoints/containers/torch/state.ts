import { MAX_DEPTH } from '../pickle/limits.ts';
import { Dict, List, type Value } from '../pickle/values.ts';

/** What stands in a saved state under the keys that lead to it. */
export interface Leaf {
  /** The keys, joined by points: what torch.distributed calls a flat name. */
  readonly name: string;
  readonly value: Value;
}

/** Lists, dicts and tuples that are entered: each part of a state is met under one name, or a few. */
const MAX_ENTERED = 2 ** 22;

/**
 * Everything in a state but dicts and lists, by the keys that lead to it.
 * @param fault what is thrown for a state that contains itself, is too deep or too large, or names a value twice
 * @throws what `fault` gives
 */
export function* leavesOf(root: Value, fault: (text: string) => Error): Generator<Leaf> {
  let entered = 0;
  const open = new Set<Value>();
  function* enter(value: Value, path: readonly (string | number)[]): Generator<Leaf> {
    const children = childrenOf(value);
    if (children === null) {
      yield { name: path.join('.'), value };
      return;
    }
    if (open.has(value)) throw fault(`contains itself under ${path.join('.')}`);
    if (path.length >= MAX_DEPTH) throw fault(`is nested more than ${MAX_DEPTH} deep`);
    if (++entered > MAX_ENTERED) throw fault(`holds more than ${MAX_ENTERED} lists and dicts`);
    open.add(value);
    const keys = new Set<Value>();
    for (const [key, child] of children) {
      // Others stand for objects that a trainer keeps there.
      if (typeof key !== 'string' && typeof key !== 'number') continue;
      if (keys.has(key)) throw fault(`has the key ${JSON.stringify(key)} twice`);
      keys.add(key);
      yield* enter(child, [...path, key]);
    }
    open.delete(value);
  }
  yield* enter(root, []);
}

function childrenOf(value: Value): Iterable<readonly [Value, Value]> | null {
  if (value instanceof Dict) return pairsOf(value.entries);
  if (value instanceof List) return value.items.entries();
  return Array.isArray(value) ? (value as readonly Value[]).entries() : null;
}

function* pairsOf(entries: readonly Value[]): Generator<readonly [Value, Value]> {
  for (let i = 0; i < entries.length; i += 2) yield [entries[i]!, entries[i + 1]!];
}
