import { constants } from 'node:fs';
import { newId } from './new-id.ts';
import type { System } from './system.ts';

/**
 * What a file system says of a file that this process has just made. Only that can be compared with what it
 * says of others: mounts of CIFS and FUSE, and servers that map users, show owners of their own, and every
 * server has its own clock.
 */
export interface FreshFile {
  readonly uid: number;
  /** Everything can be written by everybody, whatever mode was asked for (exFAT, some CIFS mounts). */
  readonly withoutModes: boolean;
  readonly mtimeMs: number;
}

const MODE = 0o600;
/**
 * Types of statfs(2) of which a mount says the modes of folders apart from those of files: CIFS, SMB2, FAT,
 * exFAT, NTFS.
 */
const WITHOUT_MODES: ReadonlySet<number> = new Set([0xff534d42, 0xfe534d42, 0x4d44, 0x2011bab0, 0x5346544e, 0x7366746e]);
/** Linux: a file that never gets a name, so that a kill leaves nothing. Node does not name the flag. */
const NAMELESS = 0o20000000 | constants.O_DIRECTORY | constants.O_WRONLY;

/**
 * Makes a file in a folder, looks at it, and removes it.
 * @param stem start of its name, where it must have one
 * @throws the errno of open(2)
 */
export async function freshFileIn(system: System, folder: string, stem: string): Promise<FreshFile> {
  const nameless = process.platform === 'linux' ? await system.fs.open(folder, NAMELESS, MODE).catch(() => null) : null;
  const path = `${folder}/${stem}${newId()}`;
  const handle = nameless ?? (await system.fs.open(path, 'wx', MODE));
  try {
    // By the descriptor: by now the name may lead elsewhere.
    const { uid, mode, mtimeMs } = await handle.stat();
    const { type } = await system.fs.statfs(folder);
    return { uid, withoutModes: (mode & 0o022) !== 0 || WITHOUT_MODES.has(type), mtimeMs };
  } finally {
    await handle.close();
    if (nameless === null) await system.fs.unlink(path).catch(() => {});
  }
}
