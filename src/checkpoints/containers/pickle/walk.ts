import { MAX_DIMENSIONS } from './limits.ts';
import { Call, Dict, Global, List, type Value } from './values.ts';

/** Key and value of a dict, in the order in which they were set. */
export function* pairs(dict: Dict): Generator<[key: Value, value: Value]> {
  const { entries } = dict;
  for (let i = 0; i < entries.length; i += 2) yield [entries[i]!, entries[i + 1]!];
}

/** What a dict has under a text; undefined where it has it not, or the value is none. */
export function under(dict: Value | undefined, key: string): Value | undefined {
  return dict instanceof Dict ? dict.get(key) : undefined;
}

/** Whether a value is the call of a class or function of that name, or an object of such a class. */
export function isCallOf(value: Value | undefined, name: string): value is Call {
  return value instanceof Call && value.callee.name === name;
}

/** The elements of a list or a tuple; null for anything else. */
export function itemsOf(value: Value | undefined): readonly Value[] | null {
  if (value instanceof List) return value.items;
  return Array.isArray(value) ? value : null;
}

/**
 * The numbers of a `torch.Size`, a tuple or a list of whole numbers of at least 0; null for anything else,
 * and for more than a tensor has dimensions: a pickle may come back to a long one a million times.
 */
export function sizesOf(value: Value | undefined): readonly number[] | null {
  const items = isCallOf(value, 'Size') ? itemsOf(value.args[0]) : itemsOf(value);
  if (items === null || items.length > MAX_DIMENSIONS) return null;
  return items.every((item) => Number.isSafeInteger(item) && (item as number) >= 0) ? (items as readonly number[]) : null;
}

/** A whole number of at least 0; null for anything else. */
export function countOf(value: Value | undefined): number | null {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : null;
}

/** The name of a dtype, as `bfloat16` for `torch.bfloat16`; null for anything else. */
export function torchDtypeOf(value: Value | undefined): string | null {
  return value instanceof Global && value.module === 'torch' ? value.name : null;
}
