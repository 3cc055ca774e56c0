/** What goes into an index file. */
export interface IndexContent {
  /** The `metadata` object: plain JSON values and maps of them (as an index was parsed). */
  readonly metadata: ReadonlyMap<string, unknown> | Readonly<Record<string, unknown>>;
  /** Name of the shard of each tensor. */
  readonly weightMap: Iterable<readonly [tensor: string, shard: string]>;
}

/**
 * An index as transformers writes it: two spaces of indentation, keys sorted by code point, everything beyond ASCII escaped, a newline at the end.
 * An index that is written back is therefore byte-identical.
 */
export function encodeIndex({ metadata, weightMap }: IndexContent): Uint8Array {
  const entries = sortedByKey([...weightMap]);
  const lines = entries.map(([tensor, shard]) => `    ${quote(tensor)}: ${quote(shard)}`);
  const map = lines.length === 0 ? '{}' : `{\n${lines.join(',\n')}\n  }`;
  return Buffer.from(`{\n  "metadata": ${encodeValue(metadata, '  ')},\n  "weight_map": ${map}\n}\n`, 'latin1');
}

function encodeValue(value: unknown, indent: string): string {
  const inner = `${indent}  `;
  if (typeof value === 'string') return quote(value);
  if (Array.isArray(value)) {
    return value.length === 0 ? '[]' : `[\n${value.map((item) => inner + encodeValue(item, inner)).join(',\n')}\n${indent}]`;
  }
  if (typeof value === 'object' && value !== null) {
    const entries = sortedByKey<unknown>(value instanceof Map ? [...value] : Object.entries(value));
    const lines = entries.map(([key, item]) => `${inner}${quote(key)}: ${encodeValue(item, inner)}`);
    return lines.length === 0 ? '{}' : `{\n${lines.join(',\n')}\n${indent}}`;
  }
  return JSON.stringify(value);
}

/** A string as JSON in ASCII, as Python writes it by default. */
function quote(text: string): string {
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Sorts in place, unless it is sorted already: most indexes come from a sorted one, and half a million names take a while. */
function sortedByKey<T>(entries: (readonly [string, T])[]): (readonly [string, T])[] {
  let i = 1;
  while (i < entries.length && byCodePoint(entries[i - 1]![0], entries[i]![0]) <= 0) i++;
  return i < entries.length ? entries.sort(([a], [b]) => byCodePoint(a, b)) : entries;
}

/** JavaScript compares UTF-16 units, which puts characters beyond U+FFFF before those from U+E000 on; Python does not. */
function byCodePoint(a: string, b: string): number {
  if (a === b) return 0;
  let i = 0;
  while (a.charCodeAt(i) === b.charCodeAt(i)) i++;
  if (Number.isNaN(a.charCodeAt(i)) || Number.isNaN(b.charCodeAt(i))) return a.length - b.length;
  return rank(a.charCodeAt(i)) - rank(b.charCodeAt(i));
}

/** Ranks surrogates after all other units. Equal prefixes were skipped, so the units that differ decide. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}
