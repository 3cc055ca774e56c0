import { quoteAscii } from './json-text.ts';
import { TextChunks } from './text-chunks.ts';

/** Bytes of an entry beside its two names: indentation, quotes and signs between. */
const ROOM = 12;

/** What goes into an index file. */
export interface IndexContent {
  /** The `metadata` object: plain JSON values and maps of them (as an index was parsed). */
  readonly metadata: ReadonlyMap<string, unknown> | Readonly<Record<string, unknown>>;
  /** Name of the shard of each tensor. */
  readonly weightMap: Iterable<readonly [tensor: string, shard: string]>;
}

/**
 * An index as transformers writes it: two spaces of indentation, keys sorted by code point, everything beyond
 * ASCII escaped, a newline at the end. An index that is written back is therefore byte-identical.
 */
export function encodeIndex({ metadata, weightMap }: IndexContent): Uint8Array {
  const entries = [...weightMap];
  const text = new TextChunks(entries.reduce((sum, [tensor, shard]) => sum + tensor.length + shard.length + ROOM, 0));
  text.add(`{\n  "metadata": ${encodeValue(metadata, '  ')},\n  "weight_map": {`);
  let separator = '\n';
  const quoted = new Map<string, string>();
  for (const [tensor, shard] of sortedByKey(entries)) {
    let file = quoted.get(shard);
    if (file === undefined) {
      file = quoteAscii(shard);
      quoted.set(shard, file);
    }
    text.add(`${separator}    ${quoteAscii(tensor)}: ${file}`);
    separator = ',\n';
  }
  text.add(`${separator === '\n' ? '' : '\n  '}}\n}\n`);
  return text.bytes();
}

function encodeValue(value: unknown, indent: string): string {
  const inner = `${indent}  `;
  if (typeof value === 'string') return quoteAscii(value);
  if (Array.isArray(value)) {
    return value.length === 0 ? '[]' : `[\n${value.map((item) => inner + encodeValue(item, inner)).join(',\n')}\n${indent}]`;
  }
  if (typeof value === 'object' && value !== null) {
    const entries = sortedByKey<unknown>(value instanceof Map ? [...value] : Object.entries(value));
    const lines = entries.map(([key, item]) => `${inner}${quoteAscii(key)}: ${encodeValue(item, inner)}`);
    return lines.length === 0 ? '{}' : `{\n${lines.join(',\n')}\n${indent}}`;
  }
  return JSON.stringify(value);
}

/**
 * Sorts in place, unless it is sorted already: most indexes come from a sorted one, and half a million names
 * take a while.
 */
function sortedByKey<T>(entries: (readonly [string, T])[]): (readonly [string, T])[] {
  // UTF-16 units and code points have the same order as long as no character needs two units.
  const compare = entries.some(([key]) => /[\ud800-\udfff]/.test(key)) ? byCodePoint : byUnit;
  let i = 1;
  while (i < entries.length && compare(entries[i - 1]![0], entries[i]![0]) <= 0) i++;
  return i < entries.length ? entries.sort(([a], [b]) => compare(a, b)) : entries;
}

function byUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * JavaScript compares UTF-16 units, which puts characters beyond U+FFFF before those from U+E000 on; Python
 * does not.
 */
function byCodePoint(a: string, b: string): number {
  const left = Array.from(a, (char) => char.codePointAt(0)!);
  const right = Array.from(b, (char) => char.codePointAt(0)!);
  const i = left.findIndex((point, at) => point !== right[at]);
  return i === -1 ? left.length - right.length : left[i]! - (right[i] ?? -1);
}
