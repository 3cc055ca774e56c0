/** What a request asks for. */
export interface RequestPath {
  /** Names from the folder down; none for the folder itself. */
  readonly names: readonly string[];
  /** Whether it ends with a slash, as folders do. */
  readonly isFolder: boolean;
  /** What `?token=` gives; null where it does not. */
  readonly token: string | null;
}

/** Characters of a request's target. */
const LONGEST = 4096;
/** Folders below the one that is served. */
const DEEPEST = 32;

/**
 * The target of a request, taken as it is written: nothing is made of `..`, of backslashes or of what is encoded twice.
 * @returns the status to answer with where it can name nothing
 */
export function requestPath(target: string): RequestPath | 400 | 404 | 414 {
  if (target.length > LONGEST) return 414;
  if (!target.startsWith('/')) return 400;
  const [, path = '', query = ''] = /^\/([^?]*)\??(.*)$/s.exec(target)!;
  const isFolder = path === '' || path.endsWith('/');
  let names: readonly string[];
  try {
    names = (isFolder ? path.slice(0, -1) : path).split('/').map(decodeURIComponent);
  } catch {
    return 400;
  }
  if (path === '') names = [];
  if (names.length > DEEPEST || !names.every(isPlain)) return 404;
  return { names, isFolder, token: new URLSearchParams(query).get('token') };
}

/** A name that means itself, and is not hidden. */
function isPlain(name: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: no name of ours has any
  return name !== '' && !name.startsWith('.') && !/[/\\\u0000-\u001f\u007f]/.test(name);
}

/** The path of names below the folder, as it stands in a URL. */
export function urlPath(names: readonly string[], isFolder: boolean): string {
  return `/${names.map(encodeURIComponent).join('/')}${isFolder && names.length > 0 ? '/' : ''}`;
}
