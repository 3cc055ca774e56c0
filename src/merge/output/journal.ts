import type { Dirent } from 'node:fs';
import { join, normalize } from 'node:path';
import { openOwn, readOwn, syncFolder } from '../../base/disk/own-file.ts';
import { SYSTEM, type System } from '../../base/disk/system.ts';
import { flush } from '../../base/machine/flush.ts';
import type { RoundingSums } from '../record/rounding.ts';
import type { JournalUnit, TensorSum, UnitNonfinite } from './types.ts';

/**
 * The journals of a partial: one for each process that writes to it, since appending to a file of another
 * machine is not safe on every network file system. The only writer of a partial has the first name.
 */
const JOURNAL = /^journal(?:-[0-9A-Za-z_]{1,64})?\.ndjson$/;

/** @param writer letters, digits and `_`; absent where one process writes alone */
export function journalFile(writer?: string): string {
  return writer === undefined ? 'journal.ndjson' : `journal-${writer}.ndjson`;
}

/** Far more than a journal of units has: a line each, for 4 GiB of output. */
const MOST_BYTES = 2 ** 28;

/** Key of a unit in `Publication.finished`. */
export function unitKey(unit: Pick<JournalUnit, 'file' | 'start' | 'end'>): string {
  return `${unit.file}:${unit.start}-${unit.end}`;
}

/** Bytes that the units make up. */
export function unitBytes(units: Iterable<JournalUnit>): number {
  let bytes = 0;
  for (const unit of units) bytes += unit.end - unit.start;
  return bytes;
}

export interface JournalContent {
  /** By {@link unitKey}. */
  readonly units: ReadonlyMap<string, JournalUnit>;
  /** Bytes up to which each journal is good, by the name of its file. */
  readonly goodBytes: ReadonlyMap<string, number>;
}

/** What one journal says. */
interface Journal {
  /** The name of its file. */
  readonly name: string;
  /** Its units by {@link unitKey}. */
  readonly units: ReadonlyMap<string, JournalUnit>;
  readonly goodBytes: number;
}

/**
 * The units that the journals of a partial prove finished: of each journal the whole, well-formed lines up to
 * the first one that is not (a crash tears the last line, or leaves zeros), each naming a range that its file
 * has. A unit may be in several journals, since one whose maker falls silent is made again by another process
 * and has the same bytes; where the checksums differ nevertheless none of them is believed.
 * @param payload folder of the files that the journals are about
 */
export async function readJournals(partial: string, payload: string): Promise<JournalContent> {
  const journals = await readEachJournal(partial, payload);
  return { units: agreeing(journals), goodBytes: new Map(journals.map(({ name, goodBytes }) => [name, goodBytes])) };
}

/**
 * The journals of a partial one by one, sorted by name.
 * @param sizes of files in `payload`, as far as they were looked at; kept from one call to the next
 */
export async function readEachJournal(partial: string, payload: string, sizes = new Map<string, number>()): Promise<Journal[]> {
  const entries = await SYSTEM.fs.readdir(partial, { withFileTypes: true }).catch((): Dirent[] => []);
  // Regular files alone: to open a FIFO is to wait for its writer.
  const names = entries.flatMap((entry) => (entry.isFile() && JOURNAL.test(entry.name) ? entry.name : []));
  const journals: Journal[] = [];
  for (const name of names.sort()) {
    const units = new Map<string, JournalUnit>();
    const goodBytes = await readLines(join(partial, name), payload, sizes, units);
    journals.push({ name, units, goodBytes });
  }
  return journals;
}

/** The units of several journals, but for those of which they say something else. */
export function agreeing(journals: Iterable<Pick<Journal, 'units'>>): ReadonlyMap<string, JournalUnit> {
  const units = new Map<string, JournalUnit>();
  const disputed = new Set<string>();
  for (const { units: own } of journals) {
    for (const [key, unit] of own) {
      if (units.has(key) && units.get(key)!.crc !== unit.crc) disputed.add(key);
      units.set(key, unit);
    }
  }
  for (const key of disputed) units.delete(key);
  return units;
}

/**
 * Adds the units of one journal to `units`, the later line of two about the same one.
 * @param sizes of files in `payload`, as far as they were looked at
 * @returns bytes up to which the journal is good
 */
async function readLines(journal: string, payload: string, sizes: Map<string, number>, units: Map<string, JournalUnit>): Promise<number> {
  let goodBytes = 0;
  const bytes = await readOwn(SYSTEM, journal, { limit: MOST_BYTES }).catch(() => Buffer.alloc(0));
  for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, goodBytes)) {
    const unit = parseUnit(bytes.toString('utf8', goodBytes, end));
    if (unit === null) break;
    goodBytes = end + 1;
    const size =
      sizes.get(unit.file) ??
      (await SYSTEM.fs.lstat(join(payload, unit.file)).then(
        (s) => (s.isFile() && s.nlink === 1 ? s.size : 0),
        () => 0,
      ));
    // A file that is not whole yet may be soon.
    if (unit.end <= size) sizes.set(unit.file, size);
    if (unit.end <= size) units.set(unitKey(unit), unit);
  }
  return goodBytes;
}

function parseUnit(line: string): JournalUnit | null {
  try {
    const { file, start, end, crc, nonfinite, rounding, crc32 } = JSON.parse(line) as Record<string, unknown>;
    if (typeof file !== 'string' || file === '' || normalize(file) !== file || file.startsWith('/') || file.startsWith('..')) return null;
    if (![start, end, crc].every((n) => Number.isSafeInteger(n) && (n as number) >= 0)) return null;
    if (!Array.isArray(nonfinite) || !nonfinite.every(isCount)) return null;
    if (rounding !== undefined && !(Array.isArray(rounding) && rounding.every(isRounding))) return null;
    if (crc32 !== undefined && !(Array.isArray(crc32) && crc32.every(isTensorSum))) return null;
    const unit = {
      file,
      start: start as number,
      end: end as number,
      crc: crc as number,
      nonfinite,
      ...(rounding !== undefined && { rounding }),
      ...(crc32 !== undefined && { crc32 }),
    };
    return unit.start < unit.end && unit.crc <= 0xffff_ffff ? unit : null;
  } catch {
    return null;
  }
}

function isCount(value: unknown): value is UnitNonfinite {
  const { row, member, nan, inf, saturated } = (value ?? {}) as Record<string, unknown>;
  return Number.isSafeInteger(member) && [row, nan, inf, saturated].every((n) => Number.isSafeInteger(n) && (n as number) >= 0);
}

function isTensorSum(value: unknown): value is TensorSum {
  const { row, bytes, crc } = (value ?? {}) as Record<string, unknown>;
  return [row, bytes, crc].every((n) => Number.isSafeInteger(n) && (n as number) >= 0) && (crc as number) <= 0xffff_ffff;
}

function isRounding(value: unknown): value is RoundingSums {
  const { role, ...sums } = (value ?? {}) as Record<string, unknown>;
  const { tensors, elements, error, change, saturated } = sums;
  return (role === null || typeof role === 'string') && [tensors, elements, error, change, saturated].every((n) => Number.isFinite(n));
}

/** Appends to the journal of one process. Lines are written one at a time, each on disk before the next. */
export class JournalWriter {
  readonly #handle: Awaited<ReturnType<System['fs']['open']>>;
  readonly #system: System;
  readonly #payload: string;
  readonly #shown: string;
  readonly #sync: boolean;
  readonly #known = new Set<string>();
  #last: Promise<void> = Promise.resolve();

  private constructor(system: System, payload: string, shown: string, sync: boolean, handle: Awaited<ReturnType<System['fs']['open']>>) {
    this.#system = system;
    this.#payload = payload;
    this.#shown = shown;
    this.#sync = sync;
    this.#handle = handle;
  }

  /**
   * Opens a journal, cut to `goodBytes`, so that the next line does not run into a torn one. No other process
   * may have it open.
   * @param path in the partial, named by {@link journalFile}
   * @param shown the same for people
   * @param payload folder of the files that the journal is about
   */
  static async open(
    system: System,
    { path, shown, payload }: { readonly path: string; readonly shown: string; readonly payload: string },
    sync: boolean,
    goodBytes: number,
  ): Promise<JournalWriter> {
    const handle = await openOwn(system, path, 'append', shown);
    try {
      await handle.truncate(goodBytes);
    } catch (error) {
      await handle.close();
      throw error;
    }
    return new JournalWriter(system, payload, shown, sync, handle);
  }

  /** Resolves when the line is on disk. The file it names must be there already. */
  append(unit: JournalUnit): Promise<void> {
    const { file, start, end, crc, nonfinite, rounding, crc32 } = unit;
    const line = `${JSON.stringify({ file, start, end, crc, nonfinite, rounding, crc32 })}\n`;
    const turn = this.#last.then(async () => {
      if (this.#sync && !this.#known.has(unit.file)) {
        // The file is fsynced, the entry in its folder is not yet: without it the line would speak of a file
        // that a power cut takes away.
        await syncFolder(this.#system, join(this.#payload, unit.file, '..'), join(this.#shown, '..'));
        this.#known.add(unit.file);
      }
      await this.#handle.appendFile(line);
      if (this.#sync) await flush(this.#handle, 'datasync');
    });
    this.#last = turn.catch(() => {});
    return turn;
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#handle.close();
  }
}
