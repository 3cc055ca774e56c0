import { join } from 'node:path';
import { errnoOf } from '../../base/disk/errno.ts';
import { HEARTBEAT } from '../../base/disk/heartbeat.ts';
import { onOutput } from '../../base/disk/io-error.ts';
import { claim, newId, readOwner } from '../../base/disk/owner.ts';
import { currentProcess } from '../../base/disk/process-identity.ts';
import { type PublishHooks, removeTree, type System, systemOf, writeNewFile } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { checkOccupant, type Destination, locate } from './destination.ts';
import { unitBytes } from './journal.ts';
import { allocatedBytes, PAYLOAD, type Partial, partialPath, partialsOf, removePartial, takeOver } from './partial.ts';
import { openPartial, removeFolders } from './partial-publication.ts';
import { restoreOld } from './replace.ts';
import { partialToResume } from './resume.ts';
import type { Publication, PublicationRequest } from './types.ts';

/**
 * Starts an output: looks at what is in the way, restores and clears what earlier runs left, checks the
 * space, and makes (or with `resume` takes over) the hidden folder that becomes OUT. The caller ends it with
 * `finish` or `abandon`.
 * @throws MergeError E_OUTPUT_EXISTS, E_OUTPUT_KIND, E_READ_ONLY, E_NO_SPACE, E_RESUME, E_BUSY, E_IO. Nothing
 *   is left then.
 */
export async function beginPublication(request: PublicationRequest, hooks: PublishHooks = {}): Promise<Publication> {
  const system = systemOf(hooks);
  const destination = await locate(request.output);
  const found = await partialsOf(destination, system, hooks);
  await restoreOld(destination, system, found);
  await checkOccupant(destination, request.kind, request.force);
  const stale = found.filter((p) => p.state === 'stale');
  if (request.resume) {
    const partial = partialToResume(found, request);
    for (const other of found) if (other !== partial) warnOf(system, request, other, false);
    await checkSpace(system, destination, request, [partial]);
    const record = await onOutput('take over', partial.path, () => takeOver(system, partial, hooks, request.kind, destination.name));
    if (record === null)
      throw new MergeError('E_BUSY', `another process resumes ${request.output} at this moment`, { details: { file: request.output } });
    return openPartial(system, destination, request, partial.path, record, partial.units, partial.journalBytes);
  }
  await checkSpace(system, destination, request, stale);
  for (const partial of found) {
    const removed = partial.state === 'stale' && (await remove(system, partial, hooks, request.kind, destination.name));
    warnOf(system, request, partial, removed);
  }
  return create(system, destination, request, hooks);
}

/**
 * Removes what an earlier run left, unless another process takes it over at this moment or it belongs to
 * somebody else.
 */
async function remove(system: System, partial: Partial, hooks: PublishHooks, kind: 'folder' | 'file', name: string): Promise<boolean> {
  try {
    if ((await takeOver(system, partial, hooks, kind, name)) === null) return false;
    await removePartial(system, partial.path);
    return true;
  } catch {
    return false;
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
    if (partial.state === 'stale') await remove(system, partial, hooks, partial.record?.owner.kind ?? 'folder', destination.name);
  }
}

function warnOf(system: System, request: PublicationRequest, partial: Partial, removed: boolean): void {
  const done = `${partial.units.size} finished parts, ${(unitBytes(partial.units.values()) / 1e9).toFixed(2)} GB`;
  const same = partial.record?.owner.identity === request.identity;
  let message: string;
  if (partial.state !== 'stale') {
    message = `another merge to ${request.output} ${partial.state === 'live' ? 'is running' : 'may be running'}: ${partial.path} is left alone`;
  } else if (removed) {
    const resumable = same && partial.units.size > 0 ? '; --resume would have continued it' : '';
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
  for (const partial of reusable) available += await allocatedBytes(partial.path);
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
  try {
    for (const folder of destination.missing) {
      // Plain mkdir throughout: ordinary modes of the umask, set-group-id inherited.
      await onOutput('create', folder, () => system.fs.mkdir(folder)).then(
        () => made.push(folder),
        (error: unknown) => {
          if (!(error instanceof MergeError && error.details.errno === 'EEXIST')) throw error;
          // Somebody else made it meanwhile: neither it nor what is above it is ours to remove.
          made.length = 0;
        },
      );
    }
    await onOutput('create', partial, async () => {
      await system.fs.mkdir(partial);
      made.push(partial);
      const { kind, identity, identityParts = {}, request: digest } = request;
      const self = hooks.self ?? (await currentProcess());
      const about = { name: destination.name, kind, identity, identityParts, request: digest };
      const owner = { ...self, id, ...about, parentsMade: made.length - 1, released: false };
      await claim(system, partial, 0, owner).catch(async (error: unknown) => {
        // Another run took the folder, which was empty for a moment, for one that was left.
        if (errnoOf(error) !== 'ENOENT') throw error;
        await system.fs.mkdir(partial);
        await claim(system, partial, 0, owner);
      });
      await writeNewFile(system, join(partial, HEARTBEAT), '0');
      await system.fs.mkdir(join(partial, PAYLOAD));
    });
    const record = (await readOwner(partial))!;
    return await openPartial(system, destination, request, partial, record, new Map(), new Map());
  } catch (error) {
    if (made.includes(partial)) await removeTree(system, partial).catch(() => {});
    await removeFolders(
      system,
      made.filter((folder) => folder !== partial),
    );
    throw error;
  }
}
