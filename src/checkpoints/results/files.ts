import { join, parse, relative, sep } from 'node:path';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { type GlobPart, globMatches } from '../../base/glob.ts';
import { readWhole } from '../../base/store/store.ts';
import { noScore } from './report.ts';

/** A file that an evaluation wrote. */
export interface WrittenFile {
  readonly path: string;
  readonly mtime: number;
}

/** Far beyond any table of scores: predictions, which people write as JSON too. */
const MAX_RESULT_BYTES = 2 ** 28;

/**
 * Files that match a glob (`*`, `?`, `[a-z]` inside a name, `**` for any number of folders), newest first.
 *
 * @param pattern under `folder`, or absolute
 * @param since ms since 1970, by the clock of the file system: older files are left out
 */
export async function newestFiles(folder: string, pattern: string, since: number): Promise<WrittenFile[]> {
  const { root } = parse(pattern);
  const found = new Set<string>();
  for await (const path of expand(root === '' ? folder : root, pattern.slice(root.length).split(sep))) found.add(path);
  const files = await Promise.all([...found].map(async (path) => ({ path, stats: await SYSTEM.fs.stat(path).catch(() => null) })));
  return files
    .flatMap(({ path, stats }) => (stats?.isFile() && stats.mtimeMs >= since ? [{ path, mtime: stats.mtimeMs }] : []))
    .sort((a, b) => b.mtime - a.mtime || (a.path < b.path ? 1 : -1));
}

async function* expand(folder: string, [segment, ...rest]: readonly string[]): AsyncGenerator<string> {
  if (segment === undefined) return yield folder;
  if (segment === '**') yield* expand(folder, rest);
  else if (!/[*?[]/.test(segment)) return yield* expand(join(folder, segment), rest);
  const matches = nameRule(segment);
  for (const entry of await SYSTEM.fs.readdir(folder, { withFileTypes: true }).catch(() => [])) {
    if (segment === '**' && entry.isDirectory()) yield* expand(join(folder, entry.name), ['**', ...rest]);
    else if (segment !== '**' && matches(entry.name)) yield* expand(join(folder, entry.name), rest);
  }
}

/**
 * The names that a part of a pattern fits: `*`, `?`, `[a-z]`, `[!a-z]`. As in a shell, `*` at the start fits
 * no hidden name: what is being written under one is not there yet.
 * @throws SyntaxError for a range of letters that runs backwards
 */
export function nameRule(glob: string): (name: string) => boolean {
  const written = glob.match(/\[[^\]]+\]|./gsu) ?? [];
  const parts = written.map((part): GlobPart => {
    if (part === '*') return part;
    if (part === '?') return () => true;
    if (!part.startsWith('[') || part.length < 3) return (character) => character === part;
    const one = new RegExp(part.replace(/^\[!/, '[^').replaceAll('\\', '\\\\'), 's');
    return (character) => one.test(character);
  });
  return (name) => !(glob.startsWith('*') && name.startsWith('.')) && globMatches(parts, name);
}

/**
 * @throws MergeError E_EVALUATOR for a file that cannot be read, is no regular one, or is no table of scores
 *   by its size
 */
export async function readResult(path: string): Promise<string> {
  try {
    return (await readWhole(path, MAX_RESULT_BYTES)).toString().replace(/^\uFEFF/, '');
  } catch (error) {
    if (!(error instanceof MergeError)) throw error;
    throw noScore(`${path} cannot be read (${error.message.replace(`${path}: `, '')})`, path);
  }
}

/** As people name a file of this evaluation: by its place in the folder of results. */
export function shownPath(folder: string, path: string): string {
  const inside = relative(folder, path);
  return inside.startsWith('..') ? path : inside;
}
