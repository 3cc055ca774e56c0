import type { Warning } from '../../../base/errors.ts';
import { sectionOfName } from '../../tensors/section.ts';
import { MAX_DEPTH } from '../pickle/limits.ts';
import { Call, Dict, List, type Value } from '../pickle/values.ts';
import { countOf, itemsOf } from '../pickle/walk.ts';
import { tensorOf } from './tensor.ts';

/** Names that the warning gives. */
const EXAMPLES = 3;
/** Keys and objects that are entered: what lies beyond is not looked at. */
const MAX_ENTERED = 2 ** 22;
/** Keys that tell the section. */
const SECTION_KEYS = 3;
/** Characters of a key that are looked at: a pickle may come back to a long one a million times. */
const KEY_TEXT = 200;
const FLOATS = /^[<>=|]?f[248]$/;

/**
 * Says of tensors that stand in a state where no plain name reaches them: in an object of a class, or under a
 * key that is neither text nor number; and of weights that are arrays of numpy. They are no part of what is
 * read. Of what is left out anyway, as the optimizer's, nothing is said, nor of a tensor whose storage is
 * reached by a name elsewhere.
 * @param state dicts and lists that contain none that contains itself
 */
export function unreachedTensors(state: Value, path: string): Warning[] {
  const search = new Search();
  search.named(state, []);
  const lost = [...search.lost].filter(([place]) => !search.reached.has(place));
  if (lost.length === 0) return [];
  const examples = `${lost
    .slice(0, EXAMPLES)
    .map(([, where]) => where())
    .join('; ')}${lost.length > EXAMPLES ? '; …' : ''}`;
  const [are, them] = lost.length === 1 ? ['1 tensor or array is', 'it'] : [`${lost.length} tensors or arrays are`, 'them'];
  const message =
    `${path}: ${are} in the saved state where no plain name reaches ${them}, and left out (${examples}). ` +
    `Where the model needs ${them}, save plain dicts of tensors with keys of text: torch.save(model.state_dict(), PATH)`;
  return [{ code: 'W_UNREACHED', message }];
}

class Search {
  /** Storages, by name, that tensors with a name lie in. */
  readonly reached = new Set<Value>();
  /** Storages and arrays that are met elsewhere, and where each first is. */
  readonly lost = new Map<Value, () => string>();
  readonly #seen = new Set<Value>();
  readonly #seenLost = new Set<Value>();
  #entered = 0;

  /** What names lead to. */
  named(value: Value, keys: readonly (string | number)[]): void {
    if (typeof value !== 'object' || value === null) return;
    const tensor = tensorOf(value);
    if (tensor !== null) {
      if ('storage' in tensor) this.reached.add(tensor.storage);
      return;
    }
    if (this.#seen.has(value) || keys.length > MAX_DEPTH || ++this.#entered > MAX_ENTERED) return;
    this.#seen.add(value);
    if (value instanceof Call) {
      if (!this.#leftOut(keys)) this.#objects(value, () => `${nameOf(keys)} in an object of ${value.callee.path}`, 0);
      return;
    }
    const children = childrenOf(value);
    if (children === null) return;
    let tensors: boolean | null = null;
    for (const [key, child] of children) {
      if (typeof child !== 'object' || child === null) continue;
      if (typeof key !== 'string' && typeof key !== 'number') {
        if (!this.#leftOut(keys)) this.#objects(child, () => nameOf([...keys, keyText(key)]), 0);
        continue;
      }
      const dims = dimensionsOfFloats(child);
      if (dims === null) {
        this.named(child, [...keys, key]);
        continue;
      }
      // One dimension alone may be a history of losses: beside tensors it is a weight.
      tensors ??= childrenOf(value)!.some(([, other]) => tensorOf(other) !== null);
      const own = [...keys, key];
      if ((dims > 1 || (dims > 0 && tensors)) && !this.#leftOut(own)) this.lost.set(child, () => `${nameOf(own)} is an array of numpy`);
    }
  }

  /** What no name leads to. */
  #objects(value: Value, where: () => string, depth: number): void {
    if (typeof value !== 'object' || value === null || this.#seenLost.has(value)) return;
    if (depth > MAX_DEPTH || ++this.#entered > MAX_ENTERED) return;
    this.#seenLost.add(value);
    const tensor = tensorOf(value);
    const dims = dimensionsOfFloats(value);
    if (tensor !== null || dims !== null) {
      const place = tensor !== null && 'storage' in tensor ? tensor.storage : value;
      if ((tensor !== null || dims! > 1) && !this.lost.has(place)) this.lost.set(place, where);
      return;
    }
    const inside = value instanceof Call ? [...value.args, value.state ?? null, ...(value.added ?? [])] : valuesOf(value);
    for (const one of inside) this.#objects(one, where, depth + 1);
  }

  #leftOut(keys: readonly (string | number)[]): boolean {
    return sectionOfName(`${nameOf(keys.slice(0, SECTION_KEYS))}.`) !== 'model';
  }
}

function nameOf(keys: readonly (string | number)[]): string {
  return keys.map((key) => `${key}`.slice(0, KEY_TEXT)).join('.');
}

function childrenOf(value: Value): (readonly [Value, Value])[] | null {
  if (!(value instanceof Dict)) return itemsOf(value)?.map((item, i) => [i, item] as const) ?? null;
  const { entries } = value;
  return Array.from({ length: entries.length / 2 }, (_, i) => [entries[2 * i]!, entries[2 * i + 1]!] as const);
}

function valuesOf(value: Value): readonly Value[] {
  if (value instanceof Dict) return value.entries;
  if (value instanceof List) return value.items;
  return Array.isArray(value) ? value : [];
}

/** Dimensions of an array of floats of numpy; null for anything else. */
function dimensionsOfFloats(value: Value): number | null {
  if (!(value instanceof Call) || value.callee.name !== '_reconstruct' || !value.callee.module.startsWith('numpy.')) return null;
  const [, shape, dtype] = itemsOf(value.state) ?? [];
  const name = dtype instanceof Call ? dtype.args[0] : null;
  const dims = itemsOf(shape);
  return typeof name === 'string' && FLOATS.test(name) && dims?.every((length) => countOf(length) !== null) === true ? dims.length : null;
}

function keyText(key: Value): string {
  if (key === null) return 'None';
  if (typeof key === 'boolean') return key ? 'True' : 'False';
  if (typeof key === 'bigint') return `${key}`.slice(0, 40);
  return Array.isArray(key) ? '(a tuple)' : '(a key that is an object)';
}
