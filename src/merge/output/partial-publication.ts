import { basename, join, relative } from 'node:path';
import { beat, HEARTBEAT_MS } from '../../base/disk/heartbeat.ts';
import type { HeldFolder } from '../../base/disk/held-folder.ts';
import { onOutput, toMergeError } from '../../base/disk/io-error.ts';
import { syncFile, syncFolder } from '../../base/disk/own-file.ts';
import { type OwnerRecord, readOwner, release } from '../../base/disk/owner.ts';
import type { System } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { checkLoss, type Destination } from './destination.ts';
import { JournalWriter, journalFile } from './journal.ts';
import { PAYLOAD, type Partial, READY, removePartial } from './partial.ts';
import { place } from './replace.ts';
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
    const { parent, output } = this.#destination;
    await this.#assertOwned();
    const content = await this.#content();
    if (this.#sync) await this.#syncPayload(content);
    await onOutput('close', this.partial, () => this.#journal.close());

    const ready = this.#partial.at(READY);
    // From here on the journal speaks of nothing: after an exchange the old OUT lies where the new one was,
    // and must not pass for half of it.
    await onOutput('publish', output, () => this.#system.fs.rename(this.#partial.at(PAYLOAD), ready));
    const from = this.kind === 'folder' ? ready : join(ready, basename(content.files[0]!));
    const placed = await place(this.#system, from, this.#destination, this.#id, this.kind, this.#request.force).catch(
      async (error: unknown) => {
        // What another process finished first is not to be gone on with.
        if (!(error instanceof MergeError && error.code === 'E_OUTPUT_EXISTS')) await this.#unready();
        throw error;
      },
    );
    try {
      // What lay there may be another thing than the one that was looked at when the merge began.
      if (placed.old !== null) await checkLoss(output, placed.old, this.kind);
      if (this.#sync) await syncFolder(this.#system, parent);
    } catch (error) {
      await onOutput('take back', output, () => placed.undo()).catch((cause: unknown) => this.#setAside(error, cause));
      await this.#unready();
      throw error;
    }
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

  /** The new OUT is where it was: what was finished of it may be gone on with. */
  async #unready(): Promise<void> {
    await this.#system.fs.rename(this.#partial.at(READY), this.#partial.at(PAYLOAD)).catch(() => {});
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

  /**
   * For what lies where the new OUT was, is not to be removed, and cannot be put back: under a name that no
   * merge knows it is left alone by all of them.
   */
  async #setAside(error: unknown, cause: unknown): Promise<never> {
    this.#ended = true;
    const name = 'not-replaced';
    await this.#system.fs.rename(this.#partial.at(READY), this.#partial.at(name)).catch(() => {});
    await this.#letGo();
    const { code, message, details } = toMergeError(error, { action: 'publish', file: this.output, side: 'output' });
    throw new MergeError(code, `${message}. It could not be put back, and lies in ${join(this.partial, name)}`, {
      details,
      help: `Move it to where it belongs, and remove ${this.partial}.`,
      cause,
    });
  }

  get #id(): string {
    return this.partial.slice(-12);
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

  /** Files and folders of the payload, each folder after what it holds. */
  async #content(): Promise<{ files: string[]; folders: string[] }> {
    const root = this.#partial.at(PAYLOAD);
    const entries = await onOutput('list', this.partial, () => this.#system.fs.readdir(root, { withFileTypes: true, recursive: true }));
    const paths = (wanted: boolean) => entries.filter((e) => e.isDirectory() === wanted).map((e) => join(e.parentPath, e.name));
    const files = paths(false);
    const whole = this.kind === 'folder' ? files.length > 0 : files.length === 1;
    if (!whole)
      throw new MergeError('E_INTERNAL', `the unfinished ${this.output} does not hold what is to be published`, {
        details: { file: this.partial },
      });
    return { files, folders: [...paths(true).sort().reverse(), root] };
  }

  async #syncPayload({ files, folders }: { files: string[]; folders: string[] }): Promise<void> {
    const shown = (path: string) => join(this.partial, relative(this.#partial.here, path));
    for (const file of files) await syncFile(this.#system, file, shown(file));
    for (const folder of folders) await syncFolder(this.#system, folder, shown(folder));
  }
}
