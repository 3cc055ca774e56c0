import { join } from 'node:path';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError, type Warning } from '../../base/errors.ts';
import { worded } from '../../base/option-words.ts';
import { directionOf } from '../../checkpoints/results/goal.ts';
import type { Score } from '../../checkpoints/results/types.ts';
import type { Outcome } from '../evaluate/evaluator.ts';
import type { Point } from '../gaussian-process/cube.ts';
import type { StudyFolder } from './folder.ts';
import type { LentModel } from './lent-model.ts';
import { isLendable, type StudyMember } from './members.ts';
import { takingPart } from './merges.ts';
import type { Records } from './records.ts';
import { appendTrial, type StudiedMember, type StudyGrowth, type StudyIdentity, storedGoal, type TrialLine } from './trials-file.ts';
import type { StudyEvent, StudyProgress, TrialRequest } from './types.ts';

/** Of the last line of a failed evaluation, what its reason shows. */
const SHOWN_CHARACTERS = 200;

/** Scores a model: what the study does not know of evaluators. */
export type ScoreModel = (
  model: { readonly model: string; readonly trial: number; readonly out: string; readonly log: string },
  options: {
    readonly signal: AbortSignal;
    readonly onRetry: (attempt: number, pauseSeconds: number) => void;
    readonly onWarning: (warning: Warning) => void;
  },
) => Promise<Outcome>;

/** How trials are scored, and where they are kept. */
export interface TrialOptions {
  readonly folder: StudyFolder;
  /** Name of the file of trials in the folder, and of the folders of logs and results. */
  readonly file: string;
  readonly members: readonly StudyMember[];
  /** Members beside these that are not there any more: of merges that are. */
  readonly gone?: readonly StudiedMember[] | undefined;
  readonly identity: StudyIdentity;
  /** How its files tell of it. */
  readonly records: Records;
  /** Trials of an earlier run of the same study. */
  readonly stored: readonly TrialLine[];
  readonly score: ScoreModel;
  /**
   * Another program that `asks` for trials may ask for a recipe again; where it `scores` them too, none waits
   * for another, and failures are its own affair.
   */
  readonly driver: 'asks' | 'scores' | null;
  /** Since its first line was written the study grew: the next one tells of it. */
  readonly grown?: boolean | undefined;
  /** Every trial has to have a score: the first without one ends the study. */
  readonly whole?: boolean | undefined;
  /** Evaluations that come after those of the study, as its validation: for the time that is left. */
  readonly afterwards?: number | undefined;
  readonly emit: (event: StudyEvent) => void;
  /** Told of each trial, scored or not, once it cannot be lost any more. */
  readonly onRecorded?: (() => void) | undefined;
  /** Told of each score once it cannot be lost any more; may end the study by throwing. */
  readonly onScore?: ((score: Score) => void) | undefined;
}

/** A request in its place in a round. */
export interface RoundTrial extends TrialRequest {
  readonly point: Point | null;
  readonly leg: number;
}

/** A round: what its trials record of it, and whether there is time for another one. */
export interface OpenRound extends Pick<TrialLine, 'round' | 'roundSize'> {
  readonly mayBegin: () => boolean;
  /** Evaluations of the whole study; null where they are not known. */
  readonly total: number | null;
}

/** What is scored, and what it cost to make. */
export interface Scorable {
  /** Makes what the evaluation gets. */
  readonly lend: () => Promise<LentModel>;
  readonly mergeSeconds: number;
}

export interface Job {
  readonly id: number;
  readonly request: RoundTrial;
  readonly recipe: string;
  /** The first trial of this recipe, where this is another one. */
  readonly repeatOf: number | null;
  /** What came to the study with this trial: its candidate is over these members. */
  readonly growth?: StudyGrowth | undefined;
}

/** The trials of a study: each is scored, written to disk, and only then told of. */
export class Trials {
  readonly #options: TrialOptions;
  readonly #done: TrialLine[];
  readonly #warnings = new Map<string, Warning>();
  readonly #began = performance.now();
  readonly #before: number;
  #writing: Promise<void> = Promise.resolve();
  #wake: (() => void)[] = [];
  /** Evaluations that were begun, those of earlier runs among them. */
  #begun: number;
  /** Whether the file tells of the study. */
  #told: boolean;

  constructor(options: TrialOptions) {
    this.#options = options;
    this.#done = [...options.stored];
    this.#begun = options.stored.length;
    this.#told = options.stored.length > 0 && options.grown !== true;
    this.#before = Math.max(0, ...options.stored.map(({ elapsed }) => elapsed));
  }

  /** In the order in which they ended. */
  get trials(): readonly TrialLine[] {
    return this.#done;
  }

  get warnings(): readonly Warning[] {
    return [...this.#warnings.values()];
  }

  /** Seconds of work since the study began, over interruptions. */
  get elapsed(): number {
    return this.#before + (performance.now() - this.#began) / 1000;
  }

  /**
   * @throws MergeError E_EVALUATOR for a failure before anything has a score, or where none may be;
   *   E_INPUT_CHANGED where the evaluation wrote into the run; `signal.reason` on an abort
   */
  async evaluate(job: Job, place: OpenRound, { lend, mergeSeconds }: Scorable, signal: AbortSignal): Promise<void> {
    const { folder, file, emit } = this.#options;
    const { id, request } = job;
    const { total } = place;
    emit({
      type: 'evaluating',
      trial: id,
      kind: request.kind,
      params: request.params,
      ...(total === null ? {} : { progress: this.#progress(total) }),
    });
    const label = `${file.replace(/\.jsonl$/, '').replace(/s$/, '')}-${String(id).padStart(4, '0')}`;
    const log = await folder.place('logs', `${label}.log`);
    const out = await folder.place('results', label);
    const outcome = await this.#scored(
      lend,
      { trial: id, out, log },
      {
        signal,
        onRetry: (attempt, pauseSeconds) => emit({ type: 'retry', trial: id, attempt, pauseSeconds }),
        onWarning: (warning) => this.warn([warning]),
      },
    );
    // A failed evaluation leaves no results.
    await SYSTEM.fs.rmdir(out).catch(() => {});
    const trial = await this.take(job, place, outcome, mergeSeconds);
    this.#giveUp(outcome, trial, join(folder.path, 'logs', `${label}.log`));
  }

  /** Writes down what became of a trial, then tells of it. */
  async take(
    { id, request, recipe, repeatOf, growth }: Job,
    { round, roundSize }: Pick<OpenRound, 'round' | 'roundSize'>,
    outcome: Outcome,
    mergeSeconds: number,
  ): Promise<TrialLine> {
    const { members: here, gone = [], identity, emit } = this.#options;
    const members: readonly StudiedMember[] = growth?.members ?? [...here, ...gone];
    const taken = takingPart(request.candidate);
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
      reason: outcome.status === 'complete' ? null : reasonOf(outcome),
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
      higherIsBetter: score === null ? null : identity.goal === null ? score.higherIsBetter : directionOf(identity.goal).sign > 0,
      round,
      roundSize,
      elapsed: this.elapsed,
    };
    await this.#record(trial, growth);
    const { items, ...shown } = trial;
    emit({ type: 'trial', trial: shown });
    if (score !== null) this.#options.onScore?.(score);
    return trial;
  }

  #progress(of: number): StudyProgress {
    const goal = storedGoal({ identity: this.#options.identity, trials: this.#done });
    const scored = this.#done.flatMap(({ id, score }) => (score === null ? [] : [{ trial: id, score }]));
    const best =
      goal === null || scored.length === 0 ? null : scored.reduce((a, b) => (directionOf(goal).better(b.score, a.score) ? b : a));
    const done = this.#done.length;
    return {
      step: ++this.#begun,
      of: Math.max(of, this.#begun),
      best,
      secondsLeft: done === 0 ? null : (this.elapsed / done) * (Math.max(0, of - done) + (this.#options.afterwards ?? 0)),
    };
  }

  /**
   * Metrics that do not fit what one evaluation left, and fitted another's, are that one's failure; so is a
   * file of its checkpoint that cannot be had.
   */
  async #scored(
    lend: Scorable['lend'],
    model: Omit<Parameters<ScoreModel>[0], 'model'>,
    options: Parameters<ScoreModel>[1],
  ): Promise<Outcome> {
    let lent: LentModel | null = null;
    try {
      lent = await lend();
      const { path, check } = lent;
      // After one that fails, too.
      return await this.#options.score({ ...model, model: path }, options).finally(() => (options.signal.aborted ? undefined : check()));
    } catch (error) {
      const before = this.#done.some(({ status }) => status === 'complete');
      const code = error instanceof MergeError ? error.code : null;
      if (!(lent === null ? code === 'E_NOT_READABLE' : before && code === 'E_METRIC')) throw error;
      return { status: 'failed', reason: (error as MergeError).message, lastWords: null, tail: [], cost: null, seconds: 0, attempts: 1 };
    } finally {
      if ((await lent?.takeBack()) === false) this.warn([notRemoved(lent!.path)]);
    }
  }

  /** One line after another, and each on disk before its merge is removed. */
  #record(trial: TrialLine, growth: StudyGrowth | undefined): Promise<void> {
    const { folder, file, identity, records } = this.#options;
    const written = this.#writing.then(async () => {
      const grown = growth && records.growth(growth);
      await appendTrial(join(folder.path, file), records.trial(trial), this.#told ? null : records.identity(identity), grown);
      this.#told = true;
      this.#done.push(trial);
      this.#options.onRecorded?.();
      for (const wake of this.#wake.splice(0)) wake();
    });
    this.#writing = written.catch(() => {});
    return written;
  }

  /**
   * An evaluator that fails on the first model mostly fails on all, and each may take hours: as long as
   * nothing has a score, a failure ends the study.
   */
  #giveUp(outcome: Outcome, { id, weights }: TrialLine, log: string): void {
    const { whole = false, identity, driver, members } = this.#options;
    const first = driver !== 'scores' && outcome.status === 'failed' && !this.#done.some(({ status }) => status === 'complete');
    if (!first && !(whole && outcome.status !== 'complete')) return;
    const { reason, tail } = outcome as Exclude<Outcome, { status: 'complete' }>;
    const validation = identity.kind === 'validation';
    const which = validation
      ? worded`the first evaluation by --validate`
      : first
        ? 'the first evaluation'
        : `the evaluation of trial ${id}`;
    const shown = tail.length === 0 ? 'it printed nothing' : `the end of its output:\n${tail.join('\n')}`;
    const kept = validation
      ? worded`All trials are kept: mend the command, then go on with --resume.`
      : 'Mend the evaluator, then run the same command again.';
    const [alone, ...others] = weights.map(({ path }) => members.find((member) => member.path === path));
    const byHand = alone !== undefined && others.length === 0 && isLendable(alone.checkpoint) ? `, with ${alone.path} as MERGE_MODEL` : '';
    throw new MergeError('E_EVALUATOR', `${which} failed: ${reason}\n$ ${identity.evaluator}\n${shown}`, {
      details: { file: log, command: identity.evaluator },
      help: `Nothing else was tried. ${kept} The first line of the log runs the evaluation by hand${byHand}.`,
    });
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

/** Why there is no score, with the last that the evaluation said. */
function reasonOf({ reason, lastWords }: Exclude<Outcome, { status: 'complete' }>): string {
  if (lastWords === null) return reason;
  return `${reason}: ${lastWords.length > SHOWN_CHARACTERS ? `${lastWords.slice(0, SHOWN_CHARACTERS)}…` : lastWords}`;
}

function notRemoved(path: string): Warning {
  const message = `${path}: what an evaluation wrote there cannot be removed by this user, as a container's root writes it: it is left`;
  return { code: 'W_NOT_REMOVED', message };
}
