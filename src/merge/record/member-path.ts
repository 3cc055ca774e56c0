import { homedir, userInfo } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';

/** Folders whose entries are people: a path from one of them to another names somebody. */
const PEOPLE = new Set(['/', '/home', '/Users']);

/** The name this process runs under, or null where the system knows none (a container's made-up user id). */
function userName(): string | null {
  try {
    return userInfo().username;
  } catch {
    return process.env.USER ?? null;
  }
}

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
 * What a member is called in reports and files: its own name, with the folder's where the name says nothing
 * (`model.safetensors`).
 */
export function memberName(path: string, user: string | null = userName()): string {
  const full = resolve(path);
  const own = basename(full);
  const name = own === 'model.safetensors' ? `${basename(dirname(full))}/${own}` : own;
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
 * Not inside a relative path (one may begin with what a shell puts in: `"$OUT"/x`, `{model}/x`) or a URL; an option
 * of one letter may stand right before a path (`-I/usr/include`).
 */
const BEFORE = /(?:(?<![\w.~/-]|[})]["']?|\$\w+["'])(?<!\b(?!file:)\w[\w+]*:(?=\/\/))|(?<=(?<!\S)-[A-Za-z]))/.source;
const REST = /[^\s'"`(),;:]*/.source;
const WORD = /[^\s'"`(),;:=]+/g;
const AFTER = /(?![\w-]|\.\w)/.source;

/**
 * A function that leaves of every absolute path in a text only the last component, and of a relative one too,
 * where it goes through a folder with the user's name.
 *
 * @param known what is written for some absolute paths, which may hold spaces that text alone cannot tell apart
 */
export function pathRemover(known: ReadonlyMap<string, string> = new Map(), user: string | null = userName()): (text: string) => string {
  const paths = [...known.keys()].filter((path) => /^\/[^/]/.test(path)).sort((a, b) => b.length - a.length);
  const home = homedir();
  const absolute = [
    ...paths.map((path) => `${literal(path)}${AFTER}`),
    // Of a home with a space in its name, too.
    ...(home.length > 1 ? [`${literal(home)}${AFTER}${REST}`] : []),
    `\\/${REST}`,
  ];
  const pattern = new RegExp(`${BEFORE}(?:${absolute.join('|')})`, 'g');
  // The last component that is not whose it is.
  const told = (path: string): string => {
    const own = path === home || path.startsWith(`${home}/`) ? path.slice(home.length) : path;
    return own.split('/').findLast((part) => part !== '' && part !== user) ?? 'elsewhere';
  };
  const ofUser = (word: string) => !word.startsWith('//') && word.includes('/') && word.split('/').includes(user!);
  return (text) => {
    if (!text.includes('/')) return text;
    const clean = text.replace(pattern, (path) => known.get(path) ?? (/[^/]/.test(path) ? told(path) : path));
    return user === null ? clean : clean.replace(WORD, (word) => (ofUser(word) ? told(word) : word));
  };
}

function literal(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}
