import { resolve } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { MergeError } from '../../base/errors.ts';
import { directionOf } from '../../checkpoints/results/goal.ts';
import { unfounded } from '../conclusion/headline.ts';
import type { Outcome } from '../evaluate/evaluator.ts';
import type { Params } from '../space/types.ts';
import { runRounds } from '../study/rounds.ts';
import type { RoundTrial, ScoreModel } from '../study/trials.ts';
import type { TrialLine } from '../study/trials-file.ts';
import type { StudyEvent, Trial } from '../study/types.ts';
import { type Asked, AskTellSession, type Driver } from './ask-tell.ts';
import type { Told } from './ask-tell-message.ts';
import { overAll } from './legs.ts';
import { checkSearch, type SearchOptions } from './options.ts';
import { checkOutput, finishSearch } from './result.ts';
import { nextAsked, roundsOf } from './rounds.ts';
import { keepSearchLive, type OpenSearch, openSearch, searchFolder, wrapUp } from './search.ts';
import type { SearchDocument } from './types.ts';

export interface DriveOptions extends Omit<SearchOptions, 'eval'> {
  /** Scores what the driver proposes; where it is absent, the driver scores. */
  readonly eval?: SearchOptions['eval'] | undefined;
}

/**
 * A search that another program drives by messages (see {@link AskTellSession}): it proposes recipes or asks
 * for them, and scores the merges or has the evaluator score them. Everything else is as in `search`: state,
 * one merge a recipe, conclusion, report, output.
 *
 * @throws MergeError E_GOAL where the driver scores and `goal` is not given; E_OPTION for a chain; what
 *   `search` throws
 */
export async function driveSearch(
  given: DriveOptions,
  { input, output }: { readonly input: Readable; readonly output: Writable },
  emit: (event: StudyEvent) => void,
  signal: AbortSignal,
): Promise<SearchDocument> {
  const { goal } = given;
  if (given.pairwiseChain)
    throw new MergeError('E_OPTION', 'a chain of pairs is several searches, and a driver drives one', {
      help: 'Drive each pair by itself, with --steps.',
    });
  if (given.eval === undefined && goal === undefined)
    throw new MergeError('E_GOAL', 'are larger or smaller scores better? The driver scores, and nothing says it');
  const desk = given.eval === undefined ? new ScoreDesk() : null;
  const options = searchFolder({ ...given, eval: given.eval ?? 'ask-tell' });
  checkSearch(options);
  const open = await openSearch(options, emit, signal, { score: desk?.score });
  const { session, rounds } = open;
  const ending = new AbortController();
  try {
    await checkOutput(options, session, signal);
    await keepSearchLive(session);
    // Baselines come first where there is an evaluator; a driver that scores is handed them.
    if (desk === null) await runRounds(session, roundsOf({ ...rounds, trials: 2 }), { budget: options.budget, signal });
    const driver = new SearchDriver(open, desk, AbortSignal.any([signal, ending.signal]));
    const talk = new AskTellSession({
      ...{ input, output, driver, space: rounds.legs[0]!.space },
      goal: session.goal(),
      trials: session.study.trials.map(asAsked),
    });
    await talk.run(signal);
    ending.abort(new Error('the driver ended the search'));
    await driver.settled();
    try {
      const document = await wrapUp(options, session, 'driver', signal);
      await talk.conclude({ ...document.conclusion, best: document.best }, signal);
      return document;
    } catch (error) {
      if (error instanceof MergeError && error.code === 'E_NO_TRIAL')
        await talk.conclude({ ...unfounded(error.message), best: null }, signal);
      throw error;
    }
  } catch (error) {
    ending.abort(new Error('the search ended'));
    // What is there is shown as well as it can be: a page that says that it is under way must not stay.
    await finishSearch(options, session, { ended: 'interrupted', validation: undefined }).catch(() => {});
    throw error;
  } finally {
    ending.abort(new Error('the search ended'));
    await open.session.close();
  }
}

/** Where a driver's scores meet the trials that wait for them. */
class ScoreDesk {
  readonly #models = new Map<number, (model: string) => void>();
  readonly #outcomes = new Map<number, (outcome: Outcome) => void>();

  /** The path of a trial's merge, once it is made. */
  model(trial: number): Promise<string> {
    return new Promise((done) => this.#models.set(trial, done));
  }

  readonly score: ScoreModel = ({ model, trial }, { signal }) => {
    const start = performance.now();
    return new Promise((done, fail) => {
      const stop = () => fail(signal.reason);
      signal.addEventListener('abort', stop, { once: true });
      this.#outcomes.set(trial, (outcome) => {
        signal.removeEventListener('abort', stop);
        done({ ...outcome, seconds: (performance.now() - start) / 1000 });
      });
      this.#models.get(trial)?.(resolve(model));
    });
  };

  tell(trial: number, told: Told): void {
    this.#outcomes.get(trial)!(outcomeOf(told));
    this.#outcomes.delete(trial);
  }
}

function outcomeOf(told: Told): Outcome {
  if ('status' in told) {
    return {
      status: told.status,
      reason: told.reason ?? 'the driver says so',
      lastWords: null,
      tail: [],
      cost: null,
      seconds: 0,
      attempts: 1,
    };
  }
  const { score, stderr = null, scores } = told;
  const items = scores == null ? null : [{ name: '', weight: 1, digest: `n=${scores.length}`, scores }];
  return {
    status: 'complete',
    score: { score, stderr, items, metrics: {}, higherIsBetter: null, source: 'the driver', cost: null },
    seconds: 0,
    attempts: 1,
  };
}

class SearchDriver implements Driver {
  readonly #open: OpenSearch;
  readonly #desk: ScoreDesk | null;
  readonly #signal: AbortSignal;
  /** Handed out and not told yet. */
  readonly #asked = new Map<number, RoundTrial>();
  readonly #rounds = new Set<Promise<unknown>>();
  readonly #recorded = new Map<number, Promise<readonly TrialLine[]>>();
  #next: number;

  constructor(open: OpenSearch, desk: ScoreDesk | null, signal: AbortSignal) {
    this.#open = open;
    this.#desk = desk;
    this.#signal = signal;
    this.#next = Math.max(-1, ...open.session.study.trials.map(({ id }) => id)) + 1;
  }

  async ask(count: number, params: readonly Params[] | null, signal: AbortSignal): Promise<readonly Asked[]> {
    const requests = params === null ? await this.#proposed(count, signal) : await Promise.all(params.map((p) => this.#given(p)));
    if (requests.length === 0) return [];
    const { room } = this.#open.session.study;
    if (this.#desk !== null && this.#asked.size + requests.length > room) {
      const waiting = `${this.#asked.size} of ${room} that there is room for wait to be told`;
      throw new MergeError('E_PROTOCOL', `${requests.length} more merges do not fit: ${waiting}`, {
        help: 'Tell some first, or give more room with --work.',
      });
    }
    const first = this.#next;
    this.#next += requests.length;
    const ids = requests.map((_, i) => first + i);
    for (const [i, request] of requests.entries()) this.#asked.set(ids[i]!, request);
    const models = this.#desk === null ? [] : ids.map((id) => this.#desk!.model(id));
    const round = this.#open.session.study.round(first, requests, this.#signal);
    this.#rounds.add(round);
    round.catch(() => {}).finally(() => this.#rounds.delete(round));
    if (this.#desk === null) {
      const trials = await round;
      for (const id of ids) this.#asked.delete(id);
      return trials.map(asAsked);
    }
    for (const id of ids) this.#recorded.set(id, round);
    const ready = await Promise.race([Promise.all(models), round.then(() => [])]);
    return requests.map((request, i) => this.#handedOut(ids[i]!, request, ready[i]!));
  }

  async tell(trial: number, told: Told): Promise<{ best: number | null }> {
    this.#desk!.tell(trial, told);
    await this.#written(trial);
    this.#asked.delete(trial);
    return { best: this.best()?.trial ?? null };
  }

  best(): Asked | null {
    const { study, goal } = this.#open.session;
    const { better } = directionOf(goal());
    const scored = study.trials.filter(({ score }) => score !== null);
    return scored.length === 0 ? null : asAsked(scored.reduce((a, b) => (better(b.score!, a.score!) ? b : a)));
  }

  /** Every round has ended: their merges are gone. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#rounds);
  }

  #proposed(count: number, signal: AbortSignal): Promise<readonly RoundTrial[]> {
    const { session, rounds } = this.#open;
    const open = [...this.#asked.values()].map(({ point, candidate }) => ({ point, recipe: rounds.keyOf(candidate) }));
    return nextAsked(rounds, { trials: session.study.trials, open, goal: session.goal(), count }, signal);
  }

  async #given(params: Params): Promise<RoundTrial> {
    const leg = this.#open.legs[0]!;
    const point = leg.space.encode(params);
    if (point === null) throw new MergeError('E_PARAMS', `${JSON.stringify(params)} lies outside the space`);
    // What the space rounds, the trial records rounded.
    const own = leg.space.decode(point);
    const candidate = overAll(await leg.space.candidate(own), leg.members, this.#open.session.members.all.length);
    return { kind: 'trial', params: own, point, candidate, by: 'driver', leg: leg.index };
  }

  /** Of one trial among several of a round, which goes on. */
  async #written(trial: number): Promise<void> {
    const { study } = this.#open.session;
    while (!study.trials.some(({ id }) => id === trial)) {
      await Promise.race([study.nextTrial(), this.#recorded.get(trial)!]);
    }
  }

  #handedOut(trial: number, { kind, params, candidate }: RoundTrial, model: string): Asked {
    const { members } = this.#open.session;
    const weights = candidate.weights.flatMap((weight, m) => {
      const { path, step } = members.all[m]!;
      return weight === 0 ? [] : [{ path, step, weight }];
    });
    return { trial, kind, status: 'open', params, weights, model, score: null, stderr: null, reason: null };
  }
}

function asAsked({ id, kind, status, params, weights, score, stderr, reason }: Trial): Asked {
  return { trial: id, kind, status, params, weights, model: null, score, stderr, reason };
}
