import { readdir, readFile, stat } from 'node:fs/promises';
import { join, parse, relative, sep } from 'node:path';
import { noScore } from './report.ts';

/** A file that an evaluation wrote. */
export interface WrittenFile {
  readonly path: string;
  readonly mtime: number;
}

/** Far beyond any table of scores: predictions, which people write as JSON too. */
const LIMIT = 2 ** 28;

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
  const files = await Promise.all([...found].map(async (path) => ({ path, stats: await stat(path).catch(() => null) })));
  return files
    .flatMap(({ path, stats }) => (stats?.isFile() && stats.mtimeMs >= since ? [{ path, mtime: stats.mtimeMs }] : []))
    .sort((a, b) => b.mtime - a.mtime || (a.path < b.path ? 1 : -1));
}

async function* expand(folder: string, [segment, ...rest]: readonly string[]): AsyncGenerator<string> {
  if (segment === undefined) return yield folder;
  if (segment === '**') yield* expand(folder, rest);
  else if (!/[*?[]/.test(segment)) return yield* expand(join(folder, segment), rest);
  const pattern = nameRule(segment);
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    if (segment === '**' && entry.isDirectory()) yield* expand(join(folder, entry.name), ['**', ...rest]);
    else if (segment !== '**' && pattern.test(entry.name)) yield* expand(join(folder, entry.name), rest);
  }
}

/** @throws SyntaxError for a range of letters that runs backwards */
export function nameRule(glob: string): RegExp {
  const rule = glob.replace(/\[[^\]]+\]|./gs, (part, at) => {
    // As in a shell: what is being written under a hidden name is not there yet.
    if (part === '*') return at === 0 ? '(?!\\.).*' : '.*';
    if (part === '?') return '.';
    return part.length > 1 ? part.replace(/^\[!/, '[^').replaceAll('\\', '\\\\') : part.replace(/[\\^$.|+()[\]{}]/, '\\$&');
  });
  return new RegExp(`^${rule}$`, 's');
}

/** @throws MergeError E_EVALUATOR for a file that cannot be read, or is no table of scores by its size */
export async function readResult(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > LIMIT) throw noScore(`${path} has ${size} bytes, more than any table of scores`, path);
    return (await readFile(path, 'utf8')).replace(/^\uFEFF/, '');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined || code.startsWith('E_')) throw error;
    throw noScore(`${path} cannot be read (${code})`, path);
  }
}

/** As people name a file of this evaluation: by its place in the folder of results. */
export function shownPath(folder: string, path: string): string {
  const inside = relative(folder, path);
  return inside.startsWith('..') ? path : inside;
}
