import { resolve } from 'node:path';
import { pathRemover, writtenPath } from './member-path.ts';

/**
 * A document of plain values as it is written to a file in `folder`: without absolute paths in any of its texts.
 * @param paths that it names: they are seen from the folder
 */
export function writtenDocument<T>(document: T, folder: string, paths: readonly string[]): T {
  const known = paths.flatMap((path) => [path, resolve(path)].map((spelt) => [spelt, writtenPath(folder, path)] as const));
  return withTexts(document, pathRemover(new Map(known))) as T;
}

function withTexts(value: unknown, of: (text: string) => string): unknown {
  if (typeof value === 'string') return of(value);
  if (Array.isArray(value)) return value.map((item) => withTexts(item, of));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withTexts(inner, of)]));
}
