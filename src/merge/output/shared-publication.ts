import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { errnoOf } from '../../base/disk/errno.ts';
import { otherUser } from '../../base/disk/folder-lock.ts';
import { isRemoved } from '../../base/disk/fresh-look.ts';
import { beat, HEARTBEAT, HEARTBEAT_MS } from '../../base/disk/heartbeat.ts';
import { type HeldFolder, holdOwn } from '../../base/disk/held-folder.ts';
import { isGoneError, onOutput, toMergeError } from '../../base/disk/io-error.ts';
import { PRIVATE } from '../../base/disk/make-folder.ts';
import { newId } from '../../base/disk/new-id.ts';
import { writeNewFile } from '../../base/disk/own-file.ts';
import { claim, ownerFile } from '../../base/disk/owner.ts';
import type { System } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { shortDigest } from '../../base/short-digest.ts';
import type { Destination } from './destination.ts';
import { agreeing, JournalWriter, journalFile, readEachJournal } from './journal.ts';
import { freshBeside, PAYLOAD, READY, removePartial } from './partial.ts';
import { removeFolders } from './partial-publication.ts';
import { placePayload } from './place-payload.ts';
import type { SwappedIn } from './replace.ts';
import type { JournalUnit, Publication, PublicationRequest } from './types.ts';

/** The id of the partial of an output that ranks make together: whoever was asked the same finds it. */
export function sharedId(request: string): string {
  return shortDigest(`ranks ${request}`);
}

/** A partial that several processes work in. */
export interface SharedFolder {
  readonly destination: Destination;
  readonly folder: HeldFolder;
}

/** Folders above a partial that were made for it: as many of them as the number at the end says. */
const MADE = /^note-[0-9a-f]{12}-(\d+)$/;

/**
 * Opens a folder of ranks beside an output, and makes it where it is not there.
 * @param path the partial of an output that they make together, or another hidden sibling
 * @throws MergeError E_OTHER_USER where somebody else put something there, or can change what is in it;
 *   E_READ_ONLY, E_IO
 */
export async function holdShared(
  system: System,
  { destination, path }: { readonly destination: Destination; readonly path: string },
): Promise<SharedFolder> {
  let made = 0;
  const makeOne = (folder: string, mode?: number): Promise<boolean> =>
    onOutput('create', folder, () =>
      system.fs.mkdir(folder, mode).then(
        () => true,
        (error: unknown) => {
          if (errnoOf(error) !== 'EEXIST') throw error;
          return false;
        },
      ),
    );
  for (const parent of destination.missing) if (await makeOne(parent)) made++;
  await makeOne(path, PRIVATE);
  const fresh = await freshBeside(destination, system);
  const folder = await onOutput('open', path, () => holdOwn(system, path, fresh));
  if (folder === 'foreign') throw otherUser(path, 'the unfinished merge');
  // It was removed at this moment, by whoever finished what it was for.
  if (folder === null) throw goneError(path);
  if (made > 0) await writeNewFile(system, folder.at(`note-${newId()}-${made}`), '').catch(() => {});
  return { destination, folder };
}

function goneError(path: string): MergeError {
  return new MergeError('E_TEMPORARY', `${path} was removed while it was being opened`, { details: { file: path } });
}

/** Tries of removing a partial that others write a last word into, and milliseconds between. */
const REMOVALS = 5;
const PAUSE_MS = 50;

/**
 * Removes a partial of ranks, and the folders above it that were made for it where `all` is to go. Others may
 * be removing it as well, or write a last word there: a sign of life that was on its way, their end.
 */
export async function removeShared(system: System, { destination, folder }: SharedFolder, all: boolean): Promise<void> {
  const notes = await system.fs.readdir(folder.here).catch((): string[] => []);
  const made = Math.max(0, ...notes.map((name) => Number(MADE.exec(name)?.[1] ?? 0)));
  for (let attempt = 1; attempt <= REMOVALS; attempt++) {
    try {
      await removePartial(system, folder);
      break;
    } catch (error) {
      if (!isGoneError(error) && errnoOf(error) !== 'ENOTEMPTY') throw error;
      if (await isRemoved(system, folder.path)) break;
      if (attempt < REMOVALS) await wait(PAUSE_MS);
    }
  }
  if (!all) return;
  const folders: string[] = [];
  let parent = destination.parent;
  for (let i = 0; i < made; i++, parent = join(parent, '..')) folders.unshift(parent);
  await removeFolders(system, folders);
}

/**
 * One rank's share in the publication of an output. Every rank journals what it made in a file of its own, and
 * knows by the others' what is done.
 */
export class SharedPublication implements Publication {
  readonly output: string;
  readonly kind: 'folder' | 'file';
  readonly dir: string;
  readonly partial: string;
  readonly shared: SharedFolder;
  readonly #system: System;
  readonly #request: PublicationRequest;
  readonly #journal: JournalWriter;
  readonly #heartbeat: NodeJS.Timeout;
  readonly #sizes = new Map<string, number>();
  #finished: ReadonlyMap<string, JournalUnit> = new Map();
  #placed: SwappedIn | null = null;

  private constructor(system: System, shared: SharedFolder, request: PublicationRequest, journal: JournalWriter) {
    this.output = request.output;
    this.kind = request.kind;
    this.dir = shared.folder.at(PAYLOAD);
    this.partial = shared.folder.path;
    this.shared = shared;
    this.#system = system;
    this.#request = request;
    this.#journal = journal;
    this.#heartbeat = setInterval(() => void beat(system, shared.folder).catch(() => {}), HEARTBEAT_MS).unref();
  }

  /**
   * @param request with `writer`, this rank's name among those that write there
   * @throws MergeError E_IO, E_READ_ONLY, E_NO_SPACE
   */
  static async open(system: System, shared: SharedFolder, request: PublicationRequest): Promise<SharedPublication> {
    const { folder, destination } = shared;
    const { kind, identity, identityParts = {}, request: digest } = request;
    const sync = request.unsafeNoSync !== true;
    return onOutput('create', folder.path, async () => {
      const names = await system.fs.readdir(folder.here);
      if (!names.includes(ownerFile(0))) {
        // Of no process: whether it is left is told by its heartbeat, which each of them touches.
        const nobody = { bootId: null, pidNamespace: null, pid: 0, startTime: null };
        const about = { name: destination.name, kind, identity, identityParts, request: digest };
        await claim(system, folder.here, 0, { ...nobody, id: newId(), ...about, parentsMade: 0, released: false });
      }
      if (!names.includes(HEARTBEAT)) await writeNewFile(system, folder.at(HEARTBEAT), '0').catch(ifThere);
      // What is published has another name by then: where that is there, nothing is begun anew beside it.
      if (!names.includes(READY)) {
        await system.fs.mkdir(folder.at(PAYLOAD)).catch(ifThere);
        if (!(await system.fs.lstat(folder.at(PAYLOAD))).isDirectory()) throw noFolder(join(folder.path, PAYLOAD));
      }
      const name = journalFile(request.writer);
      const places = { path: folder.at(name), shown: join(folder.path, name), payload: folder.at(PAYLOAD) };
      return new SharedPublication(system, shared, request, await JournalWriter.open(system, places, sync, 0));
    });
  }

  /** Whether this process has published it. */
  get isPlaced(): boolean {
    return this.#placed !== null;
  }

  get finished(): ReadonlyMap<string, JournalUnit> {
    return this.#finished;
  }

  distrust(): void {
    throw new MergeError('E_INTERNAL', 'a unit of ranks is distrusted by its writer alone');
  }

  /**
   * Reads all journals anew.
   * @param believed whether a rank's word is good; that of the others is in the result
   * @returns units by key that only ranks have made whose word is not
   */
  async read(believed: (writer: string) => boolean): Promise<ReadonlyMap<string, JournalUnit>> {
    const journals = await readEachJournal(this.shared.folder.here, this.dir, this.#sizes);
    const good = journals.filter(({ name }) => believed(/^journal-(\w+)\.ndjson$/.exec(name)?.[1] ?? ''));
    const own = agreeing(good);
    const contested = [...good.flatMap(({ units }) => [...units.keys()])].find((key) => !own.has(key));
    if (contested !== undefined) {
      throw new MergeError('E_INTERNAL', `two ranks made ${contested} of ${this.output} with different bytes`, {
        details: { file: this.output },
        help: 'A machine or a disk of theirs is faulty: verify what it wrote before, and run again without it.',
      });
    }
    this.#finished = own;
    return new Map([...agreeing(journals)].filter(([key]) => !own.has(key)));
  }

  async journal(unit: JournalUnit): Promise<void> {
    await onOutput('record', `${this.output} (${unit.file})`, () => this.#journal.append(unit));
  }

  /** Publishes; what it was made in stays until `close`, for whoever goes on where this rank dies. */
  async finish(): Promise<void> {
    const { folder: partial, destination } = this.shared;
    const { kind, force, unsafeNoSync } = this.#request;
    this.#placed = await placePayload(this.#system, { destination, kind, partial, force, sync: !unsafeNoSync }, async () => {});
  }

  /**
   * Whether it has no payload any more, since a rank publishes it, has done so, or died while it did; as
   * `again` it gets the payload back, where that is not OUT.
   */
  async isTaken(again: boolean): Promise<boolean> {
    const { folder } = this.shared;
    const names = await this.#system.fs.readdir(folder.here).catch((): string[] => []);
    if (names.includes(PAYLOAD)) return false;
    if (again && names.includes(READY)) await this.#system.fs.rename(folder.at(READY), folder.at(PAYLOAD)).catch(() => {});
    return true;
  }

  abandon(): Promise<boolean> {
    throw new MergeError('E_INTERNAL', 'what ranks make together is no rank to abandon');
  }

  /**
   * Lets go of it.
   * @param what becomes of the partial: `published`: removed with what OUT replaced; `removed`, with what was
   *   made for it; `kept`
   */
  async close(what: 'published' | 'removed' | 'kept'): Promise<void> {
    clearInterval(this.#heartbeat);
    await this.#journal.close().catch(() => {});
    try {
      if (what !== 'kept') {
        await this.#placed?.remove();
        await removeShared(this.#system, this.shared, what === 'removed');
      }
    } catch (error) {
      const { message } = toMergeError(error, { action: 'remove', file: this.partial, side: 'output' });
      if (what === 'published')
        this.#system.warn({
          code: 'W_OLD_OUTPUT',
          message: `${this.output} is complete, but what it was made in is still there: ${message}`,
        });
    } finally {
      await this.shared.folder.close().catch(() => {});
    }
  }
}

function noFolder(path: string): MergeError {
  return new MergeError('E_BOARD', `${path} is no folder, and ranks made none such`, { details: { file: path } });
}

/** Another rank made it. */
function ifThere(error: unknown): void {
  if (errnoOf(error) !== 'EEXIST') throw error;
}
