import { constants, fstatSync, statSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from './errno.ts';
import type { FreshFile } from './fresh-file.ts';
import { isGoneError } from './io-error.ts';
import type { System } from './system.ts';

/** Links of the kernel's that lead to what a descriptor was opened on, whatever has its name by now. */
const DESCRIPTORS = '/proc/self/fd';
const FOLDER_ONLY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** What open(2) says of a name that is no folder, is a link, or is closed to us. */
const NOT_OURS: ReadonlySet<string> = new Set(['ELOOP', 'ENOTDIR', 'EMLINK', 'EACCES', 'EPERM']);

/** Modes of a folder in which others can put and remove things. */
const GROUP_WRITES = 0o020;
export const OTHERS_WRITE = 0o002;

let descriptors: boolean | undefined;

/**
 * Whether the kernel's links to descriptors can be used: tried with a first folder, since a sandbox may show
 * /proc and not let it be followed.
 */
function canFollow(fd: number): boolean {
  try {
    const [own, followed] = [fstatSync(fd), statSync(`${DESCRIPTORS}/${fd}/.`)];
    return own.dev === followed.dev && own.ino === followed.ino;
  } catch {
    return false;
  }
}

/**
 * A folder held open: names in it keep their meaning while somebody renames the folder, or puts a link or
 * another folder into its place. Where the system has no /proc (macOS) names are looked up anew each time,
 * and only what the folder was when it was opened is certain.
 */
export class HeldFolder {
  /** For people. */
  readonly path: string;
  /** For system calls. */
  readonly here: string;
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle, reached: string) {
    descriptors ??= canFollow(handle.fd);
    this.path = path;
    this.here = descriptors ? `${DESCRIPTORS}/${handle.fd}` : reached;
    this.#handle = handle;
  }

  /**
   * Opens a folder, and no link to one.
   * @param reached where system calls find it; `path` is for people
   * @throws the errno of open(2): ELOOP or ENOTDIR for a link
   */
  static async open(system: Pick<System, 'fs'>, path: string, reached = path): Promise<HeldFolder> {
    return new HeldFolder(path, await system.fs.open(reached, FOLDER_ONLY), reached);
  }

  /** Whether names in it are looked up by its descriptor, and so wherever it is moved to. */
  get isFirm(): boolean {
    return this.here.startsWith(DESCRIPTORS);
  }

  /** Something in it, for system calls. */
  at(...names: readonly string[]): string {
    return join(this.here, ...names);
  }

  /** A folder in it. */
  child(system: Pick<System, 'fs'>, name: string): Promise<HeldFolder> {
    return HeldFolder.open(system, join(this.path, name), this.at(name));
  }

  /** Which folder it is: device and inode. */
  async node(): Promise<string> {
    const { dev, ino } = await this.#handle.stat({ bigint: true });
    return `${dev}:${ino}`;
  }

  /**
   * Whether it is this user's, and nobody else can write to it: only then is what lies in it this user's own
   * work.
   * @param fresh a file that was just made on the same file system
   * @param forbidden modes that say that somebody else can
   */
  async isOwn(fresh: FreshFile, forbidden = GROUP_WRITES | OTHERS_WRITE): Promise<boolean> {
    const { mode } = await this.#handle.stat();
    return (await this.belongsTo(fresh)) && (fresh.withoutModes || (mode & forbidden) === 0);
  }

  /** Whether it is this user's. @param fresh as for {@link isOwn} */
  async belongsTo(fresh: FreshFile): Promise<boolean> {
    return (await this.#handle.stat()).uid === fresh.uid;
  }

  /** When something was last made or removed in it, milliseconds. */
  async mtimeMs(): Promise<number> {
    return (await this.#handle.stat()).mtimeMs;
  }

  /** When it was last changed or moved, milliseconds. */
  async changedMs(): Promise<number> {
    return (await this.#handle.stat()).ctimeMs;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/**
 * Opens a folder that is this user's own; null where it is not there.
 * @returns `foreign` for what belongs to another user, can be written by others, or is no folder
 */
export async function holdOwn(system: Pick<System, 'fs'>, path: string, fresh: FreshFile): Promise<HeldFolder | 'foreign' | null> {
  let folder: HeldFolder;
  try {
    folder = await HeldFolder.open(system, path);
  } catch (error) {
    const errno = errnoOf(error) ?? '';
    if (isGoneError(error)) return null;
    if (NOT_OURS.has(errno)) return 'foreign';
    throw error;
  }
  try {
    if (await folder.isOwn(fresh)) return folder;
  } catch (error) {
    await folder.close();
    if (isGoneError(error)) return null;
    throw error;
  }
  await folder.close();
  return 'foreign';
}
