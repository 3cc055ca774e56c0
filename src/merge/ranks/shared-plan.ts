import { type Board, PLAN_RECORD, REQUEST_RECORD } from '../../base/board/board.ts';
import { FolderBoard } from '../../base/board/folder-board.ts';
import { Backoff, type Presence } from '../../base/board/presence.ts';
import { SYSTEM, type System } from '../../base/disk/system.ts';
import { MergeError, type Warning } from '../../base/errors.ts';
import type { Rank } from '../../base/process/rank.ts';
import { fingerprint } from '../../checkpoints/fingerprint.ts';
import type { MergeEvent } from '../engine/events.ts';
import type { ExecuteOptions } from '../engine/execute.ts';
import { holdShared } from '../output/shared-publication.ts';
import { isPublished } from '../plan/outputs/finished.ts';
import { type Prepared, prepare } from '../plan/prepare.ts';
import type { AskedMerge } from '../plan/request-digest.ts';
import type { Plan, PlanRequest } from '../plan/types.ts';
import { boardPlace, isBegunByRanks } from './board-place.ts';
import {
  adoptedRequest,
  checkAdopted,
  isOfRequest,
  type PlanRecord,
  parseRecord,
  planRecord,
  readRequestText,
  recordText,
  requestText,
  type Sampling,
  wrongRecord,
} from './plan-record.ts';
import { sharedFingerprints } from './shared-fingerprints.ts';

/** How this process plans: it knows what was asked for. */
export interface Planner {
  readonly recipe: AskedMerge;
  resolve(): Promise<PlanRequest>;
  /** @param prepared what was made of the same request ahead @throws every conflict of the plan */
  build(request: PlanRequest, prepared?: Prepared): Promise<Plan>;
}

/** What ranks are to make, as the first of them plans or planned it. */
export interface PlannedForRanks {
  readonly plan: Plan;
  readonly record: PlanRecord;
}

/** The work was finished, and tidied up, while this rank was beginning. */
export class BoardGone extends Error {}

interface PlanTools {
  readonly planner: Planner;
  readonly rank: Rank | null;
  readonly system: System;
  readonly options: Pick<ExecuteOptions, 'unitBytes' | 'signal'>;
}

/** The one plan of several ranks. */
export class SharedPlan {
  readonly #planner: Planner;
  readonly #rank: Rank | null;
  readonly #system: System;
  readonly #options: PlanTools['options'];

  constructor({ planner, rank, system, options }: PlanTools) {
    this.#planner = planner;
    this.#rank = rank;
    this.#system = system;
    this.#options = options;
  }

  /**
   * What ranks that come will plan: as ranks did that began before, and what was made of the same members is
   * finished. @throws MergeError as a rank would
   */
  async ahead(): Promise<PlannedForRanks> {
    const { recipe } = this.#planner;
    const at = await boardPlace(recipe);
    const { request } = at;
    if (await isBegunByRanks(recipe)) {
      const { folder } = await holdShared(this.#system, at);
      try {
        const text = await (await FolderBoard.join(this.#system, folder)).get(PLAN_RECORD);
        if (text !== null) {
          const record = parseRecord(text, { recipe, request }, folder.path);
          return { plan: await this.#adopt(record, { path: folder.path, sampling: this.#sampling(null) }), record };
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

  /** The plan that all ranks carry out: the first to claim it makes it, the others plan what it wrote down. */
  async *together(presence: Presence, path: string, request: string): AsyncGenerator<MergeEvent, PlannedForRanks> {
    const { board } = presence;
    const backoff = new Backoff();
    const read = (): Promise<string | null> =>
      board.get(PLAN_RECORD).catch((error: unknown) => {
        const isOther = error instanceof MergeError && error.code === 'E_OUTPUT_KIND';
        throw isOther ? wrongRecord(path, `is none: ${error.message}`, error) : error;
      });
    const before = await read();
    let ahead: PreparedAhead | null = null;
    for (let text = before; ; text = await read()) {
      if (text !== null) {
        const record = parseRecord(text, { recipe: this.#planner.recipe, request }, path);
        const isOld = before !== null && (await this.#isOfEarlier(record, presence));
        const plan = await this.#adopt(record, { path, sampling: isOld ? this.#sampling(presence) : null, ahead: await ahead?.of(record) });
        if (isOld) yield { type: 'warning', warning: goesOn(plan, path) };
        return { plan, record };
      }
      presence.check();
      if (await presence.take('plan', (before, isSilent) => isSilent && before === 0)) {
        // Whoever had it may have written it before it fell silent.
        if ((await read()) !== null) continue;
        const resolved = await this.#planner.resolve();
        await board.put(REQUEST_RECORD, requestText(resolved));
        // What is there as it would be made is made, whatever was to be replaced.
        const plan = await this.#planner.build({ ...resolved, resume: true });
        const { launch = null, size = 1 } = this.#rank ?? {};
        const about = { request, launch, by: board.id, size, unitBytes: this.#options.unitBytes };
        const record = await planRecord(plan, resolved, about, this.#options.signal);
        await board.put(PLAN_RECORD, recordText(record));
        return { plan, record };
      }
      if (await board.gone()) throw new BoardGone('', { cause: goneBoard(path) });
      ahead ??= await this.#preparing(board);
      await backoff.pause(this.#options.signal);
    }
  }

  /** Begins to prepare what the planner said that it plans, as soon as it did: the plan itself takes it much longer. */
  async #preparing(board: Board): Promise<PreparedAhead | null> {
    const text = await board.get(REQUEST_RECORD).catch(() => null);
    return text === null ? null : new PreparedAhead(readRequestText(text), this.#options.signal);
  }

  /** Whether a plan that was there is of an earlier start of the command. */
  async #isOfEarlier({ launch: theirs, by }: PlanRecord, presence: Presence): Promise<boolean> {
    const { launch = null } = this.#rank ?? {};
    if (launch !== null) return theirs !== launch;
    return by === null || !(await presence.meets(by, this.#options.signal));
  }

  /** How fingerprints are made anew: by all ranks of this start together, where it has a name. */
  #sampling(presence: Presence | null): Sampling {
    const { signal } = this.#options;
    const { rank = 0, size = 1, launch = null } = this.#rank ?? {};
    return async (checkpoints) => {
      if (presence !== null && launch !== null) return sharedFingerprints(checkpoints, presence, { rank, size, launch, signal });
      const found: string[] = [];
      for (const checkpoint of checkpoints) found.push(await fingerprint(checkpoint, signal));
      return found;
    };
  }

  /** @param sampling where the record is of an earlier start: see `checkAdopted` */
  async #adopt(
    record: PlanRecord,
    { path, sampling, ahead }: { readonly path: string; readonly sampling: Sampling | null; readonly ahead?: Prepared | undefined },
  ): Promise<Plan> {
    try {
      const request = adoptedRequest(record);
      if (request.outputs.length === 0) return await this.#planner.build({ ...(await this.#planner.resolve()), resume: true });
      const plan = { ...(await this.#planOf(request, ahead)), finished: record.finished };
      await checkAdopted(plan, record, { path, sampling, signal: this.#options.signal });
      return plan;
    } catch (error) {
      // Of whatever lies there a request was made that no recipe makes.
      if (error instanceof TypeError) throw wrongRecord(path, 'is no record of a plan that this version reads', error);
      if (sampling === null || !(error instanceof MergeError) || error.exitCode !== 3) throw error;
      const { code, message, details, cause } = error;
      throw new MergeError(code, `${message}. Ranks began this merge before, of checkpoints as they were then`, {
        details,
        help: `Put back what is missing or was changed; or remove ${path} to begin anew.`,
        cause,
      });
    }
  }

  /** The plan of what others began, and may have published in part or as a whole since. */
  async #planOf(request: PlanRequest, ahead: Prepared | undefined): Promise<Plan> {
    const { build } = this.#planner;
    try {
      return await build({ ...request, resume: false }, ahead);
    } catch (error) {
      if (!(error instanceof MergeError && error.code === 'E_OUTPUT_EXISTS')) throw error;
      const plan = await build({ ...request, resume: false, force: true }, ahead);
      const published = await Promise.all(plan.outputs.map(isPublished));
      // Where something else lies, that is what is wrong.
      const isThere = await Promise.all(plan.outputs.map(({ path }) => this.#system.fs.lstat(path).catch(() => null)));
      if (isThere.some((there, k) => there !== null && !published[k])) throw error;
      return plan;
    }
  }
}

/** A request that is prepared while its plan is waited for. */
class PreparedAhead {
  readonly #request: PlanRequest | null;
  readonly #prepared: Promise<Prepared | undefined>;

  constructor(request: PlanRequest | null, signal: AbortSignal | undefined) {
    this.#request = request;
    // What cannot be prepared is told where the plan is adopted: its inputs may have been on their way.
    this.#prepared = request === null ? Promise.resolve(undefined) : prepare(request, signal).catch(() => undefined);
  }

  /** What was prepared, where a record is of the same request. */
  async of(record: PlanRecord): Promise<Prepared | undefined> {
    return this.#request !== null && isOfRequest(record, this.#request) ? this.#prepared : undefined;
  }
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

/**
 * Plans for ranks that this process is going to start: what ranks began before is planned as they did, and what
 * was made of the same members is finished.
 * @throws MergeError as a rank would
 */
export function planForRanks(planner: Planner, options: PlanTools['options']): Promise<PlannedForRanks> {
  return new SharedPlan({ planner, rank: null, system: SYSTEM, options }).ahead();
}
