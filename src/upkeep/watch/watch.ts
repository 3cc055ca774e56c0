import { relative, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { FolderLock } from '../../base/disk/folder-lock.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { drain, eventStream } from '../../base/event-stream.ts';
import { optionName } from '../../base/option-words.ts';
import { launchedRank, type Rank } from '../../base/process/rank.ts';
import { shownName } from '../../checkpoints/position.ts';
import type { RunCheckpoint } from '../../checkpoints/run/types.ts';
import { loadBinding } from '../../merge/native/load.ts';
import { refuseRankToLaunch } from '../../merge/run.ts';
import { checkHistory } from './history.ts';
import { Keeping } from './keeping.ts';
import { lockWatch } from './lock.ts';
import { sweep } from './made.ts';
import { checkOptions } from './options.ts';
import { type MergeTogether, Rounds } from './round.ts';
import { Scoring } from './scores/scoring.ts';
import { newState, readWatchState, StateWriter, type WatchState } from './state.ts';
import { watchTogether } from './together.ts';
import type { WatchEvent, WatchOptions, WatchRecord, WatchSummary } from './types.ts';
import { DEFAULT_SETTLE, type Look, RunView } from './view.ts';

/** Seconds between two looks. */
const DEFAULT_POLL = 30;
/** How often a round is tried whose members changed or went away meanwhile: the next try has others. */
const TRIES = 3;
const CHANGED = new Set(['E_INPUT_CHANGED', 'E_NOT_FOUND', 'E_SHARD_MISSING']);

/**
 * Watches a run: each time a checkpoint becomes complete, the merge of the window that ends there appears in
 * `output` as `merged-NAME`. Every window once, oldest first, one merge at a time, over restarts too; of what
 * is there before the first start only the newest window is merged. A round that fails is reported and the
 * next one goes on. Ends with `once`, by abort (`signal.reason` is thrown as it is), or when the caller stops
 * reading.
 *
 * Of several ranks with `once` the first leads: it finds out what is due, all make the merges, and each ends with
 * what the first ended with.
 *
 * @throws MergeError E_BUSY where `output` is being watched, E_WATCH_STATE, E_ACCUMULATOR, and usage errors
 *   (exit code 2) that every round would meet
 */
export async function* watchEvents(
  options: WatchOptions,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): AsyncGenerator<WatchEvent, WatchSummary> {
  return yield* eventStream<WatchEvent, WatchSummary>((emit, either) => watchRun(options, emit, either), signal);
}

/** {@link watchEvents} to its end. */
export async function watch(
  options: WatchOptions,
  { signal, onEvent }: { readonly signal?: AbortSignal | undefined; readonly onEvent?: ((event: WatchEvent) => void) | undefined } = {},
): Promise<WatchSummary> {
  return drain(watchEvents(options, { signal }), onEvent);
}

async function watchRun(options: WatchOptions, emit: (event: WatchEvent) => void, signal: AbortSignal): Promise<WatchSummary> {
  signal.throwIfAborted();
  await checkOptions(options);
  loadBinding();
  const rank = launchedRank(process.env, options.ranks);
  if (options.launcher !== undefined) refuseRankToLaunch(rank, options);
  const lead = (lock: FolderLock, together: MergeTogether | null) => watchLocked(options, lock, together, emit, signal);
  if (rank === null) return lead(await lockWatch(options), null);
  if (options.once !== true) throw notOnce(rank);
  return watchTogether({ options, rank, emit, signal, lead });
}

/** @throws MergeError E_USAGE: a watch that goes on is one process */
function notOnce({ rank, size, launcher, single }: Rank): MergeError {
  const [once, launcherOption, ranks] = [optionName('once'), optionName('launcher'), optionName('ranks')];
  return new MergeError('E_USAGE', `a watch that goes on is one process, and this is rank ${rank} of ${size} (${launcher})`, {
    help: `With ${once} the ranks make together what is due now. Or start one process (${single}, or ${ranks} off) and give it ${launcherOption}: then ranks make each of its merges.`,
  });
}

/** What the holder of the watch's lock does. @param together see `RoundTools` */
async function watchLocked(
  options: WatchOptions,
  lock: FolderLock,
  together: MergeTogether | null,
  tell: (event: WatchEvent) => void,
  stopped: AbortSignal,
): Promise<WatchSummary> {
  let scoring: Scoring | null = null;
  let isOver = false;
  // What ends the scoring for good ends the watch.
  const failure = new AbortController();
  const signal = AbortSignal.any([stopped, failure.signal]);
  const emit = (event: WatchEvent): void => {
    scoring?.heard(event);
    tell(event);
  };
  try {
    await checkHistory(options.output, lock.folder);
    await sweep(lock.folder);
    const run = relative(await SYSTEM.fs.realpath(options.output), await SYSTEM.fs.realpath(options.run).catch(() => resolve(options.run)));
    const stored = await readWatchState(lock.folder, run);
    const state = stored ?? newState(run);
    const writer = new StateWriter(lock.folder);
    emit({ type: 'started', run: options.run, output: options.output });
    const view = new RunView(options, { state, fresh: stored === null, writer }, emit);
    const keeping = await Keeping.of(options, { state, writer, lock, emit });
    scoring = await Scoring.of(options, { state, writer, emit, signal, fail: (error) => failure.abort(error) });
    if (scoring !== null) emit({ type: 'scoring', folder: scoring.folder, page: scoring.page, waiting: state.waiting.length });
    const rounds = new Rounds({ options, state, writer, lock, keeping, scoring, emit, signal, together });
    return await new Watch(options, { state, writer, lock, view, rounds, keeping, scoring, emit, signal }).run();
  } catch (error) {
    // Whoever ends a watch that goes on has seen what there is to see.
    isOver = stopped.aborted && !failure.signal.aborted && options.once !== true;
    failure.abort(error);
    throw error;
  } finally {
    await scoring?.end(isOver);
    await lock.release();
  }
}

interface WatchTools {
  readonly state: WatchState;
  readonly writer: StateWriter;
  readonly lock: FolderLock;
  readonly view: RunView;
  readonly rounds: Rounds;
  /** Says which saves to keep; null where nobody asked. */
  readonly keeping: Keeping | null;
  /** Scores what is merged; null where nobody asked. */
  readonly scoring: Scoring | null;
  readonly emit: (event: WatchEvent) => void;
  readonly signal: AbortSignal;
}

class Watch {
  readonly #options: WatchOptions;
  readonly #tools: WatchTools;
  readonly #merges: WatchRecord[] = [];
  readonly #failed: { readonly checkpoint: string; readonly error: MergeError }[] = [];
  readonly #tries = new Map<string, number>();
  readonly #poll: number;
  readonly #settle: number;

  constructor(options: WatchOptions, tools: WatchTools) {
    this.#options = options;
    this.#tools = tools;
    this.#poll = options.poll ?? DEFAULT_POLL;
    this.#settle = options.settle ?? DEFAULT_SETTLE;
  }

  async run(): Promise<WatchSummary> {
    const { view, rounds, keeping, scoring, lock, signal } = this.#tools;
    this.#merges.push(...(await rounds.recover()));
    let waited = false;
    for (;;) {
      const look = await view.look(signal);
      await scoring?.update(look);
      await rounds.trim();
      if (keeping !== null) {
        await lock.assertHeld();
        await keeping.update(look);
      }
      const [next] = look.todo;
      if (next !== undefined && (await this.#whileLooking(this.#round(next, look))) === 'now') continue;
      // Merges come first, of what has still to settle at the first look as well: without it the wrong saves may be copied.
      // Between two copies the run is looked at.
      if (next === undefined && (waited || !look.settling) && keeping !== null && (await this.#whileLooking(keeping.copyNext(signal))))
        continue;
      // With `once` what is complete gets the time to show that it stays so, and nothing gets it twice.
      if (this.#options.once && (waited || !look.settling)) {
        await scoring?.drained();
        await rounds.trim();
        return this.#summary(look);
      }
      waited = true;
      await this.#sleep(this.#options.once ? this.#settle : look.settling ? Math.min(this.#settle, this.#poll) : this.#poll);
    }
  }

  #summary({ run: { checkpoints, broken } }: Look): WatchSummary {
    const looked = {
      checkpoints: checkpoints.length,
      newest: checkpoints.length === 0 ? null : shownName(checkpoints.at(-1)!),
      unusable: broken.length,
    };
    if (this.#merges.length === 0 && this.#failed.length === 0) this.#tools.emit({ type: 'idle', ...looked });
    const { keeping, scoring } = this.#tools;
    keeping?.end();
    const saves = keeping === null ? {} : { saves: keeping.saves };
    const failed = [...this.#failed, ...(keeping?.failed ?? []), ...(scoring?.failed ?? [])];
    return { schema: 'ckpt-merge/watch', version: 1, merges: this.#merges, failed, looked, ...saves };
  }

  /** Looks go on beside a round: the trainer may delete what has to be pinned while a hook takes its hour. */
  async #whileLooking<T>(work: Promise<T>): Promise<T> {
    if (this.#options.pin === undefined) return work;
    const ended = new AbortController();
    const looking = (async () => {
      while (!ended.signal.aborted) {
        await wait(this.#poll * 1000, undefined, { signal: AbortSignal.any([ended.signal, this.#tools.signal]) }).catch(() => {});
        if (ended.signal.aborted || this.#tools.signal.aborted) return;
        await this.#tools.view.look(this.#tools.signal);
      }
    })().catch(() => {
      // The look after the round meets it again, and reports it.
    });
    try {
      return await work;
    } finally {
      ended.abort();
      await looking;
    }
  }

  /** One round. @returns whether the next thing can be done now, or only at the next look */
  async #round(end: RunCheckpoint, look: Look): Promise<'now' | 'later'> {
    const { rounds, view, signal } = this.#tools;
    try {
      const records = await rounds.round(end, look);
      if (typeof records === 'string') view.say(end.path, end.step, records);
      else this.#merges.push(...records);
      this.#tries.delete(end.name);
      return 'now';
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof MergeError)) throw error;
      return this.#failure(end, look, error);
    }
  }

  async #failure(end: RunCheckpoint, look: Look, error: MergeError): Promise<'now' | 'later'> {
    const { state, writer, lock, rounds, emit } = this.#tools;
    // Whoever took over says what became of it.
    await lock.assertHeld();
    // Every round would meet it: the command is at fault, or somebody has to decide.
    if (error.exitCode === 2 || error.code === 'E_ACCUMULATOR') throw error;
    const tries = (this.#tries.get(end.name) ?? 0) + 1;
    this.#tries.set(end.name, tries);
    const machine = error.exitCode !== 3 && error.exitCode !== 4;
    const bad = error.code === 'E_NONFINITE' ? look.run.checkpoints.find(({ path }) => path === error.details.file) : undefined;
    if (bad !== undefined) state.bad.set(bad.name, look.signatures.get(bad.name)!);
    const othersLeft = bad !== undefined && bad.name !== end.name && this.#options.accumulate === undefined;
    const again = machine || othersLeft || (CHANGED.has(error.code) && tries < TRIES);
    // A full disk stays full for many looks: it is said once.
    if (!machine || tries === 1) {
      this.#failed.push({ checkpoint: shownName(end), error });
      emit({ type: 'failed', checkpoint: shownName(end), error, again });
      if (!machine) await rounds.fail(end, error);
    }
    state.pending = null;
    if (!again) {
      state.done.set(end.name, look.signatures.get(end.name)!);
      this.#tries.delete(end.name);
    }
    if (!machine) await writer.save(state);
    return again && !othersLeft && (machine || !this.#options.once) ? 'later' : 'now';
  }

  async #sleep(seconds: number): Promise<void> {
    const { signal } = this.#tools;
    // A timer may come a little early.
    await wait(seconds * 1000 + 2, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}
