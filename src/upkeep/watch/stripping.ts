import { basename, join, relative } from 'node:path';
import type { FolderLock } from '../../base/disk/folder-lock.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { asideOf } from '../../checkpoints/run/set-aside.ts';
import { plural } from '../../render/format.ts';
import type { KeepReport, KeptSave } from '../keep/keep.ts';
import { newestOf } from '../keep/script.ts';
import { wholeOf } from '../keep/whole-save.ts';
import { inTheWayOf, makeCopy, type PlannedCopy, placeFor, planCopy, whyLeft } from '../strip/save-copy.ts';
import { replacementScript } from '../strip/script.ts';
import { stripReport } from '../strip/strip.ts';
import type { StrippedSave, StripReport } from '../strip/types.ts';
import { signatureOf } from './settle.ts';
import type { KnownCopy, StateWriter, WatchState } from './state.ts';
import type { WatchEvent, WatchOptions, WatchSummary } from './types.ts';
import type { Look } from './view.ts';
import { pathsFrom, SCRIPT_START, scriptText, type WrittenFiles } from './written-files.ts';

const PLAN_FILE = 'strip-saves.json';
const LINES_FILE = 'strip-saves.sh';
/** What the files of copies begin with. */
export const STRIP_STARTS = { [PLAN_FILE]: '{"schema":"ckpt-merge/strip"', [LINES_FILE]: SCRIPT_START } as const;

/** Failures of a member that was going, or changed: the next look sees it otherwise. */
const CHANGED = new Set(['E_INPUT_CHANGED', 'E_NOT_FOUND', 'E_SHARD_MISSING']);

export interface StrippingTools {
  readonly state: WatchState;
  readonly writer: StateWriter;
  readonly lock: FolderLock;
  readonly files: WrittenFiles;
  readonly emit: (event: WatchEvent) => void;
}

/** A save that is kept for windows alone, as the last look found it. */
interface Candidate {
  readonly one: KeptSave;
  readonly save: Look['saves']['checkpoints'][number];
  readonly signature: string;
  readonly copy: string;
}

/** Why a copy cannot be made, until the save or what lies in its place is another. */
interface Blocked {
  readonly signature: string;
  readonly occupant: string | null;
  readonly error: MergeError;
}

/**
 * Makes, beside the merges of a watch, copies of the model alone of saves that are kept for windows of later and for
 * nothing else, and writes the script that puts them in the places of their saves. It deletes nothing and moves nothing.
 */
export class Stripping {
  readonly #options: WatchOptions;
  readonly #folder: string;
  readonly #tools: StrippingTools;
  /** By path: why a save stays as it is, null where it does not, and of which signature. */
  readonly #reasons = new Map<string, { readonly signature: string; readonly reason: string | null }>();
  readonly #blocked = new Map<string, Blocked>();
  readonly failed: WatchSummary['failed'][number][] = [];
  #missing: readonly Candidate[] = [];
  #copies: readonly StrippedSave[] = [];
  #written = '';
  #said = '';

  constructor(options: WatchOptions, folder: string, tools: StrippingTools) {
    this.#options = options;
    this.#folder = folder;
    this.#tools = tools;
  }

  /** Saves of which a copy is there, by their paths in the run. */
  get copied(): readonly string[] {
    return this.#copies.map(({ path }) => relative(this.#options.run, path));
  }

  /**
   * Finds out which copies there are and which are missing, and writes what has changed.
   * @param report which saves are kept; null where that is not known
   * @throws MergeError of the side of outputs
   */
  async update({ saves, signatures }: Look, report: KeepReport | null): Promise<void> {
    const { state } = this.#tools;
    const byPath = new Map(saves.checkpoints.map((save) => [wholeOf(saves, save), save]));
    const left: StripReport['left'][number][] = [];
    const copies: StrippedSave[] = [];
    const missing: Candidate[] = [];
    const unfinished = await this.#unfinished();
    for (const one of report?.keep ?? []) {
      if (unfinished.has(this.#nameOf(one.path))) continue;
      const save = byPath.get(one.path)!;
      const signature = signatures.get(save.name)!;
      const copy = placeFor(one, save, this.#folder);
      const reason = (await this.#whyLeft(one, save, signature)) ?? (await this.#inTheWay(one, copy)) ?? this.#whyBlocked(one, signature);
      if (reason !== null) {
        left.push({ path: one.path, step: one.step, reason });
        // What was blocked is tried again when something of it is another.
        if (this.#blocked.has(one.path)) missing.push({ one, save, signature, copy });
        continue;
      }
      const known = state.copies.get(this.#nameOf(one.path));
      if (known?.signature === signature && (await this.#isThere(known))) copies.push(this.#strippedSave(one.path, known));
      else missing.push({ one, save, signature, copy });
    }
    this.#missing = missing;
    this.#copies = copies;
    const notes = report === null ? [] : await this.#unneeded(report, byPath, unfinished);
    const lines = [...copies, ...[...unfinished].map(([name, known]) => this.#strippedSave(join(this.#options.run, name), known))];
    if (report === null) await this.#write(null, lines, null);
    else {
      const open = missing.filter(({ one }) => !this.#blocked.has(one.path)).length;
      const waiting = open === 0 ? [] : [`${plural(open, 'save')} more ${open === 1 ? 'is' : 'are'} to be copied`];
      const { run } = this.#options;
      const found = await stripReport(report, { run, output: this.#folder, copies: lines, left });
      await this.#write({ ...found, notes: [...found.notes, ...waiting, ...notes] }, lines, newestOf(report));
    }
  }

  /** What lies somewhere for these saves: copies of this watch, and what a script that was cut short has set aside. */
  async waitingFor(saves: readonly KeptSave[]): Promise<string[]> {
    const known = saves.flatMap(({ path }) => this.#tools.state.copies.get(this.#nameOf(path)) ?? []);
    const there = await Promise.all(known.map((copy) => this.#isThere(copy)));
    const unfinished = await this.#unfinished();
    const aside = saves.filter(({ path }) => unfinished.has(this.#nameOf(path))).map(({ path }) => asideOf(path));
    return [...known.filter((_, i) => there[i]).map(({ copy }) => join(this.#folder, copy)), ...aside];
  }

  /**
   * Makes the first copy that is missing and can be made.
   * @returns whether something has changed, so that the next look may find more to do
   * @throws MergeError usage errors, which every copy would meet; `signal.reason` on an abort
   */
  async next(signal: AbortSignal): Promise<boolean> {
    for (const candidate of this.#missing) {
      const { one, signature, copy } = candidate;
      const blocked = this.#blocked.get(one.path);
      if (blocked !== undefined) {
        if (blocked.signature === signature && blocked.occupant === (await occupantOf(copy))) continue;
        this.#blocked.delete(one.path);
      }
      try {
        await this.#make(candidate, signal);
        return true;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof MergeError)) throw error;
        // Whoever took over says what became of it.
        await this.#tools.lock.assertHeld();
        if (error.exitCode === 2) throw error;
        await this.#failure(candidate, error);
        // What is full for one is full for all of them.
        if (error.code === 'E_NO_SPACE') break;
      }
    }
    this.#say();
    return false;
  }

  async #make({ one, save, signature, copy }: Candidate, signal: AbortSignal): Promise<void> {
    const { state, writer, lock, emit } = this.#tools;
    const options = { ...this.#options, output: this.#folder };
    const planned: PlannedCopy | { readonly reason: string } = await planCopy(one, save, copy, options, signal);
    if ('reason' in planned) {
      this.#reasons.set(one.path, { signature, reason: planned.reason });
      return;
    }
    const number = this.#copies.length + 1;
    emit({ type: 'strip', event: { type: 'copy', number, count: number - 1 + this.#missing.length, save: planned.save } });
    const made = await makeCopy(planned, options, (event) => emit({ type: 'strip', event }), signal);
    await lock.assertHeld();
    const content = await occupantOf(copy);
    if (content === null) throw new MergeError('E_INPUT_CHANGED', `${copy} was removed when it was there`, { details: { file: copy } });
    const { step, bytes, copyBytes, loses, verified, look } = made;
    state.copies.set(this.#nameOf(one.path), {
      copy: basename(copy),
      signature,
      content,
      step,
      bytes,
      copyBytes,
      loses: [...loses],
      verified: verified!,
      look,
    });
    await writer.save(state);
    emit({ type: 'copied', save: made });
  }

  /** Says once what fails again and again. */
  async #failure({ one, signature, copy }: Candidate, error: MergeError): Promise<void> {
    const passing = CHANGED.has(error.code) || ![3, 4, 5].includes(error.exitCode);
    const before = this.failed.findLast(({ checkpoint }) => checkpoint === this.#nameOf(one.path))?.error;
    if (!passing) this.#blocked.set(one.path, { signature, occupant: await occupantOf(copy), error });
    if (before?.code === error.code && before.message === error.message) return;
    this.failed.push({ checkpoint: this.#nameOf(one.path), error });
    this.#tools.emit({ type: 'uncopied', path: one.path, error, again: passing });
  }

  #say(): void {
    const said = JSON.stringify(this.#copies.map(({ path, copy }) => [path, copy]));
    if (said === this.#said || (this.#said === '' && this.#copies.length === 0)) return;
    this.#said = said;
    const frees = this.#copies.reduce((sum, { bytes, copyBytes }) => sum + bytes - copyBytes, 0);
    this.#tools.emit({ type: 'stripping', copies: this.#copies, frees, lines: join(this.#options.output, LINES_FILE) });
  }

  async #whyLeft(one: KeptSave, save: Candidate['save'], signature: string): Promise<string | null> {
    if (one.held.length > 0) return one.held.join(', ');
    const known = this.#reasons.get(one.path);
    if (known?.signature === signature) return known.reason;
    // A save that goes at this moment is not there at the next look.
    const reason = await whyLeft(one, save).catch((error: unknown) => {
      if (!(error instanceof MergeError)) throw error;
      return error.message;
    });
    this.#reasons.set(one.path, { signature, reason });
    return reason;
  }

  async #inTheWay({ path }: KeptSave, copy: string): Promise<string | null> {
    const inTheWay = await inTheWayOf({ path, copy });
    return inTheWay === null ? null : `${inTheWay} lies in the way of its copy`;
  }

  #whyBlocked({ path }: KeptSave, signature: string): string | null {
    const blocked = this.#blocked.get(path);
    return blocked?.signature === signature ? blocked.error.message : null;
  }

  /** Copies that a script which was cut short was putting in place: it goes on where its line stays. */
  async #unfinished(): Promise<ReadonlyMap<string, KnownCopy>> {
    const known = [...this.#tools.state.copies];
    const aside = await Promise.all(known.map(([name]) => isSomething(asideOf(join(this.#options.run, name)))));
    return new Map(known.filter((_, i) => aside[i]));
  }

  /** Forgets copies that have taken their places, and tells of those that wait for nothing. */
  async #unneeded(report: KeepReport, saves: ReadonlyMap<string, unknown>, unfinished: ReadonlyMap<string, unknown>): Promise<string[]> {
    const { state, writer } = this.#tools;
    const going = new Set(report.delete.map(({ path }) => this.#nameOf(path)));
    const notes: string[] = [];
    let forgot = false;
    for (const [name, known] of state.copies) {
      if (unfinished.has(name)) continue;
      if (!(await this.#isThere(known))) {
        state.copies.delete(name);
        forgot = true;
      } else if (!going.has(name) && !saves.has(join(this.#options.run, name)))
        notes.push(`${join(this.#folder, known.copy)} is the copy of a save that is gone, and stays`);
    }
    if (forgot) await writer.save(state);
    return notes;
  }

  async #isThere({ copy, content }: KnownCopy): Promise<boolean> {
    return (await occupantOf(join(this.#folder, copy))) === content;
  }

  #strippedSave(path: string, { copy, step, bytes, copyBytes, loses, verified, look }: KnownCopy): StrippedSave {
    return { path, copy: join(this.#folder, copy), step, bytes, copyBytes, loses, state: 'there', verified, look };
  }

  #nameOf(path: string): string {
    return relative(this.#options.run, path);
  }

  async #write(report: StripReport | null, copies: readonly StrippedSave[], newest: string | null): Promise<void> {
    const { schema, ...rest } = report ?? { schema: 'ckpt-merge/strip', version: 1, copies, error: 'nothing says which saves to keep' };
    const plan = `${JSON.stringify({ schema: 'ckpt-merge/strip', ...rest })}\n`;
    if (plan === this.#written) return;
    const { files } = this.#tools;
    const from = (paths: readonly string[]) => pathsFrom(this.#options.output, paths);
    const places = await from(copies.map(({ path }) => path));
    const sources = await from(copies.map(({ copy }) => copy));
    const moved = copies.map((save, i) => ({ ...save, path: places[i]!, copy: sources[i]! }));
    const [last = null] = newest === null ? [] : await from([newest]);
    const about = [
      'It puts copies of the model alone in the places of their saves,',
      'which are removed: training cannot go on from a copy. Read it before you run it.',
    ] as const;
    // Nothing that is removed before its plan can be read.
    await files.replace(PLAN_FILE, plan);
    await files.replace(
      LINES_FILE,
      scriptText(about, replacementScript({ copies: moved, unfinished: [], elsewhere: report?.elsewhere ?? true }, last)),
    );
    this.#written = plan;
  }
}

/** Whether there is anything of that name. */
async function isSomething(path: string): Promise<boolean> {
  return SYSTEM.fs.lstat(path).then(
    () => true,
    () => false,
  );
}

/** What lies at a path, as a digest; null where there is nothing. */
async function occupantOf(path: string): Promise<string | null> {
  return (await signatureOf(path))?.whole ?? null;
}
