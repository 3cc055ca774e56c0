import { basename, dirname, join, relative, resolve } from 'node:path';
import { homeFolder, userName } from '../../base/machine/user.ts';
import { placeOfCheckpoint } from '../../checkpoints/position.ts';

/** Folders whose entries are people: a path from one of them to another names somebody. */
const PEOPLE = new Set(['/', '/home', '/Users']);

function commonAncestor(a: string, b: string): string {
  let folder = a;
  while (b !== folder && !b.startsWith(folder === '/' ? '/' : `${folder}/`)) folder = dirname(folder);
  return folder;
}

/**
 * Path of a member seen from the folder that OUT lies in, so that the pair can be moved and still be found;
 * null where it would tell where on the machine they lie, or whose they are.
 */
export function relativeMemberPath(outputParent: string, memberPath: string, user: string | null = userName()): string | null {
  const from = resolve(outputParent);
  const to = resolve(memberPath);
  if (PEOPLE.has(commonAncestor(from, to))) return null;
  const path = relative(from, to);
  return user !== null && path.split('/').includes(user) ? null : path;
}

/**
 * What a member is called in reports and files: its own name, with those of folders where the name says nothing
 * (`model.safetensors`, and `model/consolidated` in the folder of a step).
 */
export function memberName(path: string, user: string | null = userName()): string {
  const full = resolve(path);
  const own = basename(full);
  const place = placeOfCheckpoint(full);
  const named = place === null ? [] : [place.name, ...place.inner];
  const folder = named.length > 1 ? named.join('/') : null;
  const name = own === 'model.safetensors' ? `${folder ?? basename(dirname(full))}/${own}` : (folder ?? own);
  const parts = name.split('/').filter((part) => part !== '' && part !== user);
  return parts.length > 0 ? parts.join('/') : 'checkpoint';
}

/**
 * A path as it is written into a file in `folder`: `./` or `../` and the way there, else only its name, where the
 * way would tell where on the machine it lies or whose it is. Unlike {@link relativeMemberPath} never null.
 */
export function writtenPath(folder: string, path: string): string {
  const seen = relativeMemberPath(folder, path);
  if (seen === null || seen === '' || basename(seen) === '..') return memberName(path);
  return seen.startsWith('../') ? seen : `./${seen}`;
}

/** Where a path leads that {@link writtenPath} wrote into a file in `folder`; a name stays one. */
export function foundPath(folder: string, written: string): string {
  return /^\.\.?\//.test(written) ? join(folder, written) : written;
}

/**
 * Where an absolute path begins. Not inside a relative path (one may begin with what a shell puts in: `"$OUT"/x`,
 * `{model}/x`) or a URL; an option of one letter may stand right before a path (`-I/usr/include`).
 */
const START = /(?:(?<![\w.~/-]|[})]["']?|\$\w+["'])(?<!\b(?!file:)\w[\w+]*:(?=\/\/))|(?<=(?<!\S)-[A-Za-z]))\//g;
/** The rest of a path, as far as text alone tells. */
const REST = /[^\s'"`(),;:]*/y;
/** What follows is not the same name any more. */
const END = /(?![\w-]|\.\w)/y;
const WORD = /[^\s'"`(),;:=]+/g;

/**
 * A function that leaves of every absolute path in a text only the last component, and of a relative one too,
 * where it goes through a folder with the user's name.
 *
 * @param known what is written for some absolute paths, which may hold spaces that text alone cannot tell apart
 */
export function pathRemover(known: ReadonlyMap<string, string> = new Map(), user: string | null = userName()): (text: string) => string {
  const home = homeFolder();
  const lengths = [...new Set([...known.keys()].map(({ length }) => length))].filter((length) => length > 1).sort((a, b) => b - a);
  // The last component that is not whose it is.
  const told = (path: string): string => {
    const own = home !== null && (path === home || path.startsWith(`${home}/`)) ? path.slice(home.length) : path;
    return own.split('/').findLast((part) => part !== '' && part !== user) ?? 'elsewhere';
  };
  /** The path that begins somewhere in a text, and what is written for it. */
  const at = (text: string, start: number): { path: string; name: string } => {
    const ends = (end: number) => endOf(END, text, end) !== null;
    const length = lengths.find((length) => known.has(text.slice(start, start + length)) && ends(start + length));
    if (length !== undefined) {
      const path = text.slice(start, start + length);
      return { path, name: known.get(path)! };
    }
    // A home may have a space in its name, too.
    const begun =
      home !== null && home.length > 1 && text.startsWith(home, start) && ends(start + home.length) ? start + home.length : start;
    const found = text.slice(start, endOf(REST, text, begun)!);
    return { path: found, name: /[^/]/.test(found) ? told(found) : found };
  };
  const ofUser = (word: string) => !word.startsWith('//') && word.includes('/') && word.split('/').includes(user!);
  return (text) => {
    if (!text.includes('/')) return text;
    const parts: string[] = [];
    let done = 0;
    for (const { index } of text.matchAll(START)) {
      if (index < done) continue;
      const { path, name } = at(text, index);
      parts.push(text.slice(done, index), name);
      done = index + path.length;
    }
    const clean = [...parts, text.slice(done)].join('');
    return user === null ? clean : clean.replace(WORD, (word) => (ofUser(word) ? told(word) : word));
  };
}

/** Where a sticky pattern that begins somewhere ends; null where it does not match. */
function endOf(pattern: RegExp, text: string, start: number): number | null {
  pattern.lastIndex = start;
  const match = pattern.exec(text);
  return match === null ? null : start + match[0].length;
}
