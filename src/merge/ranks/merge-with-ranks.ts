import { type Sign, signOf } from '../../base/board/board.ts';
import { FolderBoard } from '../../base/board/folder-board.ts';
import { Backoff, Dropped, Presence } from '../../base/board/presence.ts';
import { isGoneError } from '../../base/disk/io-error.ts';
import { type System, systemOf } from '../../base/disk/system.ts';
import { MergeError, type Warning } from '../../base/errors.ts';
import type { Rank } from '../../base/process/rank.ts';
import { shortDigest } from '../../base/short-digest.ts';
import type { MergeEvent, MergeResult } from '../engine/events.ts';
import { canGoOn, type ExecuteOptions, executeShared } from '../engine/execute.ts';
import { publicationRequest } from '../engine/finalize.ts';
import type { OwnTotals, SharedTotals } from '../engine/shared-work.ts';
import { MergeTotals } from '../engine/totals.ts';
import { loadBinding } from '../native/load.ts';
import { holdShared, removeShared, type SharedFolder, SharedPublication } from '../output/shared-publication.ts';
import { isPublished } from '../plan/outputs/finished.ts';
import { requestDigest } from '../plan/request-digest.ts';
import type { Plan } from '../plan/types.ts';
import { readProvenance } from '../record/read-provenance.ts';
import { boardPlace, sharedPlace } from './board-place.ts';
import { ClaimedUnits, isGoneSoon } from './claimed-units.ts';
import { madeBefore, resultOfMade } from './made-before.ts';
import { BoardGone, type PlannedForRanks, type Planner, SharedPlan } from './shared-plan.ts';

/** Seconds without a sign of life: clients of Lustre stall for half a minute. */
export const RANK_TIMEOUT = 60;

/** How ranks work together. */
export interface RankOptions extends ExecuteOptions {
  /** Milliseconds without a sign of life after which a rank is taken for dead. */
  readonly rankTimeout: number;
}

/** How often the first rank looks at what all have done, milliseconds. */
const SHOWN_MS = 1000;

/** A rank that has met no other one for so long, milliseconds, says so. */
const LONE_MS = 30_000;

/** Exit codes of failures that no other rank would be spared. */
const PERMANENT: ReadonlySet<number> = new Set([2, 3, 4, 5, 6]);

/** Whether a failure is one that no other rank would be spared, or a defect. */
export function isPermanent({ code, exitCode }: Pick<MergeError, 'code' | 'exitCode'>): boolean {
  return PERMANENT.has(exitCode) || code === 'E_INTERNAL';
}

/**
 * Makes a merge together with every other process that was asked for the same: they find each other by a
 * board in the hidden folder beside the first output. With `rank` null this process was started alone, and
 * goes on with what ranks began.
 * @throws MergeError, that of another rank where it ended all; E_TEMPORARY where this rank alone failed, by
 *   what may pass; `signal.reason` when aborted
 */
export async function* mergeWithRanks(planner: Planner, options: RankOptions, rank: Rank | null): AsyncGenerator<MergeEvent, MergeResult> {
  const merge = new RanksMerge(planner, options, rank);
  const backoff = new Backoff();
  for (let tries = 0; ; tries++) {
    const made = options.force === true ? null : await merge.madeBefore();
    if (made !== null) return yield* merge.asMade(made);
    try {
      return yield* merge.carryOut();
    } catch (error) {
      if (error instanceof BoardGone) {
        const result = await merge.asPlanned();
        if (result !== null) {
          yield { type: 'done', result };
          return result;
        }
        if (tries === MOST_TRIES) throw error.cause;
        await backoff.pause(options.signal);
        continue;
      }
      // Another rank may have published it after this one had looked.
      const there = error instanceof MergeError && error.code === 'E_OUTPUT_EXISTS' ? await merge.madeBefore() : null;
      if (there === null) throw error;
      return yield* merge.asMade(there);
    }
  }
}

/** How often a rank begins again where the board was taken away in that moment. */
const MOST_TRIES = 12;

class RanksMerge {
  readonly #planner: Planner;
  readonly #options: RankOptions;
  readonly #rank: Rank | null;
  readonly #system: System;
  readonly #warnings: Warning[] = [];
  #planned: Plan | null = null;
  #own: OwnTotals = { bytesRead: 0, bytesWritten: 0, seconds: 0 };

  constructor(planner: Planner, options: RankOptions, rank: Rank | null) {
    this.#planner = planner;
    this.#options = options;
    this.#rank = rank;
    this.#system = systemOf({
      rename: (from, to, how) => loadBinding().rename(from, to, how),
      onWarning: (warning) => this.#warnings.push(warning),
    });
  }

  /** The result of what this rank had planned, where another one has published all of it; else null. */
  async asPlanned(): Promise<MergeResult | null> {
    const plan = this.#planned;
    if (plan === null || !(await Promise.all(plan.outputs.map(isPublished))).every(Boolean)) return null;
    const how = { threads: 0, isa: loadBinding().cpuInfo().active, io: 'map' } as const;
    const rounding = plan.outputs.map(() => []);
    return asRecorded(new MergeTotals(plan).result(how, rounding, plan.warnings));
  }

  get #job(): string | undefined {
    const { job = null } = this.#rank ?? {};
    return job === null ? undefined : shortDigest(job);
  }

  madeBefore(): Promise<readonly string[] | null> {
    return madeBefore(this.#planner.recipe, this.#job);
  }

  /** What a rank says that comes when all is done. */
  async *asMade(finished: readonly string[]): AsyncGenerator<MergeEvent, MergeResult> {
    const result = resultOfMade(finished);
    for (const warning of result.warnings) yield { type: 'warning', warning };
    for (const output of finished) await this.#clear(output);
    yield { type: 'done', result };
    return result;
  }

  /** Removes what a rank left that died between publishing and tidying up. */
  async #clear(output: string): Promise<void> {
    const place = await sharedPlace(output, requestDigest(this.#planner.recipe, output));
    if ((await this.#system.fs.lstat(place.path).catch(() => null)) === null) return;
    const shared = await holdShared(this.#system, place).catch(() => null);
    if (shared === null) return;
    try {
      const board = FolderBoard.of(this.#system, shared.folder);
      const presence = new Presence(board, this.#options.rankTimeout, () => this.#sign());
      // Without a board it is being removed, or whoever did so died.
      if ((await board.gone()) || (await isLeftBehind(presence))) await removeShared(this.#system, shared, false);
    } catch {
      // Whoever merges there next says what lies there.
    } finally {
      await shared.folder.close();
    }
  }

  async *carryOut(): AsyncGenerator<MergeEvent, MergeResult> {
    const { recipe } = this.#planner;
    const at = await boardPlace(recipe);
    const { request } = at;
    const place = await holdShared(this.#system, at).catch((error: unknown) => {
      throw error instanceof MergeError && error.code === 'E_TEMPORARY' ? new BoardGone('', { cause: error }) : error;
    });
    let work: Work | null = null;
    try {
      const board = await FolderBoard.join(this.#system, place.folder);
      // The first shows the progress of all.
      const lookEvery = (this.#rank?.rank ?? 0) === 0 ? SHOWN_MS : undefined;
      const presence = new Presence(board, this.#options.rankTimeout, () => this.#sign(), lookEvery);
      work = { place, presence, publications: [] };
      await presence.begin();
      return yield* this.#together(work, request);
    } catch (error) {
      const isGone = error instanceof BoardGone || (isGoneError(error) && (work === null || (await isGoneSoon(work.presence.board))));
      if (isGone && work !== null) work.isGone = true;
      const failure = this.#failed(error, work);
      const kept = work !== null && (await this.#leave(work)) === 'kept' && !isGone;
      if (isGone) throw error instanceof BoardGone ? error : new BoardGone('', { cause: error });
      if (kept) yield { type: 'kept', output: recipe.outputs[0]!.path };
      throw failure;
    } finally {
      if (work !== null) await this.#leave(work);
      await place.folder.close().catch(() => {});
    }
  }

  #sign(): Omit<Sign, 'state' | 'doing'> {
    return { ...signOf(this.#rank), ...this.#own };
  }

  /** The plan of all, also where this rank was silent for too long while it waited for it: it has nothing to drop. */
  async *#plannedIn(shared: SharedPlan, { presence, place }: Work, request: string): AsyncGenerator<MergeEvent, PlannedForRanks> {
    for (;;) {
      try {
        return yield* shared.together(presence, place.folder.path, request);
      } catch (error) {
        if (!(error instanceof Dropped)) throw error;
        await presence.again();
      }
    }
  }

  async *#together(work: Work, request: string): AsyncGenerator<MergeEvent, MergeResult> {
    const { presence, place } = work;
    const shared = new SharedPlan({ planner: this.#planner, rank: this.#rank, system: this.#system, options: this.#options });
    const { plan, record } = yield* this.#plannedIn(shared, work, request);
    this.#planned = plan;
    if (plan.outputs.length > 0) {
      const writer = presence.board.id;
      for (const k of plan.outputs.keys()) {
        const asked = { ...publicationRequest(plan, k, this.#options), writer };
        const own = await sharedPlace(asked.output, plan.outputs[k]!.request!);
        const shared = own.path === place.folder.path ? place : await holdShared(this.#system, own);
        work.publications.push(await SharedPublication.open(this.#system, shared, asked));
      }
    }
    const began = performance.now();
    let alone = false;
    const share = (): number => 1 / (1 + presence.atWork().length);
    const options = { ...this.#options, unitBytes: record.unitBytes, share };
    for (let isAgain = false; ; isAgain = true) {
      const before = this.#own;
      const units = new ClaimedUnits(plan, {
        presence,
        publications: work.publications,
        binding: loadBinding(),
        rank: this.#rank?.rank ?? 0,
        size: this.#rank?.size ?? 1,
        signal: this.#options.signal,
        done: before,
        tell: (own) => this.#totals(work, own),
        onDamaged: (file) => this.#damaged(file),
      });
      const events = executeShared(plan, options, units);
      try {
        for (;;) {
          const { done, value } = await events.next();
          if (done) {
            work.isDone = true;
            return await asRecorded(value);
          }
          for (const warning of this.#warnings.splice(0)) yield { type: 'warning', warning };
          if (!alone && this.#isAlone(work, began)) {
            alone = true;
            yield { type: 'warning', warning: this.#loneWarning(place) };
          }
          if (!isAgain || value.type === 'progress' || value.type === 'done') yield value;
        }
      } catch (error) {
        // Where another rank has all that is to be made, and publishes it, files go from where they were.
        const isOver = isGoneError(error) && (await units.isTaken());
        if (!(error instanceof Dropped || isOver)) throw error;
        await presence.again();
      } finally {
        await events.return(undefined as never);
      }
    }
  }

  #isAlone({ presence }: Work, began: number): boolean {
    const { size = 1 } = this.#rank ?? {};
    return size > 1 && performance.now() - began > LONE_MS && presence.sightings.all().size === 0;
  }

  #loneWarning({ folder }: SharedFolder): Warning {
    const { rank, size, launcher } = this.#rank!;
    const message =
      `rank ${rank} of ${size} (${launcher}) has met no other rank for ${LONE_MS / 1000} s, and makes the merge alone: ` +
      `is ${folder.path} on a file system that all of them share, and were all asked for the same?`;
    return { code: 'W_LONE_RANK', message };
  }

  #damaged(file: string): void {
    const message = `${file}: a finished part is not what an interrupted merge wrote, and is made anew`;
    this.#warnings.push({ code: 'W_PART_CHANGED', message });
  }

  /** Tells the others what this rank did; gets what all did. */
  #totals({ presence }: Work, own: OwnTotals): SharedTotals {
    this.#own = own;
    const signs = [...presence.sightings.all().values()].flatMap(({ sign }) => sign ?? []);
    const all = [...signs, this.#sign()];
    return {
      bytesRead: all.reduce((sum, { bytesRead }) => sum + bytesRead, 0),
      bytesWritten: all.reduce((sum, { bytesWritten }) => sum + bytesWritten, 0),
      seconds: Math.max(...all.map(({ seconds }) => seconds)),
      ranks: all.length,
      hosts: new Set(all.map(({ host }) => host)).size,
      job: this.#job,
    };
  }

  /**
   * What this rank ends with. A failure that no other rank would be spared is put on the board, and ends all; of
   * any other the units are left to them.
   */
  #failed(error: unknown, work: Work | null): unknown {
    if (!(error instanceof MergeError) || work === null) return error;
    const isOwn = error.details.rank === undefined;
    work.isUseless = !canGoOn(error);
    if (!isOwn || error.code === 'E_OUTPUT_EXISTS') return error;
    if (isPermanent(error)) {
      work.failure = error;
      return error;
    }
    if (this.#rank === null || error.exitCode === 75) return error;
    const { rank, size } = this.#rank;
    return new MergeError('E_TEMPORARY', `rank ${rank} of ${size} ended, and leaves its work to the others: ${error.message}`, {
      details: { ...error.details, failed: error.code },
      help: 'Where they finish, all is well. Else start the same command again: it goes on where they stopped.',
      cause: error,
    });
  }

  /**
   * Gives this rank's place up, and removes what is left where nobody is to go on with it. A second call does
   * nothing.
   * @returns what became of what was made
   */
  #leave(work: Work): Promise<Fate> {
    work.left ??= this.#end(work);
    return work.left;
  }

  async #end(work: Work): Promise<Fate> {
    const { presence, publications, place, failure } = work;
    for (const publication of publications) await publication.read(() => true).catch(() => {});
    await presence.end(failure === undefined ? 'left' : { failed: failure });
    const fate = await this.#fateOf(work);
    // The board goes last: whoever finds it finds all that belongs to it.
    for (const publication of [...publications].sort((a, b) => Number(a.shared === place) - Number(b.shared === place))) {
      await publication.close(work.isGone && publication.shared === place ? 'kept' : fate);
    }
    if (fate !== 'kept' && !work.isGone && !publications.some(({ shared }) => shared === place)) {
      await removeShared(this.#system, place, fate === 'removed').catch(() => {});
    }
    return fate;
  }

  async #fateOf({ presence, publications, isDone, isGone, isUseless }: Work): Promise<Fate> {
    if (isDone) {
      // Whoever publishes looks at what OUT replaced before it removes it: others wait, but not for the dead.
      const hasPublished = publications.length === 0 || publications.some((publication) => publication.isPlaced);
      if (!hasPublished) await isLeftBehind(presence);
      // Where the board is gone already, this process may have made a partial anew beside another output.
      return 'published';
    }
    // What others have by now in the same place is theirs.
    if (isGone) return publications.every(({ finished }) => finished.size === 0) ? 'removed' : 'kept';
    const hasLooked = await presence.look().then(
      () => true,
      () => false,
    );
    if (!hasLooked || presence.atWork().length > 0) return 'kept';
    return isUseless === true || this.#options.keep === false || publications.every(({ finished }) => finished.size === 0)
      ? 'removed'
      : 'kept';
  }
}

type Fate = 'published' | 'removed' | 'kept';

/** Waits until a board is taken away. True where whoever was to do so has died. */
async function isLeftBehind(presence: Presence): Promise<boolean> {
  const backoff = new Backoff();
  for (;;) {
    if (await presence.board.gone()) return false;
    await presence.look().catch(() => {});
    if (presence.atWork().length === 0) return !(await presence.board.gone());
    await backoff.pause(undefined);
  }
}

/** A result with what the record says that all ranks did: this one may not have met all of them. */
async function asRecorded(result: MergeResult): Promise<MergeResult> {
  const [first] = result.outputs;
  const record = first === undefined ? null : await readProvenance(first.path).catch(() => null);
  const { ranks, hosts, bytesRead, seconds = 0 } = record?.timings ?? {};
  if (ranks === undefined || bytesRead === undefined) return result;
  return { ...result, bytesRead, ranks, hosts, seconds: Math.max(result.seconds, seconds) };
}

/** What a rank holds. */
interface Work {
  readonly place: SharedFolder;
  readonly presence: Presence;
  readonly publications: SharedPublication[];
  isDone?: boolean;
  /** Somebody took the board away. */
  isGone?: boolean;
  /** What is finished is of no use to a later run. */
  isUseless?: boolean;
  failure?: MergeError;
  left?: Promise<Fate>;
}
