import { join } from 'node:path';
import type { Board } from '../../base/board/board.ts';
import { ClaimedTasks } from '../../base/board/claimed-tasks.ts';
import { Backoff, Dropped, type Presence } from '../../base/board/presence.ts';
import { MergeError } from '../../base/errors.ts';
import { describeFailure } from '../engine/failure.ts';
import type { OwnTotals, SharedTotals, SharedWork } from '../engine/shared-work.ts';
import type { Unit } from '../engine/units.ts';
import type { NativeBinding } from '../native/binding.ts';
import { unitKey } from '../output/journal.ts';
import type { SharedPublication } from '../output/shared-publication.ts';
import type { JournalUnit } from '../output/types.ts';
import { isPublished } from '../plan/outputs/finished.ts';
import type { Plan } from '../plan/types.ts';

/** How often a rank looks whether another one has finished the unit that both are at, milliseconds. */
const WATCH_MS = 1000;

export interface ClaimTools {
  readonly presence: Presence;
  readonly publications: readonly SharedPublication[];
  readonly binding: NativeBinding;
  readonly rank: number;
  readonly size: number;
  readonly signal: AbortSignal | undefined;
  /** What this process did before this run of the engine, and where what it does is told. */
  readonly done: OwnTotals;
  readonly tell: (own: OwnTotals) => SharedTotals;
  readonly onDamaged: (key: string) => void;
}

/**
 * The units of a merge that ranks claim on a board. A rank begins at a place of its own, so that they meet
 * late; what is left at the end, and what a rank that fell silent had claimed, is made by whoever is free: a
 * unit has the same bytes whoever makes it, and may be made by two at once.
 */
export class ClaimedUnits implements SharedWork {
  readonly publications: readonly SharedPublication[];
  readonly #plan: Plan;
  readonly #tools: ClaimTools;
  readonly #presence: Presence;
  /** Finished by ranks whose word is not good: of an earlier start of the command. */
  #doubted: ReadonlyMap<string, JournalUnit>[] = [];
  /** The unit in work, where another rank has it as well. */
  #shared: Unit | null = null;
  #watch: NodeJS.Timeout | undefined;

  constructor(plan: Plan, tools: ClaimTools) {
    this.#plan = plan;
    this.#tools = tools;
    this.#presence = tools.presence;
    this.publications = tools.publications;
  }

  async *units(units: readonly Unit[], settle: () => Promise<void>): AsyncGenerator<number | null> {
    const list = {
      count: units.length,
      nameOf: (index: number) => `unit-${index}`,
      isFinished: (index: number) => this.#isFinished(units[index]!),
      read: () => this.#state(units),
    };
    try {
      for await (const next of new ClaimedTasks(this.#presence, list, this.#tools).tasks(settle)) {
        if (next === null) yield null;
        else yield* this.#make(units[next.task]!, next.isShared);
      }
    } catch (error) {
      // Whoever published the outputs takes the board away: `publishes` sees whether they are there.
      if (error instanceof Dropped || !(await isGoneSoon(this.#presence.board))) throw error;
    } finally {
      clearInterval(this.#watch);
    }
  }

  async #state(units: readonly Unit[]): Promise<'open' | 'held' | 'over'> {
    if (await this.#presence.board.gone()) return 'over';
    await this.#read();
    if (units.every((unit) => this.#isFinished(unit))) return 'over';
    if (!(await this.isTaken())) return 'open';
    return (await this.#restored()) ? 'over' : 'held';
  }

  /** A claimed unit: its index where it is to be made, nothing where an earlier start made it and it is good. */
  async *#make(unit: Unit, isShared: boolean): AsyncGenerator<number> {
    if (await this.#isGood(unit)) return;
    this.#shared = isShared ? unit : null;
    if (isShared) this.#watch ??= setInterval(() => void this.#read().catch(() => {}), WATCH_MS).unref();
    yield unit.index;
    this.#shared = null;
  }

  #keys(unit: Unit): string[] {
    return unit.ranges.map((range, k) => unitKey({ file: this.#plan.outputs[k]!.files[unit.shard]!.name, ...range }));
  }

  #isFinished(unit: Unit): boolean {
    return this.#keys(unit).every((key, k) => this.publications[k]!.finished.has(key));
  }

  /** Reads all journals anew. */
  async #read(): Promise<void> {
    const believed = (id: string): boolean => this.#presence.believes(id);
    this.#doubted = await Promise.all(this.publications.map((publication) => publication.read(believed)));
  }

  /**
   * Whether what ranks of an earlier start left of a unit is what they wrote: a disk, a copy or somebody may
   * have changed it since. Then this rank stands by it.
   */
  async #isGood(unit: Unit): Promise<boolean> {
    const keys = this.#keys(unit);
    if (!keys.every((key, k) => this.#doubted[k]?.has(key) === true)) return false;
    for (const [k, key] of keys.entries()) {
      const line = this.#doubted[k]!.get(key)!;
      const { dir, output } = this.publications[k]!;
      const crc = await this.#tools.binding.crc32cFile(join(dir, line.file), line.start, line.end - line.start).catch((cause: unknown) => {
        throw describeFailure(cause, { path: `${output} (${line.file})` });
      });
      if (crc === line.crc) continue;
      this.#tools.onDamaged(`${output} (${line.file})`);
      return false;
    }
    for (const [k, key] of keys.entries()) await this.publications[k]!.journal(this.#doubted[k]!.get(key)!);
    await this.#read();
    return true;
  }

  check(): void {
    this.#presence.check();
    if (this.#shared !== null && this.#isFinished(this.#shared)) throw new Dropped('another rank has finished this unit');
  }

  async publishes(): Promise<boolean> {
    const backoff = new Backoff();
    for (;;) {
      this.#tools.signal?.throwIfAborted();
      if (await this.#areMade()) return false;
      this.#presence.check();
      if (await this.#presence.board.gone()) {
        // Between the two looks.
        if (await this.#areMade()) return false;
        throw new MergeError('E_BUSY', `what ranks had made of ${this.#plan.outputs[0]!.path} was removed by another process`, {
          details: { file: this.#presence.board.path },
        });
      }
      if (await this.#finishes()) {
        if (await this.#areMade()) return false;
        for (const [k, publication] of this.publications.entries()) if (!(await this.isPublished(k))) await publication.isTaken(true);
        // What they did is recorded. Where it cannot be seen any more, what was seen before is.
        await this.#presence.look().catch(() => {});
        return true;
      }
      await backoff.pause(this.#tools.signal);
    }
  }

  async #finishes(): Promise<boolean> {
    try {
      return await this.#presence.take('finish');
    } catch (error) {
      if (await isGoneSoon(this.#presence.board)) return false;
      throw error;
    }
  }

  /** Whether a rank publishes what is made, or died while it did: then nothing is made any more. */
  async isTaken(): Promise<boolean> {
    const taken = await Promise.all(this.publications.map((publication) => publication.isTaken(false)));
    return taken.includes(true);
  }

  /** Whether the outputs are there; where a rank died between their two names they can be gone on with again. */
  async #restored(): Promise<boolean> {
    if (await this.#areMade()) return true;
    if (!(await this.#presence.take('finish'))) return false;
    for (const [k, publication] of this.publications.entries()) if (!(await this.isPublished(k))) await publication.isTaken(true);
    return this.#areMade();
  }

  async #areMade(): Promise<boolean> {
    for (const k of this.#plan.outputs.keys()) if (!(await this.isPublished(k))) return false;
    return true;
  }

  isPublished(k: number): Promise<boolean> {
    return isPublished(this.#plan.outputs[k]!);
  }

  totals(own: OwnTotals): SharedTotals {
    const { done } = this.#tools;
    const mine = {
      bytesRead: done.bytesRead + own.bytesRead,
      bytesWritten: done.bytesWritten + own.bytesWritten,
      seconds: done.seconds + own.seconds,
    };
    return this.#tools.tell(mine);
  }

  async tell(own: OwnTotals): Promise<void> {
    this.totals(own);
    await this.#presence.say();
  }
}

/** Whether a board that could not be used is being taken away. */
export async function isGoneSoon(board: Pick<Board, 'gone'>): Promise<boolean> {
  const backoff = new Backoff();
  for (let looks = 0; looks < 8; looks++) {
    if (await board.gone()) return true;
    await backoff.pause(undefined);
  }
  return false;
}
