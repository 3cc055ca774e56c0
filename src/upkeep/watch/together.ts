import { join } from 'node:path';
import { orderRecord, RESULT, signOf } from '../../base/board/board.ts';
import { FolderBoard } from '../../base/board/folder-board.ts';
import { Backoff, Dropped, Presence } from '../../base/board/presence.ts';
import { isAtWork } from '../../base/board/sightings.ts';
import type { FolderLock } from '../../base/disk/folder-lock.ts';
import { isGoneError } from '../../base/disk/io-error.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { drain } from '../../base/event-stream.ts';
import { omit, pick } from '../../base/pick.ts';
import type { Rank } from '../../base/process/rank.ts';
import { shortDigest } from '../../base/short-digest.ts';
import type { MergeEvent, MergeResult } from '../../merge/engine/events.ts';
import { mergeOfPlan } from '../../merge/launch/launch-plan.ts';
import { type LaunchOptions, newOrder, OF_RANK, type Order } from '../../merge/launch/order.ts';
import { orderEvents } from '../../merge/launch/rank.ts';
import { locate } from '../../merge/output/destination.ts';
import { holdShared, removeShared } from '../../merge/output/shared-publication.ts';
import { requestDigest } from '../../merge/plan/request-digest.ts';
import type { Plan, PlanRequest } from '../../merge/plan/types.ts';
import { isPermanent, RANK_TIMEOUT } from '../../merge/ranks/merge-with-ranks.ts';
import { readRecordText, recordText } from '../../merge/ranks/plan-record.ts';
import { lockWatch } from './lock.ts';
import type { MergeTogether } from './round.ts';
import { makeWatchFolder } from './state.ts';
import { readSummary, type ToldSummary, toldSummary } from './summary.ts';
import type { WatchEvent, WatchOptions, WatchSummary } from './types.ts';

/** Milliseconds that the others wait for the first rank at most, before one of them leads. */
const FIRST_MS = 10_000;
/** Milliseconds that whoever leads waits for the others to learn how it ended. */
const LINGER_MS = 5000;
/** Milliseconds between two looks whether a merge is still wanted. */
const LOOK_MS = 500;
/** How often the lock is tried that somebody took in the same moment. */
const LOCK_TRIES = 12;
/** How often a rank begins again where the board was taken away in that moment. */
const MOST_TRIES = 12;

export interface SharedWatch {
  readonly options: WatchOptions;
  readonly rank: Rank;
  readonly emit: (event: WatchEvent) => void;
  readonly signal: AbortSignal;
  /** What the one does that has the lock, which is released in any case. */
  readonly lead: (lock: FolderLock, together: MergeTogether) => Promise<WatchSummary>;
}

/** What is due, made by several ranks: one decides, and writes down the merges; all carry them out. */
export async function watchTogether(watch: SharedWatch): Promise<WatchSummary> {
  const backoff = new Backoff();
  for (let tries = 0; ; tries++) {
    try {
      return await once(watch);
    } catch (error) {
      if (!(error instanceof BoardGone)) throw error;
      if (tries === MOST_TRIES) throw error.cause;
      await backoff.pause(watch.signal);
    }
  }
}

/** Whoever led took the board away, while this rank was coming. */
class BoardGone extends Error {}

async function once(watch: SharedWatch): Promise<WatchSummary> {
  const { options, rank } = watch;
  const folder = await makeWatchFolder(options.output);
  const { output, rankTimeout = RANK_TIMEOUT } = options;
  const asked = { watch: omit(options, ['output', 'ranks']), outputs: [] };
  const name = `ranks-${shortDigest(requestDigest(asked, output))}`;
  const place = await holdShared(SYSTEM, { destination: await locate(join(folder, name)), path: join(folder, name) }).catch(goneIf);
  let presence: Presence | null = null;
  let turn: RankOfWatch | null = null;
  let failed: MergeError | undefined;
  try {
    const board = await FolderBoard.join(SYSTEM, place.folder).catch(goneIf);
    const nothing = { bytesRead: 0, bytesWritten: 0, seconds: 0 };
    presence = new Presence(board, 1000 * rankTimeout, () => ({ ...signOf(rank), ...nothing }));
    await presence.begin().catch(goneIf);
    turn = new RankOfWatch(watch, presence);
    return await turn.run();
  } catch (error) {
    if (error instanceof LeftToOthers) throw error.cause;
    if (error instanceof MergeError && (turn?.leads || (error.details.rank === undefined && isPermanent(error)))) failed = error;
    throw error;
  } finally {
    await presence?.end(failed === undefined ? 'left' : { failed });
    await presence?.look().catch(() => {});
    if (turn?.hasEnded === true || presence?.atWork().length === 0) await removeShared(SYSTEM, place, false).catch(() => {});
    await place.folder.close().catch(() => {});
  }
}

/** What ends the rank that leads alone, by what may pass: another one leads, and goes on with the merge. */
class LeftToOthers extends Error {}

/** What becomes of a failure where the board is being removed. */
function goneIf(error: unknown): never {
  throw isGoneError(error) || (error instanceof MergeError && error.code === 'E_TEMPORARY') ? new BoardGone('', { cause: error }) : error;
}

/** What whoever led leaves for the others. */
interface Result {
  readonly by: string;
  readonly summary: ToldSummary;
}

/** A merge that is due. */
interface DueMerge {
  readonly by: string;
  readonly order: Order;
}

/** The claim that says that an order is not wanted any more. */
const endOf = (order: number): string => `${orderRecord(order)}.over`;

class RankOfWatch {
  readonly #watch: SharedWatch;
  readonly #presence: Presence;
  readonly #began = performance.now();
  /** The first order that this rank knows nothing of. */
  #next = 0;
  #lockTries = 0;
  leads = false;
  /** The others have had time to learn how it ended. */
  hasEnded = false;

  constructor(watch: SharedWatch, presence: Presence) {
    this.#watch = watch;
    this.#presence = presence;
  }

  async run(): Promise<WatchSummary> {
    const { signal } = this.#watch;
    const { board } = this.#presence;
    const backoff = new Backoff();
    for (;;) {
      signal.throwIfAborted();
      await this.#presence.wait();
      const result = await this.#result();
      if (result !== null) return this.#tell(result);
      if (await board.gone()) throw new BoardGone('', { cause: goneBoard(board.path) });
      await this.#check();
      const lock = this.#mayLead() ? await this.#lock() : null;
      if (lock !== null) {
        const summary = await this.#lead(lock);
        if (summary !== null) return summary;
      }
      if (await this.#help()) backoff.reset();
      else await backoff.pause(signal);
    }
  }

  /** @throws what another rank failed with */
  async #check(): Promise<void> {
    try {
      this.#presence.check();
    } catch (error) {
      if (!(error instanceof Dropped)) throw error;
      await this.#presence.again().catch(goneIf);
    }
  }

  async #result(): Promise<WatchSummary | null> {
    const text = await this.#presence.board.get(RESULT);
    const result = text === null ? null : (readRecordText(text) as Result | null);
    return result !== null && this.#presence.believes(result.by) ? readSummary(result.summary) : null;
  }

  /** What a rank says at the end that did not lead. */
  #tell(summary: WatchSummary): WatchSummary {
    const { options, emit } = this.#watch;
    const { merges, failed, looked } = summary;
    for (const record of merges) if (record.output !== null) emit({ type: 'merged', output: join(options.output, record.output), record });
    for (const { checkpoint, error } of failed) emit({ type: 'failed', checkpoint, error, again: false });
    if (merges.length === 0 && failed.length === 0) emit({ type: 'idle', ...looked });
    return summary;
  }

  /** The first rank leads; where it does not come, or is there no more, the first of those that are there. */
  #mayLead(): boolean {
    const { rank } = this.#watch.rank;
    if (rank === 0) return true;
    const before = [...this.#presence.sightings.all().values()].filter(({ sign }) => sign !== null && sign.rank < rank);
    if (before.some((colleague) => isAtWork(colleague, this.#presence.timeout))) return false;
    return before.some(({ seenAlive }) => seenAlive) || performance.now() - this.#began > FIRST_MS;
  }

  /** The lock of the watch; null where another rank has it. @throws MergeError E_BUSY where another watch has */
  async #lock(): Promise<FolderLock | null> {
    const { options, signal } = this.#watch;
    const { board, sightings } = this.#presence;
    const isHere = (id: string): boolean => sightings.all().has(id);
    const hasLeft = async (id: string): Promise<boolean> => isHere(id) && !(await this.#presence.meets(id, signal));
    try {
      return await lockWatch(options, { id: board.id, hasLeft });
    } catch (error) {
      if (!isBusy(error)) throw error;
      if (await this.#isColleague(error.details.turn)) return null;
      // Somebody may take it in this moment.
      if (error.details.turn !== undefined || ++this.#lockTries > LOCK_TRIES) throw error;
      return null;
    }
  }

  /** @throws BoardGone where a colleague whom this rank never met may have finished all */
  async #isColleague(turn: unknown): Promise<boolean> {
    const { board } = this.#presence;
    if (await board.gone()) throw new BoardGone('', { cause: goneBoard(board.path) });
    await this.#presence.look();
    return typeof turn === 'string' && this.#presence.sightings.all().has(turn);
  }

  /** Null where another rank has taken over, because this one stood still. */
  async #lead(lock: FolderLock): Promise<WatchSummary | null> {
    const { lead, signal } = this.#watch;
    const { board } = this.#presence;
    this.leads = true;
    let summary: WatchSummary;
    try {
      // What whoever led before had begun is planned anew, and goes on where it was.
      for (this.#next = 0; (await board.get(orderRecord(this.#next))) !== null; this.#next++) await board.claim(endOf(this.#next));
      summary = await lead(lock, (plan, request, options) => this.#carryOut(plan, request, options));
    } catch (error) {
      if (!isBusy(error) || !(await this.#isColleague(error.details.turn))) throw error;
      this.leads = false;
      return null;
    } finally {
      await lock.release().catch(() => {});
    }
    await board.put(RESULT, recordText({ by: board.id, summary: toldSummary(summary) } satisfies Result));
    const backoff = new Backoff();
    for (const until = performance.now() + LINGER_MS; performance.now() < until && !signal.aborted; ) {
      await this.#presence.look().catch(() => {});
      if (this.#presence.atWork().length === 0) break;
      await backoff.pause(undefined);
    }
    this.hasEnded = true;
    return summary;
  }

  /** Writes a merge down, and makes it with whoever finds it. */
  async *#carryOut(plan: Plan, request: PlanRequest, options: LaunchOptions): AsyncGenerator<MergeEvent, MergeResult> {
    const { rank, signal } = this.#watch;
    const { board } = this.#presence;
    const number = this.#next++;
    const { asked, record, outside } = await mergeOfPlan(plan, request, rank.size, options);
    const order = newOrder({ asked, record, outside, options: pick(options, OF_RANK) });
    await board.put(orderRecord(number), recordText({ by: board.id, order } satisfies DueMerge));
    yield { type: 'plan', plan };
    const events = orderEvents(order, rank, signal);
    let isLeft = false;
    try {
      for (;;) {
        const { done, value } = await events.next();
        if (done) return value;
        if (value.type !== 'plan') yield value;
      }
    } catch (error) {
      isLeft = error instanceof MergeError && error.details.rank === undefined && error.exitCode === 75;
      throw isLeft ? new LeftToOthers('', { cause: error }) : error;
    } finally {
      await events.return(undefined as never);
      // Where this rank alone is ended, the others go on.
      if (!isLeft && !signal.aborted) await board.claim(endOf(number));
    }
  }

  /** Makes the merge that is due now together with the others. @returns whether there was one */
  async #help(): Promise<boolean> {
    const { board } = this.#presence;
    const claimed = await board.claimed();
    while (claimed.has(endOf(this.#next))) this.#next++;
    const number = this.#next;
    const text = await board.get(orderRecord(number));
    const due = text === null ? null : (readRecordText(text) as DueMerge | null);
    if (due === null || !this.#presence.believes(due.by) || (await board.holder(endOf(number))) !== null) return false;
    this.#next++;
    await this.#share(due.order, number);
    return true;
  }

  async #share(order: Order, number: number): Promise<void> {
    const { rank, signal } = this.#watch;
    const { board } = this.#presence;
    const over = new AbortController();
    const looking = setInterval(async () => {
      // Where it cannot be told, the merge is wanted.
      if ((await board.holder(endOf(number)).catch(() => null)) !== null) over.abort();
    }, LOOK_MS);
    try {
      await drain(orderEvents(order, rank, AbortSignal.any([signal, over.signal])), undefined);
    } catch (error) {
      signal.throwIfAborted();
      if (over.signal.aborted && error === over.signal.reason) return;
      // What ended all of them is told by whoever leads.
      if (error instanceof MergeError && (error.details.rank !== undefined || isPermanent(error))) return;
      throw error;
    } finally {
      clearInterval(looking);
    }
  }
}

const isBusy = (error: unknown): error is MergeError => error instanceof MergeError && error.code === 'E_BUSY';

function goneBoard(path: string): MergeError {
  return new MergeError('E_TEMPORARY', `${path} was removed by another process while this rank was beginning`, { details: { file: path } });
}
