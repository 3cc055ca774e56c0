import { join } from 'node:path';
import { beat, HEARTBEAT_MS } from '../../base/disk/heartbeat.ts';
import type { HeldFolder } from '../../base/disk/held-folder.ts';
import { onOutput, toMergeError } from '../../base/disk/io-error.ts';
import { type OwnerRecord, readOwner, release } from '../../base/disk/owner.ts';
import type { System } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import type { Destination } from './destination.ts';
import { JournalWriter, journalFile } from './journal.ts';
import { PAYLOAD, type Partial, removePartial } from './partial.ts';
import { placePayload, SetAside } from './place-payload.ts';
import type { JournalUnit, Publication, PublicationRequest } from './types.ts';

/**
 * The publication of a partial that this process owns.
 * @param partial the folder, which the publication closes at its end
 * @param left what was found in it; null where it was just made
 */
export async function openPartial(
  system: System,
  destination: Destination,
  request: PublicationRequest,
  partial: HeldFolder,
  record: OwnerRecord,
  left: Pick<Partial, 'units' | 'journalBytes'> | null,
): Promise<Publication> {
  // Looked at, and not held: nobody else can put anything into its place, and descriptors are few.
  await onOutput('open', partial.path, async () => (await partial.child(system, PAYLOAD)).close());
  const sync = request.unsafeNoSync !== true;
  const name = journalFile(request.writer);
  const places = { path: partial.at(name), shown: join(partial.path, name), payload: partial.at(PAYLOAD) };
  const journal = await onOutput('create', partial.path, () => JournalWriter.open(system, places, sync, left?.journalBytes.get(name) ?? 0));
  return new PartialPublication(system, destination, request, partial, record, new Map(left?.units), journal);
}

/** Removes folders that were made for OUT, innermost first, as far as they are empty. */
export async function removeFolders(system: System, folders: readonly string[]): Promise<void> {
  for (const folder of [...folders].reverse()) {
    const removed = await system.fs.rmdir(folder).then(
      () => true,
      () => false,
    );
    if (!removed) return;
  }
}

class PartialPublication implements Publication {
  readonly output: string;
  readonly kind: 'folder' | 'file';
  readonly dir: string;
  readonly partial: string;
  readonly #finished: Map<string, JournalUnit>;
  readonly #system: System;
  readonly #destination: Destination;
  readonly #request: PublicationRequest;
  readonly #partial: HeldFolder;
  readonly #record: OwnerRecord;
  readonly #journal: JournalWriter;
  readonly #sync: boolean;
  readonly #heartbeat: NodeJS.Timeout;
  #journaled: number;
  #ended = false;

  constructor(
    system: System,
    destination: Destination,
    request: PublicationRequest,
    partial: HeldFolder,
    record: OwnerRecord,
    finished: Map<string, JournalUnit>,
    journal: JournalWriter,
  ) {
    this.output = request.output;
    this.kind = request.kind;
    this.dir = partial.at(PAYLOAD);
    this.partial = partial.path;
    this.#finished = finished;
    this.#system = system;
    this.#destination = destination;
    this.#request = request;
    this.#partial = partial;
    this.#record = record;
    this.#journal = journal;
    this.#journaled = finished.size;
    this.#sync = request.unsafeNoSync !== true;
    this.#heartbeat = setInterval(() => {
      // A beat that fails is made up for by the next one; a partial that is gone is noticed by `finish`.
      beat(system, partial).catch(() => {});
    }, HEARTBEAT_MS).unref();
  }

  get finished(): ReadonlyMap<string, JournalUnit> {
    return this.#finished;
  }

  distrust(key: string): void {
    if (this.#finished.delete(key)) this.#journaled--;
  }

  async journal(unit: JournalUnit): Promise<void> {
    await onOutput('record', `${this.output} (${unit.file})`, () => this.#journal.append(unit));
    this.#journaled++;
  }

  async finish(): Promise<void> {
    const { output } = this.#destination;
    await this.#assertOwned();
    const payload = { ...this.#request, destination: this.#destination, partial: this.#partial, sync: this.#sync };
    const closed = () => onOutput('close', this.partial, () => this.#journal.close());
    const placed = await placePayload(this.#system, payload, closed).catch(async (error: unknown) => {
      if (!(error instanceof SetAside)) throw error;
      this.#ended = true;
      await this.#letGo();
      throw error;
    });
    this.#ended = true;
    try {
      await placed.remove();
      await removePartial(this.#system, this.#partial);
    } catch (error) {
      const reason = toMergeError(error, { action: 'remove', file: this.partial, side: 'output' }).message;
      this.#system.warn({ code: 'W_OLD_OUTPUT', message: `${output} is complete, but what it replaced is still there: ${reason}` });
    } finally {
      await this.#letGo();
    }
  }

  async abandon({ keep }: { readonly keep: boolean }): Promise<boolean> {
    if (this.#ended) return false;
    this.#ended = true;
    try {
      await this.#journal.close().catch(() => {});
      if (!(await this.#owned())) return false;
      const resumable =
        this.#sync &&
        this.#journaled > 0 &&
        (await this.#system.fs.lstat(this.#partial.at(PAYLOAD)).then(
          () => true,
          () => false,
        ));
      if (keep && resumable) {
        // Where the mark cannot be made the partial is found stale all the same: when this process has ended,
        // or after a while.
        await release(this.#system, this.#partial.here, this.#record).catch(() => {});
        return true;
      }
      await removePartial(this.#system, this.#partial);
      let folder = this.#destination.parent;
      const folders: string[] = [];
      for (let i = 0; i < this.#record.owner.parentsMade; i++, folder = join(folder, '..')) folders.unshift(folder);
      await removeFolders(this.#system, folders);
    } catch {
      // The error that brought the merge here is the one to report; what is left is found stale by the next
      // run.
    } finally {
      await this.#letGo();
    }
    return false;
  }

  async #letGo(): Promise<void> {
    clearInterval(this.#heartbeat);
    await this.#partial.close().catch(() => {});
  }

  async #owned(): Promise<boolean> {
    return (await readOwner(this.#partial.here))?.owner.id === this.#record.owner.id;
  }

  async #assertOwned(): Promise<void> {
    if (await onOutput('look at', this.partial, () => this.#owned())) return;
    throw new MergeError('E_BUSY', `the unfinished ${this.output} was taken over or removed by another process`, {
      details: { file: this.partial },
      help: 'That happens when this process stood still for a quarter of an hour. See whether the other one finished; else run again.',
    });
  }
}
