import type { FileHandle } from 'node:fs/promises';
import { extname } from 'node:path';
import { errnoOf } from '../../base/disk/errno.ts';
import { HeldFolder } from '../../base/disk/held-folder.ts';
import { openOwn } from '../../base/disk/own-file.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { isOwnDocument, isOwnPage, OWN_WITHIN } from '../../render/own-report.ts';

interface Kind {
  readonly type: string;
  readonly isOwn: (head: string, name: string) => boolean;
}

/** Lines that studies write beside their pages. */
const TABLES: ReadonlySet<string> = new Set(['trials.jsonl', 'validation.jsonl', 'scores.jsonl', 'scores.csv']);

/** What is shown, by the end of its name: what this program wrote for people, and nothing else. */
const KINDS: Readonly<Record<string, Kind>> = {
  '.html': { type: 'text/html; charset=utf-8', isOwn: isOwnPage },
  '.json': { type: 'application/json; charset=utf-8', isOwn: isOwnDocument },
  '.jsonl': { type: 'text/plain; charset=utf-8', isOwn: (_, name) => TABLES.has(name) },
  '.csv': { type: 'text/csv; charset=utf-8', isOwn: (_, name) => TABLES.has(name) },
};

/** A file to be sent: open, so that what is put into its place meanwhile changes nothing of it. */
export interface ServedFile {
  readonly handle: FileHandle;
  readonly type: string;
  /** Bytes that it had when it was opened: of one that grows, no more are sent. */
  readonly size: number;
  readonly modified: Date;
  /** Its first bytes, as latin1. */
  readonly head: string;
}

/** Whether a name may be one of something that is shown. */
export function isServedName(name: string): boolean {
  return Object.hasOwn(KINDS, extname(name));
}

/**
 * Opens a folder by names below another one, through no link but those on the way to that. Whoever opens it closes it.
 * @returns null where there is none
 */
export async function openFolder(folder: string, names: readonly string[]): Promise<HeldFolder | null> {
  return orNull(async () => {
    let held = await HeldFolder.open(SYSTEM, folder, await SYSTEM.fs.realpath(folder));
    for (const name of names) {
      const below = held.child(SYSTEM, name);
      await below.catch(() => {});
      await held.close();
      held = await below;
    }
    return held;
  });
}

/** Opens a file of a folder where it is one that is shown; null where it is not. Whoever opens it closes it. */
export async function openServed(folder: HeldFolder, name: string): Promise<ServedFile | null> {
  const kind = isServedName(name) ? KINDS[extname(name)]! : null;
  const handle = kind === null ? null : await orNull(() => openOwn(SYSTEM, folder.at(name), 'read'));
  if (handle === null) return null;
  try {
    const { size, mtime } = await handle.stat();
    const start = Buffer.alloc(Math.min(size, OWN_WITHIN));
    const { bytesRead } = await handle.read(start, 0, start.length, 0);
    const head = start.toString('latin1', 0, bytesRead);
    if (kind!.isOwn(head, name)) return { handle, type: kind!.type, size, modified: mtime, head };
  } catch (error) {
    await handle.close();
    throw error;
  }
  await handle.close();
  return null;
}

/** What open(2) says of what is not there, is a link or another thing than a file, or is closed to us. */
const NOT_SHOWN: ReadonlySet<string> = new Set([
  ...['ENOENT', 'ENOTDIR', 'ELOOP', 'EMLINK', 'EACCES', 'EPERM', 'ENAMETOOLONG', 'ENXIO', 'ESTALE', 'EINVAL', 'EILSEQ', 'ENODEV'],
]);

async function orNull<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof MergeError || NOT_SHOWN.has(errnoOf(error) ?? '')) return null;
    throw error;
  }
}
