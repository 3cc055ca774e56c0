import { lstat, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { HEARTBEAT, HEARTBEAT_MS } from '../../base/disk/heartbeat.ts';
import { onOutput, toMergeError } from '../../base/disk/io-error.ts';
import { type OwnerRecord, readOwner, release } from '../../base/disk/owner.ts';
import { removeTree, type System, syncFile, syncFolder } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import type { Destination } from './destination.ts';
import { JournalWriter, journalFile } from './journal.ts';
import { PAYLOAD, READY, removePartial } from './partial.ts';
import { place } from './replace.ts';
import type { JournalUnit, Publication, PublicationRequest } from './types.ts';

/** The publication of a partial that this process owns. */
export async function openPartial(
  system: System,
  destination: Destination,
  request: PublicationRequest,
  partial: string,
  record: OwnerRecord,
  finished: ReadonlyMap<string, JournalUnit>,
  journalBytes: ReadonlyMap<string, number>,
): Promise<Publication> {
  const payload = join(partial, PAYLOAD);
  const sync = request.unsafeNoSync !== true;
  const name = journalFile(request.writer);
  const journal = await onOutput('create', partial, () =>
    JournalWriter.open(system, join(partial, name), payload, sync, journalBytes.get(name) ?? 0),
  );
  return new PartialPublication(system, destination, request, partial, record, finished, journal);
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
  readonly finished: ReadonlyMap<string, JournalUnit>;
  readonly #system: System;
  readonly #destination: Destination;
  readonly #request: PublicationRequest;
  readonly #partial: string;
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
    partial: string,
    record: OwnerRecord,
    finished: ReadonlyMap<string, JournalUnit>,
    journal: JournalWriter,
  ) {
    this.output = request.output;
    this.kind = request.kind;
    this.dir = join(partial, PAYLOAD);
    this.finished = finished;
    this.#system = system;
    this.#destination = destination;
    this.#request = request;
    this.#partial = partial;
    this.#record = record;
    this.#journal = journal;
    this.#journaled = finished.size;
    this.#sync = request.unsafeNoSync !== true;
    this.#heartbeat = setInterval(() => void this.#beat(), HEARTBEAT_MS).unref();
  }

  async journal(unit: JournalUnit): Promise<void> {
    await onOutput('record', join(this.dir, unit.file), () => this.#journal.append(unit));
    this.#journaled++;
  }

  async finish(): Promise<void> {
    const { parent, output } = this.#destination;
    await this.#assertOwned();
    const content = await this.#content();
    if (this.#sync) await this.#syncPayload(content);
    await onOutput('close', this.#partial, () => this.#journal.close());

    const ready = join(this.#partial, READY);
    // From here on the journal speaks of nothing: after an exchange the old OUT lies where the new one was,
    // and must not pass for half of it.
    await onOutput('publish', output, () => this.#system.fs.rename(this.dir, ready));
    const from = this.kind === 'folder' ? ready : join(ready, basename(content.files[0]!));
    const placed = await place(this.#system, from, this.#destination, this.#id, this.kind, this.#request.force);
    try {
      if (this.#sync) await syncFolder(this.#system, parent);
    } catch (error) {
      await onOutput('take back', output, () => placed.undo());
      throw error;
    }
    this.#ended = true;
    try {
      if (placed.old !== null) await removeTree(this.#system, placed.old);
      await removePartial(this.#system, this.#partial);
    } catch (error) {
      const reason = toMergeError(error, { action: 'remove', file: placed.old ?? this.#partial, side: 'output' }).message;
      this.#system.warn({ code: 'W_OLD_OUTPUT', message: `${output} is complete, but what it replaced is still there: ${reason}` });
    } finally {
      clearInterval(this.#heartbeat);
    }
  }

  async abandon({ keep }: { readonly keep: boolean }): Promise<boolean> {
    if (this.#ended) return false;
    this.#ended = true;
    clearInterval(this.#heartbeat);
    try {
      await this.#journal.close().catch(() => {});
      if (!(await this.#owned())) return false;
      const resumable =
        this.#sync &&
        this.#journaled > 0 &&
        (await lstat(this.dir).then(
          () => true,
          () => false,
        ));
      if (keep && resumable) {
        // Where the mark cannot be made the partial is found stale all the same: when this process has ended,
        // or after a while.
        await release(this.#system, this.#partial, this.#record).catch(() => {});
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
    }
    return false;
  }

  get #id(): string {
    return this.#partial.slice(-12);
  }

  async #beat(): Promise<void> {
    try {
      // A write, and not utimes: on a network file system the time is then the server's, like that of a file
      // made there.
      const handle = await this.#system.fs.open(join(this.#partial, HEARTBEAT), 'r+');
      try {
        await handle.write('0', 0);
      } finally {
        await handle.close();
      }
    } catch {
      // A beat that fails is made up for by the next one; a partial that is gone is noticed by `finish`.
    }
  }

  async #owned(): Promise<boolean> {
    return (await readOwner(this.#partial))?.owner.id === this.#record.owner.id;
  }

  async #assertOwned(): Promise<void> {
    if (await this.#owned()) return;
    throw new MergeError('E_BUSY', `the unfinished ${this.output} was taken over or removed by another process`, {
      details: { file: this.#partial },
      help: 'That happens when this process stood still for a quarter of an hour. See whether the other one finished; else run again.',
    });
  }

  /** Files and folders of the payload, each folder after what it holds. */
  async #content(): Promise<{ files: string[]; folders: string[] }> {
    const entries = await onOutput('list', this.dir, () => readdir(this.dir, { withFileTypes: true, recursive: true }));
    const paths = (wanted: boolean) => entries.filter((e) => e.isDirectory() === wanted).map((e) => join(e.parentPath, e.name));
    const files = paths(false);
    const whole = this.kind === 'folder' ? files.length > 0 : files.length === 1;
    if (!whole)
      throw new MergeError('E_INTERNAL', `the unfinished ${this.output} does not hold what is to be published`, {
        details: { file: this.dir },
      });
    return { files, folders: [...paths(true).sort().reverse(), this.dir] };
  }

  async #syncPayload({ files, folders }: { files: string[]; folders: string[] }): Promise<void> {
    for (const file of files) await syncFile(this.#system, file);
    for (const folder of folders) await syncFolder(this.#system, folder);
  }
}
