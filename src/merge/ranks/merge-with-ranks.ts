import { createHash } from 'node:crypto';
import { PLAN_RECORD, type Sign, signOf } from '../../base/board/board.ts';
import { FolderBoard } from '../../base/board/folder-board.ts';
import { Backoff, Dropped, Presence } from '../../base/board/presence.ts';
import { type System, systemOf } from '../../base/disk/system.ts';
import { MergeError, type Warning } from '../../base/errors.ts';
import { worded } from '../../base/option-words.ts';
import type { Rank } from '../../base/process/rank.ts';
import { storeOf } from '../../base/store/store.ts';
import { PROVENANCE_FILE } from '../../checkpoints/our-files.ts';
import { PLACEHOLDER } from '../../recipe/file/contradictions.ts';
import type { MergeEvent, MergeResult } from '../engine/events.ts';
import { canGoOn, type ExecuteOptions, executeShared } from '../engine/execute.ts';
import { publicationRequest } from '../engine/finalize.ts';
import type { OwnTotals, SharedTotals } from '../engine/shared-work.ts';
import { MergeTotals } from '../engine/totals.ts';
import { loadBinding } from '../native/load.ts';
import { locate } from '../output/destination.ts';
import { partialPath } from '../output/partial.ts';
import { holdShared, removeShared, type SharedFolder, SharedPublication, sharedId } from '../output/shared-publication.ts';
import { isPublished } from '../plan/outputs/finished.ts';
import { type AskedMerge, requestDigest } from '../plan/request-digest.ts';
import type { Plan, PlanRequest } from '../plan/types.ts';
import { readProvenance } from '../record/read-provenance.ts';
import { ClaimedUnits, isGoneSoon } from './claimed-units.ts';
import { adoptedRequest, checkAdopted, type PlanRecord, parseRecord, planRecord, recordText, wrongRecord } from './plan-record.ts';

/** Seconds without a sign of life: clients of Lustre stall for half a minute. */
export const RANK_TIMEOUT = 60;

/** How ranks work together. */
export interface RankOptions extends ExecuteOptions {
  /** Milliseconds without a sign of life after which a rank is taken for dead. */
  readonly rankTimeout: number;
}

/** How this process plans: it knows what was asked for. */
export interface Planner {
  readonly recipe: AskedMerge;
  resolve(): Promise<PlanRequest>;
  /** @throws every conflict of the plan */
  build(request: PlanRequest): Promise<Plan>;
}

/** How often the first rank looks at what all have done, milliseconds. */
const SHOWN_MS = 1000;

/** A rank that has met no other one for so long, milliseconds, says so. */
const LONE_MS = 30_000;

/** Exit codes of failures that no other rank would be spared. */
const PERMANENT: ReadonlySet<number> = new Set([2, 3, 4, 5, 6]);

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

/** What ranks are to make, as the first of them would plan it. */
export interface PlannedForRanks {
  readonly plan: Plan;
  readonly record: PlanRecord;
}

/**
 * Plans for ranks that this process is going to start: what ranks began before is planned as they did, and what
 * was made of the same members is finished.
 * @throws MergeError as a rank would
 */
export function planForRanks(planner: Planner, options: RankOptions): Promise<PlannedForRanks> {
  return new RanksMerge(planner, options, null).planned();
}

/** How often a rank begins again where the board was taken away in that moment. */
const MOST_TRIES = 12;

/** The work was finished, and tidied up, while this rank was beginning. */
class BoardGone extends Error {}

/** Whether ranks began this very merge, and left or are still at it. */
export async function isBegunByRanks(recipe: AskedMerge): Promise<boolean> {
  const output = boardOutput(recipe);
  if (output === null) return false;
  const destination = await locate(output).catch(() => null);
  if (destination === null) return false;
  const path = partialPath(destination, sharedId(requestDigest(recipe, output)));
  return storeOf(path)
    .stat(`${path}/${PLAN_RECORD}`)
    .then(
      () => true,
      () => false,
    );
}

/** Whether what stands in the name of an output is known with its members alone. */
const isOpen = (path: string): boolean => path.search(PLACEHOLDER) >= 0;

/** The output beside which the board lies: the first as written, up to where its name depends on the members. */
export function boardOutput({ outputs }: AskedMerge): string | null {
  const path = outputs[0]?.path;
  if (path === undefined) return null;
  const parts = path.split('/');
  const open = parts.findIndex(isOpen);
  return open < 0 ? path : parts.slice(0, open + 1).join('/');
}

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
    return job === null ? undefined : createHash('sha256').update(job).digest('hex').slice(0, 12);
  }

  /**
   * Outputs that this very command has made, in this start of it or before; null where one of them is not
   * there as it was published, or cannot be told.
   */
  async madeBefore(): Promise<readonly string[] | null> {
    const { recipe } = this.#planner;
    const paths = recipe.outputs.map(({ path }) => path);
    for (const path of paths) {
      if (isOpen(path)) return null;
      const record = await readProvenance(path).catch(() => null);
      if (record?.request !== requestDigest(recipe, path)) return null;
      // Of another job it may be that the run has grown since, or that its checkpoints are others: the plan says.
      if (this.#job !== undefined && record.timings?.job !== this.#job) return null;
      const isFolder = await storeOf(path)
        .stat(`${path}/${PROVENANCE_FILE}`)
        .then(
          () => true,
          () => false,
        );
      for (const { name, bytes } of [...record.files, ...(record.sideFiles ?? [])]) {
        const file = isFolder ? `${path}/${name}` : path;
        const size = await storeOf(file)
          .stat(file)
          .then(
            (stat) => stat.size,
            () => null,
          );
        if (size !== bytes) return null;
      }
    }
    return paths;
  }

  /** What a rank says that comes when all is done. */
  async *asMade(finished: readonly string[]): AsyncGenerator<MergeEvent, MergeResult> {
    const since = worded`checkpoints that were saved since take no part, and --force makes it anew with them`;
    const message = `${finished.join(', ')}: made before by this very command; ${since}`;
    const warning: Warning = { code: 'W_MADE_BEFORE', message };
    yield { type: 'warning', warning };
    for (const output of finished) await this.#clear(output);
    const phases = { readSeconds: 0, computeSeconds: 0, writeSeconds: 0, syncSeconds: 0 };
    const result: MergeResult = {
      ...{ schema: 'ckpt-merge/average', version: 1, outputs: [], finished, bytesRead: 0, seconds: 0, phases },
      ...{ peakRssBytes: null, peakAnonBytes: null, threads: 0, isa: loadBinding().cpuInfo().active, io: 'map', resumedBytes: 0 },
      warnings: [warning],
    };
    yield { type: 'done', result };
    return result;
  }

  /** Removes what a rank left that died between publishing and tidying up. */
  async #clear(output: string): Promise<void> {
    const destination = await locate(output);
    const path = partialPath(destination, sharedId(requestDigest(this.#planner.recipe, output)));
    if ((await this.#system.fs.lstat(path).catch(() => null)) === null) return;
    const shared = await holdShared(this.#system, destination, path).catch(() => null);
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

  /** What ranks that come will plan. */
  async planned(): Promise<PlannedForRanks> {
    const { recipe } = this.#planner;
    const output = boardOutput(recipe)!;
    const request = requestDigest(recipe, output);
    if (await isBegunByRanks(recipe)) {
      const { folder } = await holdShared(this.#system, await locate(output), sharedId(request));
      try {
        const text = await (await FolderBoard.join(this.#system, folder)).get(PLAN_RECORD);
        if (text !== null) {
          const record = parseRecord(text, { recipe, request }, folder.path);
          return { plan: await this.#adopt(record, folder.path, true), record };
        }
      } finally {
        await folder.close();
      }
    }
    const resolved = await this.#planner.resolve();
    const plan = await this.#planner.build({ ...resolved, resume: true });
    const about = { request, launch: null, by: null, size: 1, unitBytes: this.#options.unitBytes };
    return { plan, record: await planRecord(plan, resolved, about, this.#options.signal) };
  }

  async *carryOut(): AsyncGenerator<MergeEvent, MergeResult> {
    const { recipe } = this.#planner;
    const output = boardOutput(recipe)!;
    const request = requestDigest(recipe, output);
    const destination = await locate(output);
    const place = await holdShared(this.#system, destination, partialPath(destination, sharedId(request))).catch((error: unknown) => {
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
      const isGone =
        error instanceof BoardGone ||
        (error instanceof MergeError && error.details.errno === 'ENOENT' && (work === null || (await isGoneSoon(work.presence.board))));
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

  #sign(): Omit<Sign, 'state'> {
    return { ...signOf(this.#rank), ...this.#own };
  }

  async *#together(work: Work, request: string): AsyncGenerator<MergeEvent, MergeResult> {
    const { presence, place } = work;
    const { plan, record } = yield* this.#plan(work, request);
    this.#planned = plan;
    if (plan.outputs.length > 0) {
      const writer = presence.board.id;
      for (const k of plan.outputs.keys()) {
        const asked = { ...publicationRequest(plan, k, this.#options), writer };
        const destination = await locate(asked.output);
        const path = partialPath(destination, sharedId(plan.outputs[k]!.request!));
        const shared = path === place.folder.path ? place : await holdShared(this.#system, destination, path);
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
        const isOver = error instanceof MergeError && error.details.errno === 'ENOENT' && (await units.isTaken());
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

  /** The plan that all ranks carry out: the first to claim it makes it, the others plan what it wrote down. */
  async *#plan({ presence, place }: Work, request: string): AsyncGenerator<MergeEvent, { plan: Plan; record: PlanRecord }> {
    const { board } = presence;
    const backoff = new Backoff();
    const path = place.folder.path;
    const read = (): Promise<string | null> =>
      board.get(PLAN_RECORD).catch((error: unknown) => {
        const isOther = error instanceof MergeError && error.code === 'E_OUTPUT_KIND';
        throw isOther ? wrongRecord(path, `is none: ${error.message}`, error) : error;
      });
    const before = await read();
    for (let text = before; ; text = await read()) {
      if (text !== null) {
        const record = parseRecord(text, { recipe: this.#planner.recipe, request }, path);
        const isOld = before !== null && (await this.#isOfEarlier(record, presence));
        const plan = await this.#adopt(record, path, isOld);
        if (isOld) yield { type: 'warning', warning: goesOn(plan, path) };
        return { plan, record };
      }
      presence.check();
      if (await presence.take('plan', (before, isSilent) => isSilent && before === 0)) {
        // Whoever had it may have written it before it fell silent.
        if ((await read()) !== null) continue;
        const resolved = await this.#planner.resolve();
        // What is there as it would be made is made, whatever was to be replaced.
        const plan = await this.#planner.build({ ...resolved, resume: true });
        const { launch = null, size = 1 } = this.#rank ?? {};
        const about = { request, launch, by: board.id, size, unitBytes: this.#options.unitBytes };
        const record = await planRecord(plan, resolved, about, this.#options.signal);
        await board.put(PLAN_RECORD, recordText(record));
        return { plan, record };
      }
      if (await board.gone()) throw new BoardGone('', { cause: goneBoard(path) });
      await backoff.pause(this.#options.signal);
    }
  }

  /** Whether a plan that was there is of an earlier start of the command. */
  async #isOfEarlier({ launch: theirs, by }: PlanRecord, presence: Presence): Promise<boolean> {
    const { launch = null } = this.#rank ?? {};
    if (launch !== null) return theirs !== launch;
    return by === null || !(await presence.meets(by, this.#options.signal));
  }

  async #adopt(record: PlanRecord, path: string, isOld: boolean): Promise<Plan> {
    try {
      const request = adoptedRequest(record);
      if (request.outputs.length === 0) return await this.#planner.build({ ...(await this.#planner.resolve()), resume: true });
      const plan = { ...(await this.#planOf(request)), finished: record.finished };
      await checkAdopted(plan, record, { path, isOld, signal: this.#options.signal });
      return plan;
    } catch (error) {
      // Of whatever lies there a request was made that no recipe makes.
      if (error instanceof TypeError) throw wrongRecord(path, 'is no record of a plan that this version reads', error);
      if (!isOld || !(error instanceof MergeError) || error.exitCode !== 3) throw error;
      const { code, message, details, cause } = error;
      throw new MergeError(code, `${message}. Ranks began this merge before, of checkpoints as they were then`, {
        details,
        help: `Put back what is missing or was changed; or remove ${path} to begin anew.`,
        cause,
      });
    }
  }

  /** The plan of what others began, and may have published in part or as a whole since. */
  async #planOf(request: PlanRequest): Promise<Plan> {
    const { build } = this.#planner;
    try {
      return await build({ ...request, resume: false });
    } catch (error) {
      if (!(error instanceof MergeError && error.code === 'E_OUTPUT_EXISTS')) throw error;
      const plan = await build({ ...request, resume: false, force: true });
      const published = await Promise.all(plan.outputs.map(isPublished));
      // Where something else lies, that is what is wrong.
      const isThere = await Promise.all(plan.outputs.map(({ path }) => this.#system.fs.lstat(path).catch(() => null)));
      if (isThere.some((there, k) => there !== null && !published[k])) throw error;
      return plan;
    }
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
    if (PERMANENT.has(error.exitCode) || error.code === 'E_INTERNAL') {
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
  const { ranks, hosts, bytesRead } = record?.timings ?? {};
  return ranks === undefined || bytesRead === undefined ? result : { ...result, bytesRead, ranks, hosts };
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

function goesOn({ members, outputs, finished }: Plan, path: string): Warning {
  const names = [...outputs.map((output) => output.path), ...finished].join(', ');
  const message =
    `${names}: goes on with what ranks began (${path}), of the ${members.length} checkpoints that were chosen then; ` +
    'checkpoints that were saved since take no part';
  return { code: 'W_RANKS_GO_ON', message };
}

function goneBoard(path: string): MergeError {
  return new MergeError('E_TEMPORARY', `${path} was removed by another process while ranks planned there`, { details: { file: path } });
}
