import { join } from 'node:path';
import { otherUser } from '../../base/disk/folder-lock.ts';
import type { FreshFile } from '../../base/disk/fresh-file.ts';
import { HEARTBEAT } from '../../base/disk/heartbeat.ts';
import { type HeldFolder, holdOwn } from '../../base/disk/held-folder.ts';
import { onOutput } from '../../base/disk/io-error.ts';
import { PRIVATE } from '../../base/disk/make-folder.ts';
import { newId } from '../../base/disk/new-id.ts';
import { writeNewFile } from '../../base/disk/own-file.ts';
import { claim, type Owner } from '../../base/disk/owner.ts';
import { currentProcess } from '../../base/disk/process-identity.ts';
import { type PublishHooks, type System, systemOf } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { worded } from '../../base/option-words.ts';
import { checkOccupant, type Destination, fewOf, locate } from './destination.ts';
import { unitBytes } from './journal.ts';
import {
  allocatedBytes,
  freshBeside,
  holdPartial,
  PAYLOAD,
  type Partial,
  partialPath,
  partialsOf,
  removePartial,
  takeOver,
  whyForeign,
} from './partial.ts';
import { openPartial, removeFolders } from './partial-publication.ts';
import { checkMovable, restoreOld } from './replace.ts';
import { emptyOnes, partialToResume, whyOther } from './resume.ts';
import type { Publication, PublicationRequest } from './types.ts';

/**
 * Starts an output: looks at what is in the way, restores and clears what earlier runs left, checks the
 * space, and makes the hidden folder that becomes OUT, or with `resume` takes over that of the same merge.
 * The caller ends it with `finish` or `abandon`.
 * @throws MergeError E_OUTPUT_EXISTS, E_OUTPUT_KIND, E_READ_ONLY, E_NO_SPACE, E_BUSY, E_IO. Nothing is left
 *   then.
 */
export async function beginPublication(request: PublicationRequest, hooks: PublishHooks = {}): Promise<Publication> {
  const system = systemOf(hooks);
  const destination = await locate(request.output);
  const found = await partialsOf(destination, system, hooks);
  await restoreOld(destination, system, found);
  const noted = await checkOccupant(destination, request.kind, request.force);
  if (noted.length > 0) {
    const message = `${request.output} is going to be replaced, and with it what may be somebody's work: ${fewOf(noted)}`;
    system.warn({ code: 'W_GOES_WITH_IT', message });
  }
  const stale = found.filter((p) => p.state === 'stale');
  if (request.resume) {
    const partial = partialToResume(found, request);
    const empty = emptyOnes(found, request, partial);
    const others = found.filter((other) => other !== partial && !empty.includes(other));
    for (const other of others.slice(0, MOST_SAID)) warnOfLeft(system, request, other);
    warnOfMore(system, request, others.length - MOST_SAID);
    await checkSpace(system, destination, request, partial === null ? empty : [...empty, partial]);
    for (const other of empty) await remove(system, destination, other, hooks, request.kind);
    return partial === null ? create(system, destination, request, hooks) : resume(system, destination, request, partial, hooks);
  }
  await checkSpace(system, destination, request, stale);
  for (const [k, partial] of found.entries()) {
    const removed = partial.state === 'stale' && (await remove(system, destination, partial, hooks, request.kind));
    if (k < MOST_SAID) warnOf(system, request, partial, removed);
  }
  warnOfMore(system, request, found.length - MOST_SAID);
  return create(system, destination, request, hooks);
}

async function resume(
  system: System,
  destination: Destination,
  request: PublicationRequest,
  partial: Partial,
  hooks: PublishHooks,
): Promise<Publication> {
  const { output } = request;
  const folder = await holdPartial(system, destination, partial);
  try {
    const record =
      folder === null
        ? null
        : await onOutput('take over', partial.path, () => takeOver(system, partial, folder, hooks, request.kind, destination.name));
    if (folder === null || record === null)
      throw new MergeError('E_BUSY', `another process resumes ${output} at this moment`, { details: { file: output } });
    if (request.force && request.kind === 'folder') await checkMovable(system, destination, folder);
    return await openPartial(system, destination, request, folder, record, partial);
  } catch (error) {
    await folder?.close();
    throw error;
  }
}

/**
 * Removes what an earlier run left, unless another process takes it over at this moment, it belongs to
 * somebody else, or what it was to replace is still in it.
 */
async function remove(system: System, destination: Destination, partial: Partial, hooks: PublishHooks, kind: 'folder' | 'file') {
  let folder: HeldFolder | null = null;
  try {
    folder = await holdPartial(system, destination, partial);
    if (folder === null || (await takeOver(system, partial, folder, hooks, kind, destination.name)) === null) return false;
    await removePartial(system, folder);
    return true;
  } catch {
    return false;
  } finally {
    await folder?.close();
  }
}

/**
 * Removes what an ended process left beside an OUT that it had published: it may be killed between the rename
 * and its own tidying up. For an OUT that no publication is begun for.
 */
export async function clearPublished(output: string, hooks: PublishHooks = {}): Promise<void> {
  const system = systemOf(hooks);
  const destination = await locate(output);
  for (const partial of await partialsOf(destination, system, hooks)) {
    if (partial.state === 'stale') await remove(system, destination, partial, hooks, partial.record?.owner.kind ?? 'folder');
  }
}

/** Of how many unfinished merges each is said: anybody may have put thousands there. */
const MOST_SAID = 20;

function warnOfMore(system: System, { output }: PublicationRequest, more: number): void {
  if (more > 0) system.warn({ code: 'W_STALE_PARTIAL', message: `${more} more unfinished merges to ${output} lie or lay beside it` });
}

/** What a resume does not go on with, and leaves. */
function warnOfLeft(system: System, request: PublicationRequest, partial: Partial): void {
  if (partial.state !== 'stale') {
    warnOf(system, request, partial, false);
    return;
  }
  const what = `an interrupted merge to ${request.output} (${doneIn(partial)}) is left alone`;
  const message = `${what}: ${partial.path} ${whyOther(partial, request)}. Remove it where nobody will go on with it`;
  system.warn({ code: 'W_STALE_PARTIAL', message });
}

function doneIn({ units }: Partial): string {
  return `${units.size} finished parts, ${(unitBytes(units.values()) / 1e9).toFixed(2)} GB`;
}

function warnOf(system: System, request: PublicationRequest, partial: Partial, removed: boolean): void {
  const done = doneIn(partial);
  const same = partial.record?.owner.identity === request.identity;
  let message: string;
  if (partial.state === 'foreign') {
    message = `${partial.path} ${whyForeign(partial)}: it is left alone`;
  } else if (partial.state !== 'stale') {
    message = `another merge to ${request.output} ${partial.state === 'live' ? 'is running' : 'may be running'}: ${partial.path} is left alone`;
  } else if (removed) {
    const resumable = same && partial.units.size > 0 ? worded`; --resume would have continued it` : '';
    message = `an interrupted merge to ${request.output} (${done}) was removed, to start afresh${resumable}: ${partial.path}`;
  } else {
    message = `an interrupted merge to ${request.output} (${done}) is left at ${partial.path}`;
  }
  system.warn({ code: 'W_STALE_PARTIAL', message });
}

/**
 * Free space against what will be written, before anything is made; what the given partials hold on disk
 * counts as free.
 */
async function checkSpace(
  system: System,
  destination: Destination,
  request: PublicationRequest,
  reusable: readonly Partial[],
): Promise<void> {
  const place = destination.missing.length > 0 ? join(destination.missing[0]!, '..') : destination.parent;
  const space = await onOutput('look at', place, () => system.fs.statfs(place));
  // Some network and user-space file systems report no size at all.
  if (space.blocks === 0) return;
  let available = space.bavail * space.bsize;
  for (const partial of reusable) {
    if (available >= request.bytes) return;
    available += await allocatedBytes(system, destination, partial);
  }
  if (available >= request.bytes) return;
  throw new MergeError('E_NO_SPACE', `${request.output} needs ${request.bytes} bytes and ${available} are free there`, {
    details: { file: request.output, needed: request.bytes, available },
    help: `Free ${((request.bytes - available) / 1e9).toFixed(2)} GB on that file system, or write elsewhere.`,
  });
}

async function create(system: System, destination: Destination, request: PublicationRequest, hooks: PublishHooks): Promise<Publication> {
  const id = newId();
  const partial = partialPath(destination, id);
  const made: string[] = [];
  let folder: HeldFolder | null = null;
  try {
    for (const parent of destination.missing) {
      // Plain mkdir: ordinary modes of the umask, set-group-id inherited.
      await onOutput('create', parent, () => system.fs.mkdir(parent)).then(
        () => made.push(parent),
        (error: unknown) => {
          if (!(error instanceof MergeError && error.details.errno === 'EEXIST')) throw error;
          // Somebody else made it meanwhile: neither it nor what is above it is ours to remove.
          made.length = 0;
        },
      );
    }
    const { kind, identity, identityParts = {}, request: digest } = request;
    const self = hooks.self ?? (await currentProcess());
    const about = { name: destination.name, kind, identity, identityParts, request: digest };
    const owner = { ...self, id, ...about, parentsMade: made.length, released: false };
    const fresh = await freshBeside(destination, system);
    folder = await onOutput('create', partial, () => makePartial(system, partial, fresh));
    if (!(await claimNew(system, folder, owner))) {
      // Another run took the folder, which was empty for a moment, for one that was left.
      await folder.close();
      folder = null;
      folder = await onOutput('create', partial, () => makePartial(system, partial, fresh));
      await onOutput('create', partial, () => claim(system, folder!.here, 0, owner));
    }
    const { here } = folder;
    await onOutput('create', partial, async () => {
      await writeNewFile(system, join(here, HEARTBEAT), '0');
      await system.fs.mkdir(join(here, PAYLOAD));
    });
    if (request.force && kind === 'folder') await checkMovable(system, destination, folder);
    return await openPartial(system, destination, request, folder, { generation: 0, owner }, null);
  } catch (error) {
    if (folder !== null) await removePartial(system, folder).catch(() => {});
    await folder?.close();
    await removeFolders(system, made);
    throw error;
  }
}

/**
 * Makes the folder, into which nobody else looks before it is published: what lies in `payload` has the modes
 * that OUT will have.
 * @throws MergeError E_OTHER_USER where somebody put another folder into its place meanwhile
 */
async function makePartial(system: System, partial: string, fresh: FreshFile): Promise<HeldFolder> {
  await system.fs.mkdir(partial, PRIVATE);
  let folder: HeldFolder | 'foreign' | null = null;
  try {
    folder = await holdOwn(system, partial, fresh);
    if (folder === null) throw Object.assign(new Error('removed'), { errno: 'ENOENT' });
    // Another folder of this user's would do for all else that is asked, and would be removed in the end.
    if (folder !== 'foreign' && (await system.fs.readdir(folder.here)).length === 0) return folder;
    throw otherUser(partial, 'the unfinished merge');
  } catch (error) {
    if (folder !== null && folder !== 'foreign') await folder.close();
    await system.fs.rmdir(partial).catch(() => {});
    throw error;
  }
}

/** Makes this process the first owner. False where the folder is gone. */
async function claimNew(system: System, folder: HeldFolder, owner: Owner): Promise<boolean> {
  try {
    return await onOutput('create', folder.path, () => claim(system, folder.here, 0, owner));
  } catch (error) {
    if (error instanceof MergeError && error.details.errno === 'ENOENT') return false;
    throw error;
  }
}
