import { homedir, userInfo } from 'node:os';

/** The home folder of this user; null where there is none (a container's made-up user id without HOME). */
export function homeFolder(): string | null {
  try {
    return homedir();
  } catch {
    return null;
  }
}

/** The home folder that the system's table of users has, whatever HOME says; null where this user is in none. */
export function homeOnRecord(): string | null {
  try {
    return userInfo().homedir;
  } catch {
    return null;
  }
}

/** The name this process runs under, or null where the system knows none (a container's made-up user id). */
export function userName(): string | null {
  try {
    return userInfo().username;
  } catch {
    return process.env.USER ?? null;
  }
}
