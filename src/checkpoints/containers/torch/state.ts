import { MAX_DEPTH } from '../pickle/limits.ts';
import { Call, Dict, List, LongText, type Value } from '../pickle/values.ts';
import { flatName } from './flat-name.ts';

/** What stands in a saved state under the keys that lead to it. */
export interface Leaf {
  /**
   * The keys, joined by points: what torch.distributed calls a flat name.
   * Asked of tensors alone: it is made only then. Throws what `fault` gives, for names that are too long.
   */
  readonly name: string;
  readonly value: Call;
}

/**
 * Lists, dicts and tuples that are entered; those without objects only once, so that a million numbers cost
 * no more than to read them. Each other part of a state is met under one name, or a few.
 */
const MAX_ENTERED = 2 ** 22;
/**
 * Objects, lists and dicts that are met inside of what was met before: the pickle comes back to it in two
 * bytes.
 */
const MAX_AGAIN = 2 ** 16;
/** Keys of a dict. */
const MAX_KEYS = 2 ** 23;
/** Letters of a name. Texts of 16 KiB and more all have one hash in V8 where they are equally long. */
const MAX_NAME_LETTERS = 2 ** 13;
/**
 * Names that are made, and their length in all: a hundred thousand tensors have names of 10 million letters.
 */
const MAX_NAMES = 2 ** 20;
const MAX_NAME_TEXT = 2 ** 26;

/**
 * The objects in a state (tensors among them), by the keys that lead to them.
 * @param fault what is thrown for a state that contains itself, is too deep or too large, or names a value
 * twice
 * @throws what `fault` gives
 */
export function* leavesOf(root: Value, fault: (text: string) => Error): Generator<Leaf> {
  let [entered, met, again, names, text] = [0, 0, 0, 0, 0];
  let inKnown = false;
  const open = new Set<Value>();
  /** What holds no objects, and is not entered again. */
  const plain = new Set<Value>();
  const known = new Set<Value>();
  const nameOf = (path: readonly Key[]): string => {
    const letters = path.reduce<number>((sum, key) => sum + (key instanceof LongText ? key.bytes.length : String(key).length) + 1, -1);
    if (letters > MAX_NAME_LETTERS) throw fault(`names a tensor by ${letters} letters, the limit is ${MAX_NAME_LETTERS}`);
    text += letters;
    if (++names > MAX_NAMES || text > MAX_NAME_TEXT)
      throw fault(`names more than ${MAX_NAMES} tensors, or by more than ${MAX_NAME_TEXT} letters`);
    return flatName(path);
  };
  const count = (): void => {
    if (inKnown && ++again > MAX_AGAIN) throw fault(`comes back more than ${MAX_AGAIN} times to the same lists and dicts`);
  };
  function* enter(value: Value, path: readonly Key[]): Generator<Leaf> {
    if (value instanceof Call) {
      met++;
      count();
      yield {
        get name() {
          return nameOf(path);
        },
        value,
      };
      return;
    }
    const children = childrenOf(value);
    if (children === null || plain.has(value)) return;
    if (open.has(value)) throw fault(`contains itself under ${path.filter((key) => !(key instanceof LongText)).join('.')}`);
    if (path.length >= MAX_DEPTH) throw fault(`is nested more than ${MAX_DEPTH} deep`);
    if (++entered > MAX_ENTERED) throw fault(`holds more than ${MAX_ENTERED} lists and dicts`);
    const outer = inKnown;
    inKnown ||= known.has(value);
    count();
    const before = met;
    open.add(value);
    const keys = value instanceof Dict ? new Set<Value>() : null;
    for (const [key, child] of children) {
      // Others stand for objects that a trainer keeps there.
      if (!isKey(key)) continue;
      if (keys?.has(key) === true) throw fault(`has the key ${JSON.stringify(key)} twice`);
      if (keys?.add(key).size === MAX_KEYS) throw fault(`holds a dict of ${MAX_KEYS} keys or more`);
      if (typeof child === 'object' && child !== null) yield* enter(child, [...path, key]);
    }
    open.delete(value);
    inKnown = outer;
    (met === before ? plain : known).add(value);
  }
  yield* enter(root, []);
}

type Key = string | number | LongText;

function isKey(key: Value): key is Key {
  return typeof key === 'string' || typeof key === 'number' || key instanceof LongText;
}

function childrenOf(value: Value): Iterable<readonly [Value, Value]> | null {
  if (value instanceof Dict) return pairsOf(value.entries);
  if (value instanceof List) return value.items.entries();
  return Array.isArray(value) ? (value as readonly Value[]).entries() : null;
}

function* pairsOf(entries: readonly Value[]): Generator<readonly [Value, Value]> {
  for (let i = 0; i < entries.length; i += 2) yield [entries[i]!, entries[i + 1]!];
}
