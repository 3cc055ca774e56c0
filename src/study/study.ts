import { rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { mapBounded } from '../checkpoint/map-bounded.ts';
import { MergeError, type Warning } from '../errors.ts';
import type { Outcome } from '../evaluate/evaluator.ts';
import type { Score } from '../evaluate/types.ts';
import type { Point } from '../gp/types.ts';
import { groupBy } from '../group-by.ts';
import { policiesOf } from '../policy/keys.ts';
import { policyText } from '../policy/text.ts';
import { newId } from '../publish/owner.ts';
import { recipeKey } from '../space/key.ts';
import type { Candidate } from '../space/types.ts';
import type { StudyFolder, WorkFolder } from './folder.ts';
import type { StudyMember } from './members.ts';
import { type MergeRequest, Merger, type MergeSettings, mergePath, recipeOf } from './merges.ts';
import { appendTrial, type StudyIdentity, type TrialLine } from './trials-file.ts';
import type { StudyEvent, TrialRequest } from './types.ts';

/** Outputs of one read: each costs a buffer in every tile. */
const MOST_OUTPUTS = 16;
/** Merges that are left for a driver that asks for the same recipe again. */
const MOST_REMEMBERED = 4;
/** Trials that fail one after another at the start of a study, before it is given up. */
const FAILURES_AT_START = 3;

/** Scores a model: what the study does not know of evaluators. */
export type ScoreModel = (
  model: { readonly model: string; readonly trial: number; readonly out: string; readonly log: string },
  options: {
    readonly signal: AbortSignal;
    readonly onRetry: (attempt: number, pauseSeconds: number) => void;
    readonly onWarning: (warning: Warning) => void;
  },
) => Promise<Outcome>;

export interface StudyOptions {
  readonly folder: StudyFolder;
  /** Name of the file of trials in the folder, and of the folders of logs and results. */
  readonly file: string;
  readonly members: readonly StudyMember[];
  readonly identity: StudyIdentity;
  /** Trials of an earlier run of the same study. */
  readonly stored: readonly TrialLine[];
  readonly merging: MergeSettings;
  readonly work: WorkFolder;
  /** Bytes of a merge. */
  readonly bytes: number;
  readonly score: ScoreModel;
  readonly parallel: number;
  /** Another program that `asks` for trials may ask for a recipe again; where it `scores` them too, none waits for another, and failures are its own affair. */
  readonly driver: 'asks' | 'scores' | null;
  /** Leave the merges of trials where they were made. */
  readonly keep: boolean;
  readonly emit: (event: StudyEvent) => void;
  /** Told of each score once it cannot be lost any more; may end the study by throwing. */
  readonly onScore?: ((score: Score) => void) | undefined;
}

/** A request in its place in a round. */
export interface RoundRequest extends TrialRequest {
  readonly point: Point | null;
  readonly leg: number;
}

/** A round: what its trials record of it, and whether there is time for another one. */
interface Place extends Pick<TrialLine, 'round' | 'roundSize'> {
  readonly mayBegin: () => boolean;
}

interface Job {
  readonly id: number;
  readonly request: RoundRequest;
  readonly recipe: string;
  /** The first trial of this recipe, where this is another one. */
  readonly repeatOf: number | null;
}

/**
 * Scores recipes over the checkpoints of a run, each merged once and scored in its turn, and keeps what became of them in a file that a kill cannot harm: a
 * trial is there with its score, or it is not there and is done again.
 */
export class Study {
  readonly #options: StudyOptions;
  readonly #merger: Merger;
  readonly #trials: TrialLine[];
  readonly #warnings = new Map<string, Warning>();
  readonly #began = performance.now();
  readonly #before: number;
  #writing: Promise<void> = Promise.resolve();
  #merging: Promise<unknown> = Promise.resolve();
  /** Merges of scored recipes that are still there, the oldest first. */
  readonly #remembered = new Map<string, string>();
  #wake: (() => void)[] = [];

  constructor(options: StudyOptions) {
    this.#options = options;
    this.#merger = new Merger(options.members, options.merging);
    this.#trials = [...options.stored];
    this.#before = Math.max(0, ...options.stored.map(({ elapsed }) => elapsed));
  }

  /** In the order in which they ended. */
  get trials(): readonly TrialLine[] {
    return this.#trials;
  }

  get warnings(): readonly Warning[] {
    return [...this.#warnings.values()];
  }

  get merger(): Merger {
    return this.#merger;
  }

  /** Seconds of work since the study began, over interruptions. */
  get elapsed(): number {
    return this.#before + (performance.now() - this.#began) / 1000;
  }

  keyOf(candidate: Candidate): string {
    return keyOf(candidate, this.#options.members, this.#options.merging);
  }

  /**
   * Scores the recipes of a round, as far as no earlier run of the study did: those that need a merge are merged in as few reads as the work folder has room for.
   * @param first id of the first of them
   * @param mayBegin asked before each trial; those for which it says no are left undone
   * @returns the round's trials that are done, in the order of the requests
   * @throws MergeError E_EVALUATOR after three failures at the start; whatever merging throws; `signal.reason` on an abort
   */
  async round(
    first: number,
    requests: readonly RoundRequest[],
    signal: AbortSignal,
    mayBegin: () => boolean = () => true,
  ): Promise<readonly TrialLine[]> {
    const done = new Map(this.#trials.map((trial) => [trial.id, trial]));
    const firstOf = new Map<string, number>();
    for (const { id, recipe } of [...this.#trials].sort((a, b) => a.id - b.id)) if (!firstOf.has(recipe)) firstOf.set(recipe, id);
    const all = requests.map((request, i): Job => {
      const id = first + i;
      const recipe = this.keyOf(request.candidate);
      const before = firstOf.get(recipe) ?? id;
      firstOf.set(recipe, before);
      return { id, request, recipe, repeatOf: before === id ? null : before };
    });
    const jobs = all.filter(({ id }) => !done.has(id));
    const alone = jobs.filter(({ request }) => this.#asItIs(request.candidate) !== null);
    const merged = jobs.filter((job) => !alone.includes(job));
    const place = { round: first, roundSize: requests.length, mayBegin };
    const recipes = [...groupBy(merged, ({ recipe }) => recipe).values()];
    const atOnce = Math.max(1, Math.min(MOST_OUTPUTS, this.room));
    const batches = Array.from({ length: Math.ceil(recipes.length / atOnce) }, (_, i) => recipes.slice(i * atOnce, (i + 1) * atOnce));
    const work = [
      () => this.#each(alone, place, (job) => ({ model: this.#asItIs(job.request.candidate)!, mergeSeconds: 0 }), signal),
      ...batches.map((batch) => () => this.#mergedBatch(batch, place, signal)),
    ];
    if (this.#options.driver === 'scores') await Promise.all(work.map((part) => part()));
    else for (const part of work) await part();
    return requests.flatMap((_, i) => this.#trials.find(({ id }) => id === first + i) ?? []);
  }

  /** How many merges fit into the work folder, beside those that are remembered. */
  get room(): number {
    const { work, bytes, driver } = this.#options;
    const room = Math.floor(work.room / Math.max(1, bytes));
    return Math.max(1, driver === null ? room : room - MOST_REMEMBERED);
  }

  /** A checkpoint alone is scored as it lies there, unless something else than weights is asked for. */
  #asItIs(candidate: Candidate): string | null {
    const { members, weights, parts } = recipeOf(candidate);
    const { merging } = this.#options;
    const changed = merging.dtype !== undefined || policiesOf(merging).length > 0 || merging.like !== undefined;
    return members.length === 1 && weights[0] === 1 && parts.every((part) => part.weights[0] === 1) && !changed
      ? this.#options.members[members[0]!]!.path
      : null;
  }

  /** @param recipes trials of equal recipes: of them one merge is made, which all but the first only score again */
  async #mergedBatch(recipes: readonly (readonly Job[])[], place: Place, signal: AbortSignal): Promise<void> {
    const { work, members, folder } = this.#options;
    if (!place.mayBegin()) return;
    await folder.assertHeld();
    const held = new Map<string, string>();
    const fresh: MergeRequest[] = [];
    for (const [job] of recipes) {
      const { id, recipe, request } = job!;
      const path = this.#remembered.get(recipe) ?? mergePath(work.path, id, members, newId());
      if (!this.#remembered.delete(recipe)) fresh.push({ path, candidate: request.candidate });
      held.set(recipe, path);
    }
    const jobs = recipes.flat();
    const left = new Map(recipes.map((same) => [same[0]!.recipe, same.length]));
    try {
      const share = fresh.length === 0 ? 0 : (await this.#merge(fresh, jobs, signal)) / fresh.length;
      const isFresh = new Set(fresh.map(({ path }) => path));
      const model = ({ recipe, repeatOf }: Job) => {
        const path = held.get(recipe)!;
        return { model: path, mergeSeconds: isFresh.has(path) && repeatOf === null ? share : 0 };
      };
      await this.#each(jobs, place, model, signal, async ({ recipe }) => {
        left.set(recipe, left.get(recipe)! - 1);
        if (left.get(recipe)! > 0) return;
        await this.#release(recipe, held.get(recipe)!);
        held.delete(recipe);
      });
    } finally {
      if (!this.#options.keep) for (const path of held.values()) await rm(path, { recursive: true, force: true });
    }
  }

  /** One read after another: two at a time would need the memory of two. @returns seconds */
  #merge(requests: readonly MergeRequest[], jobs: readonly Job[], signal: AbortSignal): Promise<number> {
    const merged = this.#merging.then(async () => {
      this.#options.emit({ type: 'merging', trials: jobs.map(({ id }) => id), members: this.#options.members.length });
      const { seconds, warnings } = await this.#merger.make(requests, { signal });
      this.warn(warnings);
      return seconds;
    });
    this.#merging = merged.catch(() => {});
    return merged;
  }

  /** Removes a merge, or remembers it in the place of the one that was remembered longest. */
  async #release(recipe: string, path: string): Promise<void> {
    const { keep, driver } = this.#options;
    if (keep) return;
    this.#remembered.set(recipe, path);
    for (const [other, old] of this.#remembered) {
      if (this.#remembered.size <= (driver === null ? 0 : MOST_REMEMBERED)) return;
      this.#remembered.delete(other);
      await rm(old, { recursive: true, force: true });
    }
  }

  async #each(
    jobs: readonly Job[],
    place: Place,
    modelOf: (job: Job) => { readonly model: string; readonly mergeSeconds: number },
    signal: AbortSignal,
    after: (job: Job) => Promise<void> = async () => {},
  ): Promise<void> {
    // One that fails for good ends the others: what they were doing would be lost anyway.
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    let failure: unknown;
    await mapBounded(jobs, this.#options.parallel, async (job) => {
      if (either.aborted || !place.mayBegin()) return;
      try {
        await this.#evaluate(job, place, modelOf(job), either);
        await after(job);
      } catch (error) {
        failure ??= signal.aborted ? signal.reason : error;
        stop.abort(error);
      }
    });
    signal.throwIfAborted();
    if (failure !== undefined) throw failure;
  }

  async #evaluate(
    { id, request, recipe, repeatOf }: Job,
    { round, roundSize }: Place,
    { model, mergeSeconds }: { readonly model: string; readonly mergeSeconds: number },
    signal: AbortSignal,
  ): Promise<void> {
    const { folder, file, emit, members, identity } = this.#options;
    emit({ type: 'evaluating', trial: id, kind: request.kind, params: request.params });
    const label = `${file.replace(/\.jsonl$/, '').replace(/s$/, '')}-${String(id).padStart(4, '0')}`;
    const log = await folder.place('logs', `${label}.log`);
    const out = await folder.place('results', label);
    const outcome = await this.#scored(
      { model, trial: id, out, log },
      {
        signal,
        onRetry: (attempt, pauseSeconds) => emit({ type: 'retry', trial: id, attempt, pauseSeconds }),
        onWarning: (warning) => this.warn([warning]),
      },
    );
    // A failed evaluation leaves no results.
    await rmdir(out).catch(() => {});
    const taken = recipeOf(request.candidate);
    const score = outcome.status === 'complete' ? outcome.score : null;
    const trial: TrialLine = {
      id,
      kind: request.kind,
      params: request.params,
      weights: taken.members.map((m, i) => ({ path: members[m]!.path, step: members[m]!.step, weight: taken.weights[i]! })),
      parts: taken.parts,
      recipe,
      status: outcome.status,
      score: score?.score ?? null,
      stderr: score?.stderr ?? null,
      metrics: score?.metrics ?? {},
      source: score?.source ?? null,
      reason: outcome.status === 'complete' ? null : outcome.reason,
      by: request.by ?? null,
      proposals: request.proposals ?? null,
      repeatOf,
      seconds: outcome.seconds,
      mergeSeconds,
      cost: outcome.status === 'complete' ? outcome.score.cost : outcome.cost,
      time: new Date().toISOString(),
      items: score?.items ?? null,
      point: request.point,
      leg: request.leg,
      higherIsBetter: score === null ? null : identity.goal === null ? score.higherIsBetter : identity.goal === 'maximize',
      round,
      roundSize,
      elapsed: this.elapsed,
    };
    await this.#record(trial);
    const { items, ...shown } = trial;
    emit({ type: 'trial', trial: shown });
    if (score !== null) this.#options.onScore?.(score);
    this.#giveUp(outcome, join(folder.path, 'logs', `${label}.log`));
  }

  /** Metrics that do not fit what one evaluation left, and fitted another's, are that one's failure. */
  async #scored(...args: Parameters<ScoreModel>): Promise<Outcome> {
    try {
      return await this.#options.score(...args);
    } catch (error) {
      const before = this.#trials.some(({ status }) => status === 'complete');
      if (!before || !(error instanceof MergeError) || error.code !== 'E_METRIC') throw error;
      return { status: 'failed', reason: error.message, tail: [], cost: null, seconds: 0, attempts: 1 };
    }
  }

  /** One line after another, and each on disk before its merge is removed. */
  #record(trial: TrialLine): Promise<void> {
    const { folder, file, identity } = this.#options;
    const written = this.#writing.then(async () => {
      await appendTrial(join(folder.path, file), trial, this.#trials.length === 0 ? identity : null);
      this.#trials.push(trial);
      for (const wake of this.#wake.splice(0)) wake();
    });
    this.#writing = written.catch(() => {});
    return written;
  }

  #giveUp(outcome: Outcome, log: string): void {
    if (this.#options.driver === 'scores' || outcome.status !== 'failed' || this.#trials.length < FAILURES_AT_START) return;
    if (this.#trials.length > FAILURES_AT_START || this.#trials.some(({ status }) => status !== 'failed')) return;
    const [what, next] =
      this.#options.identity.kind === 'validation'
        ? ['evaluations by --validate', 'All trials are kept: mend the command, then go on with --resume.']
        : ['trials', 'Mend the evaluator, then run the same command again.'];
    throw new MergeError(
      'E_EVALUATOR',
      `the first ${FAILURES_AT_START} ${what} failed; the last: ${outcome.reason}\n${outcome.tail.join('\n')}`.trimEnd(),
      { details: { file: log }, help: `The whole log is in ${log}. ${next}` },
    );
  }

  /** Resolves when the next trial is recorded. */
  nextTrial(): Promise<void> {
    return new Promise((done) => this.#wake.push(done));
  }

  /** Says a warning once. */
  warn(warnings: readonly Warning[]): void {
    for (const warning of warnings) {
      if (this.#warnings.has(warning.message)) continue;
      this.#warnings.set(warning.message, warning);
      this.#options.emit({ type: 'warning', warning });
    }
  }
}

/** What identifies a recipe of a study. */
export function keyOf(candidate: Candidate, members: readonly StudyMember[], merging: MergeSettings): string {
  return recipeKey({
    candidate,
    fingerprints: members.map(({ fingerprint }) => fingerprint),
    policies: policiesOf(merging).map(policyText),
    dtype: merging.dtype ?? null,
  });
}
