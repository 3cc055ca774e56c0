import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { BOARD_PARTS } from '../../base/board/folder-board.ts';
import { type FreshFile, freshFileIn } from '../../base/disk/fresh-file.ts';
import { heartbeatStopped } from '../../base/disk/heartbeat.ts';
import { type HeldFolder, holdOwn } from '../../base/disk/held-folder.ts';
import { isGoneError, onOutput } from '../../base/disk/io-error.ts';
import { newId } from '../../base/disk/new-id.ts';
import { claim, isDraft, type OwnerRecord, ownerGeneration, readOwner } from '../../base/disk/owner.ts';
import { currentProcess, type ProcessIdentity, processState } from '../../base/disk/process-identity.ts';
import { removeContent, removeTree } from '../../base/disk/remove-tree.ts';
import { type PublishHooks, SYSTEM, type System, systemOf } from '../../base/disk/system.ts';
import { type Destination, locate } from './destination.ts';
import { readJournals } from './journal.ts';
import type { JournalUnit } from './types.ts';

/** Names inside a partial. The payload becomes OUT; what lies beside it is never published. */
export const PAYLOAD = 'payload';
/**
 * What the payload is called from the moment that it is complete: a partial without `payload` is not to be
 * continued.
 */
export const READY = 'ready';
/** A folder that is there for a moment. */
export const PROBE = 'probe';

/**
 * All that a partial can hold, but for what file systems and desktops put everywhere. Who may rename things
 * beside OUT can give this name to any folder of this user's: one that holds anything else is left alone.
 */
const PARTS = /^(owner(-\d{1,9})?\.json|draft-\w+|heartbeat|journal(-\w+)?\.ndjson|payload|ready|probe|\.nfs[0-9a-f]+|\.DS_Store)$/;

function isPart(name: string): boolean {
  return PARTS.test(name) || BOARD_PARTS.test(name);
}

/**
 * `live`: its process runs. `stale`: its process is known to have ended. `unknown`: neither is certain
 * (another machine, a fresh heartbeat), so it is left alone. `foreign`: it belongs to another user, others
 * can write to it, or it is no folder, and nothing in it is believed, or even looked at; or it holds what no
 * merge puts there.
 */
export type PartialState = 'live' | 'stale' | 'unknown' | 'foreign';

/** Why a foreign one is left alone. */
export type ForeignReason = 'another user' | 'others write' | 'no folder' | 'other content';

/** {@link ForeignReason} in words, after the path. */
export function whyForeign({ foreign, owner }: Partial): string {
  if (foreign === 'another user')
    return `belongs to another user${owner === null ? '' : ` (uid ${owner})`}, whose merge may still be running`;
  if (foreign === 'others write') return 'can be written by others, who may have put anything there';
  return foreign === 'no folder' ? 'is no folder' : 'holds what no unfinished merge has';
}

/** An unfinished merge to an OUT, as it lies beside it. */
export interface Partial {
  readonly path: string;
  readonly id: string;
  readonly state: PartialState;
  /** Null for all but foreign ones. */
  readonly foreign: ForeignReason | null;
  /** User id of whoever has a foreign one; null where that is not known. */
  readonly owner: number | null;
  /** Which folder was looked at (`HeldFolder.node`); empty for a foreign one that was not looked into. */
  readonly node: string;
  /** Null where the record cannot be read. */
  readonly record: OwnerRecord | null;
  /** Finished units by key; empty where it cannot be continued. */
  readonly units: ReadonlyMap<string, JournalUnit>;
  /** Bytes up to which each of its journals is good, by the name of the file. */
  readonly journalBytes: ReadonlyMap<string, number>;
}

/**
 * Longest part of NAME in a hidden sibling's name, bytes: leaves room for the rest where names end at 143
 * bytes (encrypted folders) as well as at 255.
 */
const MAX_STEM_BYTES = 96;

/** Of the identifier at the end of a hidden name. */
const ID_LETTERS = 12;

/**
 * Start of the names of all hidden siblings of NAME: NAME itself, or its beginning and a digest where it is
 * long.
 */
function hiddenStem(name: string): string {
  if (Buffer.byteLength(name) <= MAX_STEM_BYTES) return `.${name}`;
  let start = '';
  for (const character of name) {
    if (Buffer.byteLength(start + character) > MAX_STEM_BYTES - 9) break;
    start += character;
  }
  return `.${start}~${createHash('sha256').update(name).digest('hex').slice(0, 8)}`;
}

export function partialPath(destination: Destination, id: string): string {
  return join(destination.parent, `${hiddenStem(destination.name)}.partial-${id}`);
}

/** Where the fallback keeps a replaced OUT until the new one is in its place. */
export function oldPath(destination: Destination, id: string): string {
  return join(destination.parent, `${hiddenStem(destination.name)}.old-${id}`);
}

/** Ids of the hidden siblings of OUT of one kind. */
export async function siblingIds(destination: Destination, kind: 'partial' | 'old'): Promise<string[]> {
  const start = `${hiddenStem(destination.name)}.${kind}-`;
  const names = await SYSTEM.fs.readdir(destination.parent).catch((): string[] => []);
  return names
    .filter((name) => name.startsWith(start) && /^[0-9a-f]{12}$/.test(name.slice(start.length)))
    .map((name) => name.slice(start.length));
}

/** What a file of this user's looks like in the folder of OUT. @throws MergeError of the side of outputs */
export function freshBeside(destination: Destination, system: System): Promise<FreshFile> {
  return onOutput('create', destination.output, () => freshFileIn(system, destination.parent, `${hiddenStem(destination.name)}.probe-`));
}

/**
 * The unfinished merges beside OUT, by id. Looking needs a right to write there: owners and ages are compared
 * with those of a file made for it, since only the file system itself can say who this user is to it, and what
 * time it is.
 */
export async function findPartials(output: string, hooks: PublishHooks = {}): Promise<Partial[]> {
  return partialsOf(await locate(output), systemOf(hooks), hooks);
}

export async function partialsOf(destination: Destination, system: System, hooks: PublishHooks): Promise<Partial[]> {
  const ids = await siblingIds(destination, 'partial');
  if (ids.length === 0) return [];
  const fresh = await freshBeside(destination, system).catch(() => null);
  const paths = ids.sort().map((id) => partialPath(destination, id));
  return lookAt(paths, destination.name, fresh, system, hooks);
}

const ANY_PARTIAL = /^\..+\.partial-[0-9a-f]{12}$/;

/**
 * The unfinished merges in a folder, of whatever output, by their names. @throws the errno of the file system
 */
export async function partialsIn(folder: string): Promise<Partial[]> {
  const names = (await SYSTEM.fs.readdir(folder)).filter((name) => ANY_PARTIAL.test(name)).sort();
  if (names.length === 0) return [];
  const fresh = await freshFileIn(SYSTEM, folder, '.merge-doctor-').catch(() => null);
  const paths = names.map((name) => join(folder, name));
  return lookAt(paths, null, fresh, SYSTEM, {});
}

/** @param name of the output; null for any @param fresh null where nothing can be written */
async function lookAt(
  paths: readonly string[],
  name: string | null,
  fresh: FreshFile | null,
  system: System,
  hooks: PublishHooks,
): Promise<Partial[]> {
  const self = hooks.self ?? (await currentProcess());
  const partials: Partial[] = [];
  for (const path of paths) {
    const id = path.slice(-ID_LETTERS);
    const folder = fresh === null ? null : await onOutput('look at', path, () => holdOwn(system, path, fresh));
    if (fresh === null || folder === 'foreign') {
      const about = fresh === null ? ({ state: 'unknown', foreign: null, owner: null } as const) : await foreignTo(system, path, fresh);
      partials.push({ path, id, ...about, node: '', record: null, units: new Map(), journalBytes: new Map() });
      continue;
    }
    if (folder === null) continue;
    try {
      const partial = await onOutput('look at', path, () => examine(system, name, folder, self, fresh)).catch((error: unknown) => {
        // Whoever has it removes it at this moment.
        if (isGoneError(error)) return null;
        throw error;
      });
      if (partial !== null) partials.push({ path, id, ...partial });
    } finally {
      await folder.close();
    }
  }
  return partials;
}

/** What is said of a folder that was not opened. */
async function foreignTo(system: System, path: string, fresh: FreshFile): Promise<Pick<Partial, 'state' | 'foreign' | 'owner'>> {
  const stats = await system.fs.lstat(path).catch(() => null);
  const foreign = stats?.isDirectory() === false ? 'no folder' : stats?.uid === fresh.uid ? 'others write' : 'another user';
  return { state: 'foreign', foreign, owner: stats?.uid ?? null };
}

async function examine(
  system: System,
  name: string | null,
  folder: HeldFolder,
  self: ProcessIdentity,
  fresh: FreshFile,
): Promise<Omit<Partial, 'path' | 'id'> | null> {
  const record = await readOwner(folder.here);
  if (record !== null && name !== null && record.owner.name !== name) return null;
  // A process that ended before it could say who it is, or when it had removed all else. One that is just
  // beginning makes its folder again.
  if (record === null && (await removeBegun(system, folder))) return null;
  const process = record === null ? 'unknown' : record.owner.released ? 'dead' : await processState(record.owner, self);
  const ended = process === 'dead' || (process === 'unknown' && (await heartbeatStopped(system, folder, fresh)));
  const alien = (await system.fs.readdir(folder.here)).some((name) => !isPart(name));
  const state = process === 'live' ? 'live' : alien ? 'foreign' : ended ? 'stale' : 'unknown';
  const journal = await readJournals(folder.here, folder.at(PAYLOAD));
  const foreign = state === 'foreign' ? 'other content' : null;
  return { state, foreign, owner: null, node: await folder.node(), record, units: journal.units, journalBytes: journal.goodBytes };
}

/**
 * Removes a folder that is empty, or holds nothing but drafts of a record of who has it. False where there is more.
 */
async function removeBegun(system: System, folder: HeldFolder): Promise<boolean> {
  const names = await system.fs.readdir(folder.here);
  if (!names.every(isDraft)) return false;
  for (const name of names) await removeTree(system, folder.at(name));
  return system.fs.rmdir(folder.path).then(() => true, isGoneError);
}

/** Bytes on disk that removing a stale partial would free. */
export async function allocatedBytes(system: System, destination: Destination, partial: Partial): Promise<number> {
  const folder = await holdPartial(system, destination, partial).catch(() => null);
  if (folder === null) return 0;
  let bytes = 0;
  for (const entry of await system.fs.readdir(folder.here, { withFileTypes: true, recursive: true }).catch(() => [])) {
    if (!entry.isFile()) continue;
    bytes += await system.fs.lstat(join(entry.parentPath, entry.name)).then(
      (s) => s.blocks * 512,
      () => 0,
    );
  }
  await folder.close();
  return bytes;
}

/**
 * Removes a partial of ours, what fills the disk first and the record of who is at it last: without it nobody
 * could tell that this process ended. What no merge puts there stays, and the folder with it.
 * @throws the errno of rmdir(2), ENOTEMPTY where something stays
 */
export async function removePartial(system: System, partial: HeldFolder): Promise<void> {
  for (const name of [PAYLOAD, READY, PROBE]) await removeTree(system, partial.at(name));
  await removeContent(system, partial, (name) => !isPart(name) || ownerGeneration(name) !== null);
  await removeContent(system, partial, (name) => !isPart(name));
  await system.fs.rmdir(partial.path);
}

/**
 * Opens a partial that was found, where it is still the same and this user's own; null where it is not.
 * @throws MergeError of the side of outputs
 */
export async function holdPartial(system: System, destination: Destination, partial: Partial): Promise<HeldFolder | null> {
  const fresh = await freshBeside(destination, system);
  const folder = await onOutput('look at', partial.path, () => holdOwn(system, partial.path, fresh));
  if (folder === null || folder === 'foreign') return null;
  if ((await folder.node()) === partial.node) return folder;
  await folder.close();
  return null;
}

/** Takes a stale partial over. Null where another process was first. */
export async function takeOver(
  system: System,
  partial: Partial,
  folder: HeldFolder,
  hooks: PublishHooks,
  kind: 'folder' | 'file',
  name: string,
): Promise<OwnerRecord | null> {
  const self = hooks.self ?? (await currentProcess());
  const before = partial.record?.owner;
  const owner = {
    ...self,
    id: newId(),
    name,
    kind: before?.kind ?? kind,
    identity: before?.identity ?? '',
    identityParts: before?.identityParts ?? {},
    request: before?.request,
    parentsMade: before?.parentsMade ?? 0,
    released: false,
  };
  // An unreadable record still has its number: the next free one is found by trying.
  for (let generation = (partial.record?.generation ?? -1) + 1; ; generation++) {
    if (await claim(system, folder.here, generation, owner)) return { generation, owner };
    if (partial.record !== null || generation > 99) return null;
  }
}
