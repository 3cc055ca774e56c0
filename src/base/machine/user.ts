import { homedir, userInfo } from 'node:os';
import { isAbsolute } from 'node:path';

/**
 * The home folder of this user; null where there is none (a container's made-up user id without HOME, or with
 * an empty one, or one that is no absolute path).
 */
export function homeFolder(): string | null {
  return absolute(homedir);
}

/** The home folder that the system's table of users has, whatever HOME says; null where this user is in none. */
export function homeOnRecord(): string | null {
  return absolute(() => userInfo().homedir);
}

function absolute(ask: () => string): string | null {
  try {
    const path = ask();
    return isAbsolute(path) ? path : null;
  } catch {
    return null;
  }
}

/** Undefined before anybody asked. */
let known: string | undefined;

/**
 * The name this process runs under, or null where the system knows none (a container's made-up user id). The table
 * of users is read once: paths are looked at for this name, of each member of each output.
 */
export function userName(): string | null {
  try {
    known ??= userInfo().username;
    return known;
  } catch {
    return process.env.USER ?? null;
  }
}
