import { createHash } from 'node:crypto';
import { lstat, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { heartbeatStopped } from '../../base/disk/heartbeat.ts';
import { claim, newId, type OwnerRecord, ownerGeneration, readOwner } from '../../base/disk/owner.ts';
import { currentProcess, processState } from '../../base/disk/process-identity.ts';
import { type PublishHooks, removeTree, type System, systemOf } from '../../base/disk/system.ts';
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

/**
 * `live`: its process runs. `stale`: its process is known to have ended. `unknown`: neither is certain
 * (another machine, a fresh heartbeat), so it is left alone.
 */
export type PartialState = 'live' | 'stale' | 'unknown';

/** An unfinished merge to an OUT, as it lies beside it. */
export interface Partial {
  readonly path: string;
  readonly id: string;
  readonly state: PartialState;
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
  const names = await readdir(destination.parent).catch((): string[] => []);
  return names
    .filter((name) => name.startsWith(start) && /^[0-9a-f]{12}$/.test(name.slice(start.length)))
    .map((name) => name.slice(start.length));
}

/**
 * The unfinished merges beside OUT, by id. Looking needs a right to write there: age is measured against a
 * file made for it, since only the file system's own clock can be compared with its times.
 */
export async function findPartials(output: string, hooks: PublishHooks = {}): Promise<Partial[]> {
  return partialsOf(await locate(output), systemOf(hooks), hooks);
}

export async function partialsOf(destination: Destination, system: System, hooks: PublishHooks): Promise<Partial[]> {
  const ids = await siblingIds(destination, 'partial');
  const self = ids.length > 0 ? (hooks.self ?? (await currentProcess())) : null;
  const partials: Partial[] = [];
  for (const id of ids.sort()) {
    const path = partialPath(destination, id);
    const entry = await lstat(path).catch(() => null);
    if (self === null || !entry?.isDirectory()) continue;
    const record = await readOwner(path);
    if (record !== null && record.owner.name !== destination.name) continue;
    // A process that ended before it could say who it is, or when it had removed all else. One that is just
    // beginning makes its folder again.
    if (record === null && (await removeEmpty(system, path))) continue;
    const process = record === null ? 'unknown' : record.owner.released ? 'dead' : await processState(record.owner, self);
    const ended = process === 'dead' || (process === 'unknown' && (await heartbeatStopped(path, probePath(destination), system)));
    const state = process === 'live' ? 'live' : ended ? 'stale' : 'unknown';
    const journal = await readJournals(path, join(path, PAYLOAD));
    partials.push({ path, id, state, record, units: journal.units, journalBytes: journal.goodBytes });
  }
  return partials;
}

async function removeEmpty(system: System, folder: string): Promise<boolean> {
  return system.fs.rmdir(folder).then(
    () => true,
    () => false,
  );
}

function probePath(destination: Destination): string {
  return join(destination.parent, `${hiddenStem(destination.name)}.probe-${newId()}`);
}

/** Bytes on disk that removing a partial would free. */
export async function allocatedBytes(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => [])) {
    if (entry.isFile())
      bytes += await stat(join(entry.parentPath, entry.name)).then(
        (s) => s.blocks * 512,
        () => 0,
      );
  }
  return bytes;
}

/**
 * Removes a partial of ours, what fills the disk first and the record of who is at it last: without it nobody
 * could tell that this process ended.
 */
export async function removePartial(system: System, partial: string): Promise<void> {
  for (const name of [PAYLOAD, READY]) await removeTree(system, join(partial, name));
  const rest = await readdir(partial).catch((): string[] => []);
  for (const name of rest) if (ownerGeneration(name) === null) await removeTree(system, join(partial, name));
  await removeTree(system, partial);
}

/** Takes a stale partial over. False where another process was first. */
export async function takeOver(
  system: System,
  partial: Partial,
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
    if (await claim(system, partial.path, generation, owner)) return { generation, owner };
    if (partial.record !== null || generation > 99) return null;
  }
}
