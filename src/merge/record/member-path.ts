import { userInfo } from 'node:os';
import { basename, dirname, relative, resolve } from 'node:path';

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
 * Text without absolute paths: of each only the last component is left. `known` are paths that may hold
 * spaces, which text alone cannot tell apart; of those in `hidden` not even that is left.
 */
export function withoutPaths(text: string, known: readonly string[], hidden: readonly string[] = []): string {
  let clean = text;
  for (const path of [...known, ...hidden].sort((a, b) => b.length - a.length))
    if (path.startsWith('/') && path.length > 1)
      clean = clean.replaceAll(path, () => (hidden.includes(path) ? 'elsewhere' : basename(path)));
  return clean.replace(/(?<![\w.~/-])(?<!https?:)\/[^\s'"`(),;:]+/g, (path) => basename(path));
}
