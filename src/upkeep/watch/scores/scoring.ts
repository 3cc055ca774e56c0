import { join } from 'node:path';
import { MergeError } from '../../../base/errors.ts';
import { UNSAID } from '../../../checkpoints/results/goal.ts';
import { difference } from '../../../search/conclusion/difference.ts';
import type { Difference } from '../../../search/conclusion/types.ts';
import type { Outcome } from '../../../search/evaluate/evaluator.ts';
import type { Job } from '../../../search/study/trials.ts';
import type { TrialLine } from '../../../search/study/trials-file.ts';
import type { StudyEvent } from '../../../search/study/types.ts';
import { digestOf } from '../made.ts';
import type { StateWriter, WatchState } from '../state.ts';
import type { WatchEvent, WatchOptions } from '../types.ts';
import type { Look } from '../view.ts';
import { growthOf } from './arms.ts';
import { GivenResults } from './given.ts';
import { WatchLender } from './lend.ts';
import { LivePage } from './live-page.ts';
import { isScored } from './options.ts';
import { inOrder, modelKey, nameOf, type Waiting } from './queue.ts';
import { openWatchStudy, type WatchStudy } from './study.ts';

/** Seconds after which what failed by this machine is tried again, where nothing says how often a watch looks. */
const DEFAULT_POLL = 30;
/** Models without a score that the state remembers, newest last. */
const MOST_UNSCORED = 200;

interface ScoringTools {
  readonly state: WatchState;
  readonly writer: StateWriter;
  readonly emit: (event: WatchEvent) => void;
  readonly signal: AbortSignal;
  /** Ends the watch. */
  readonly fail: (error: unknown) => void;
}

/**
 * Scores what a watch merges, and each new checkpoint alone, beside the rounds. What waits is in the state of the watch,
 * and leaves it when its score is on disk: none is lost, and none is scored twice. One whose evaluation failed gets
 * another at the next start of the watch.
 */
export class Scoring {
  readonly #options: WatchOptions;
  readonly #tools: ScoringTools;
  readonly #study: WatchStudy;
  readonly #lender: WatchLender;
  readonly #given: GivenResults | null;
  readonly #page: LivePage;
  /** What is being scored. */
  readonly #running = new Map<Waiting, Promise<void>>();
  readonly #failed: { readonly checkpoint: string; readonly error: MergeError }[] = [];
  readonly #warned = new Set<string>();
  #look: Look | null = null;
  #nextTrial: number;
  /** Until then nothing is begun, because this machine failed. */
  #restsUntil = 0;

  private constructor(options: WatchOptions, tools: ScoringTools, study: WatchStudy) {
    this.#options = options;
    this.#tools = tools;
    this.#study = study;
    this.#lender = new WatchLender(options, study.folder);
    const { trials } = study.trials;
    this.#given = options.scores === undefined ? null : new GivenResults(options.scores, options, study.identity(), trials);
    this.#nextTrial = trials.reduce((most, { id }) => Math.max(most, id), -1) + 1;
    this.#page = new LivePage({
      options,
      study,
      state: tools.state,
      running: () => this.#running.keys(),
      fail: (error) => this.#warn(error),
    });
  }

  /** Goes on with the scores of an earlier start; null where nothing is scored. @throws MergeError of {@link openWatchStudy} */
  static async of(options: WatchOptions, tools: ScoringTools): Promise<Scoring | null> {
    if (!isScored(options)) return null;
    let scoring: Scoring | null = null;
    const study = await openWatchStudy(options, tools.signal, (event) => scoring?.heardOfStudy(event));
    scoring = new Scoring(options, tools, study);
    await scoring.#begin();
    return scoring;
  }

  get folder(): string {
    return this.#study.folder.path;
  }

  /** Path of a log beside those of the evaluations. */
  logOf(name: string): Promise<string> {
    return this.#study.folder.place('logs', `${name}.log`);
  }

  /** Where the page is. */
  get page(): string {
    return this.#page.path;
  }

  /** Merges that have still to be scored, and stay until they are; of results that are given none: their maker knows. */
  get held(): ReadonlySet<string> {
    return new Set(this.#given === null ? this.#tools.state.waiting.flatMap(({ output }) => output ?? []) : []);
  }

  /** Evaluations that failed. */
  get failed(): readonly { readonly checkpoint: string; readonly error: MergeError }[] {
    return this.#failed;
  }

  /** What the watch does, for the page. */
  heard(event: WatchEvent): void {
    this.#page.heard(event);
  }

  heardOfStudy(event: StudyEvent): void {
    if (event.type === 'warning') this.#tools.emit({ type: 'warning', warning: event.warning });
    else if (event.type === 'retry') this.#tools.emit(event);
  }

  /** What a look found: scores what waits, as far as there are hands for it; or reads the results that came. */
  async update(look: Look): Promise<void> {
    this.#look = look;
    if (this.#given === null) this.#start();
    else await this.#readGiven(this.#given, look);
  }

  /** Waits until nothing waits any more that can be scored now. @throws signal.reason when aborted */
  async drained(): Promise<void> {
    for (;;) {
      this.#tools.signal.throwIfAborted();
      if (this.#given === null) this.#start();
      if (this.#running.size === 0) return;
      await Promise.race(this.#running.values());
    }
  }

  /**
   * Waits for evaluations to end, which they do when the watch is aborted, and writes the page for the last time.
   * @param isOver whether the watch is: then conclusions are drawn
   */
  async end(isOver: boolean): Promise<void> {
    await Promise.allSettled(this.#running.values());
    await this.#page.end(isOver);
    await this.#study.close();
  }

  /** What a kill left between a score and the state; failures get another try. */
  async #begin(): Promise<void> {
    const { state, writer } = this.#tools;
    const scored = new Set(this.#study.trials.trials.flatMap(({ recipe, score }) => (score === null ? [] : [recipe])));
    // A watch that has not looked yet has no state on disk: by that its first start is known.
    if (state.unscored.length === 0 && state.waiting.length === 0) return this.#page.draw();
    const again = state.unscored.filter((one) => one.again);
    state.unscored = state.unscored.filter((one) => !one.again);
    const waiting = new Map([...again.map(({ reason, again: _, ...one }) => one), ...state.waiting].map((one) => [modelKey(one), one]));
    state.waiting = inOrder([...waiting.values()].filter((one) => !scored.has(modelKey(one))));
    await writer.save(state);
    this.#page.draw();
  }

  #start(): void {
    const { state, signal } = this.#tools;
    const { parallel = 1 } = this.#options;
    for (const waiting of inOrder(state.waiting)) {
      if (signal.aborted || this.#running.size >= parallel || performance.now() < this.#restsUntil) return;
      if ([...this.#running.keys()].some((one) => modelKey(one) === modelKey(waiting))) continue;
      const work = this.#score(waiting)
        .catch((error: unknown) => this.#failure(waiting, error))
        .catch((error: unknown) => this.#tools.fail(error))
        .finally(() => {
          this.#running.delete(waiting);
          this.#start();
        });
      this.#running.set(waiting, work);
    }
  }

  async #score(waiting: Waiting): Promise<void> {
    const { signal, emit, state } = this.#tools;
    const place = await this.#placeOf(waiting);
    if ('reason' in place) return this.#leave(waiting, place.reason, false);
    await this.#study.setup();
    const job = this.#jobOf(waiting);
    emit({ type: 'evaluating', name: nameOf(waiting), step: waiting.step, window: waiting.window, waiting: state.waiting.length - 1 });
    const lend = () => this.#lender.lend(place.path, job.id, signal);
    const round = { round: job.id, roundSize: 1, total: null, mayBegin: () => true };
    await this.#study.trials.evaluate(job, round, { lend, mergeSeconds: 0 }, signal);
    await this.#told(waiting, job.id);
  }

  #jobOf(waiting: Waiting): Job {
    const { kind, step, output, members } = waiting;
    const recipe = modelKey(waiting);
    const repeatOf = this.#study.trials.trials.find((trial) => trial.recipe === recipe)?.id ?? null;
    const candidate = { weights: members.map(({ weight }) => weight), of: [...members.keys()], parts: [] };
    const what = kind === 'single' ? ({ kind, params: { step } } as const) : ({ kind: 'output', params: { output: output! } } as const);
    const request = { ...what, candidate, point: null, leg: 0 };
    const { run, saves } = this.#look!;
    const saved = [...run.checkpoints, ...saves.checkpoints].find(({ name }) => name === waiting.checkpoint);
    const growth = growthOf(this.#options, waiting, saved);
    this.#study.grow(growth);
    return { id: this.#nextTrial++, request, recipe, repeatOf, growth };
  }

  /** Where a model lies, or why it cannot be scored. */
  async #placeOf({
    kind,
    checkpoint,
    signature,
    output,
    digest,
  }: Waiting): Promise<{ readonly path: string } | { readonly reason: string }> {
    if (kind === 'merge') {
      const path = join(this.#options.output, output!);
      const there = await digestOf(path);
      if (there === digest) return { path };
      return { reason: there === undefined ? 'it is not there any more' : 'something else lies in its place' };
    }
    const { run, saves, signatures } = this.#look!;
    const found = [...run.checkpoints, ...saves.checkpoints].find(({ name }) => name === checkpoint);
    if (found === undefined) return { reason: 'its trainer deleted it before it could be scored' };
    return signatures.get(checkpoint) === signature ? { path: found.path } : { reason: 'the run has another one of its name' };
  }

  /** Tells of a model that has its trial. */
  async #told(waiting: Waiting, id: number): Promise<void> {
    const { state, emit } = this.#tools;
    const trial = this.#study.trials.trials.findLast((one) => one.id === id)!;
    if (trial.status !== 'complete') {
      const log = join(this.#study.folder.path, 'logs', `trial-${String(id).padStart(4, '0')}.log`);
      const reason = trial.reason ?? trial.status;
      this.#failed.push({
        checkpoint: nameOf(waiting),
        error: new MergeError('E_EVALUATOR', `${nameOf(waiting)} has no score: ${reason}`, {
          details: this.#given === null ? { file: log } : {},
        }),
      });
      return this.#leave(waiting, reason, true, this.#given === null ? log : null);
    }
    await this.#drop(waiting);
    const { kind, checkpoint, step, tokens, window } = waiting;
    const { score, stderr, seconds } = trial;
    emit({
      ...{ type: 'scored', name: nameOf(waiting), kind, checkpoint, step, tokens, window, trial: id, score: score!, stderr, seconds },
      ...this.#besideSingle(waiting, trial),
      waiting: state.waiting.length,
    });
    this.#page.draw();
  }

  /** The checkpoint alone that a merge ends at, and how much better the merge is: positive is better. */
  #besideSingle(
    { kind, checkpoint, signature }: Waiting,
    trial: TrialLine,
  ): { readonly single: number | null; readonly over: Difference | null } {
    const recipe = modelKey({ kind: 'single', checkpoint, signature, digest: null });
    const single = this.#study.trials.trials.find((one) => one.recipe === recipe && one.score !== null);
    if (kind === 'single' || single === undefined) return { single: null, over: null };
    const scored = ({ score, stderr, items }: TrialLine) => ({ score: score!, stderr, items });
    return { single: single.score, over: difference(scored(trial), scored(single), this.#study.goal() ?? UNSAID) };
  }

  async #drop(waiting: Waiting): Promise<void> {
    const { state, writer } = this.#tools;
    const recipe = modelKey(waiting);
    state.waiting = state.waiting.filter((one) => modelKey(one) !== recipe);
    await writer.save(state);
  }

  /** Gives a model up. @param again whether the next start of the watch tries it once more */
  async #leave(waiting: Waiting, reason: string, again: boolean, log: string | null = null): Promise<void> {
    const { state, emit } = this.#tools;
    state.unscored = [...state.unscored, { ...waiting, reason, again }].slice(-MOST_UNSCORED);
    await this.#drop(waiting);
    emit({ type: 'unscored', name: nameOf(waiting), step: waiting.step, reason, log, waiting: state.waiting.length });
    this.#page.draw();
  }

  /** @throws what ends the watch */
  async #failure(waiting: Waiting, error: unknown): Promise<void> {
    const { signal } = this.#tools;
    if (signal.aborted) return;
    // The command is at fault, or another process took over: each evaluation would meet it.
    if (!(error instanceof MergeError) || error.exitCode === 2 || error.code === 'E_SEARCH_BUSY') throw error;
    if (error.exitCode === 3 || error.exitCode === 4) {
      this.#failed.push({ checkpoint: nameOf(waiting), error });
      return this.#leave(waiting, error.message, true);
    }
    this.#restsUntil = performance.now() + 1000 * (this.#options.poll ?? DEFAULT_POLL);
    this.#warn(error);
  }

  /** Says once what this machine cannot do now, and will be tried again. */
  #warn(error: unknown): void {
    if (!(error instanceof MergeError)) {
      this.#tools.fail(error);
      return;
    }
    if (this.#warned.has(error.message)) return;
    this.#warned.add(error.message);
    this.#tools.emit({ type: 'warning', warning: { code: 'W_SCORES', message: `scoring waits: ${error.message}` } });
  }

  async #readGiven(given: GivenResults, { todo, settling }: Look): Promise<void> {
    const { state, signal, emit } = this.#tools;
    const isSettled = todo.length === 0 && !settling;
    const { results, warnings } = await given.read(inOrder(state.waiting), { isSettled, signal });
    for (const warning of warnings) emit({ type: 'warning', warning });
    for (const { waiting, outcome } of results) await this.#take(waiting, outcome);
  }

  async #take(waiting: Waiting, outcome: Outcome): Promise<void> {
    const job = this.#jobOf(waiting);
    await this.#study.trials.take(job, { round: job.id, roundSize: 1 }, outcome, 0);
    await this.#told(waiting, job.id);
  }
}
