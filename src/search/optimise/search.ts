import { MergeError } from '../../base/errors.ts';
import { drain, eventStream } from '../../base/event-stream.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import { logsOf } from '../export/logs.ts';
import { commandSampler } from '../sampler/command.ts';
import { samplerByName } from '../sampler/samplers.ts';
import type { Sampler } from '../sampler/types.ts';
import type { Candidate } from '../space/types.ts';
import { type NextRound, noTrial, runRounds } from '../study/rounds.ts';
import { checkedMembers, type OwnIdentity, openSession, type Session, type StudyDriver } from '../study/session.ts';
import { keyOf } from '../study/study.ts';
import type { Ending, StudyEvent } from '../study/types.ts';
import { type Leg, legsOf } from './legs.ts';
import { checkSearch, DEFAULT_TRIALS, expectedValidations, type SearchOptions, spacesOf } from './options.ts';
import { checkOutput, finishSearch, makeOutput } from './result.ts';
import { type RoundSettings, roundsOf } from './rounds.ts';
import type { SearchDocument } from './types.ts';
import { validateSearch } from './validation.ts';

export interface SearchRunOptions {
  /** Ends the search, which `resume` goes on with: every trial that has a score is kept. */
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: ((event: StudyEvent) => void) | undefined;
}

/** {@link search} as a stream of events. Ending the iteration early ends the search. */
export async function* searchEvents(
  options: SearchOptions,
  { signal }: Pick<SearchRunOptions, 'signal'> = {},
): AsyncGenerator<StudyEvent, SearchDocument> {
  return yield* eventStream<StudyEvent, SearchDocument>((emit, either) => runSearch(options, emit, either), signal);
}

/**
 * Chooses the weights of a merge by the scores that an evaluator gives to merges: Bayesian optimisation over
 * a space of recipes (arXiv 2403.19390 for two neighbours; the rest is ours). Every recipe is merged once and
 * deleted after its evaluation; trials are kept in `dir` and survive any end of the process. The document
 * says what was found, and how sure that is.
 *
 * @throws MergeError E_OPTION, E_SPACE for the request; E_OUTPUT_EXISTS, E_SEARCH_STATE, E_SEARCH_BUSY for
 *   the folder; E_METRIC, E_GOAL where it is not clear which score is meant or which way is better;
 *   E_EVALUATOR after three failures at the start, E_NO_TRIAL where no trial has a score; whatever merging
 *   throws; `signal.reason` on an abort
 * @example const { best, conclusion } = await search({ inputs: ['run'], select: { last: 2 }, eval: ['python',
 * 'eval.py', '{model}'], goal: 'maximize', output: 'best' });
 */
export async function search(options: SearchOptions, { signal, onEvent }: SearchRunOptions = {}): Promise<SearchDocument> {
  return drain(searchEvents(options, { signal }), onEvent);
}

/** A search that is under way, with what decides its rounds. */
export interface OpenSearch {
  readonly session: Session;
  readonly legs: readonly Leg[];
  readonly rounds: RoundSettings;
}

/** Opens a search: everything but its trials. */
export async function openSearch(
  options: SearchOptions & { readonly dir: string },
  emit: (event: StudyEvent) => void,
  signal: AbortSignal,
  driver?: StudyDriver,
): Promise<OpenSearch> {
  const observe = logsOf(options.log);
  const members = await checkedMembers(options, signal);
  const { all, pool } = members;
  if (pool.length < 2) {
    throw new MergeError('E_OPTION', `a search is over the merges of at least two checkpoints, and there is one: ${all[pool[0]!]!.path}`, {
      help: 'Select more, as with --last 2.',
    });
  }
  const legs = legsOf(await spacesOf(options, members), members);
  const { sampler = 'gp', samplerCmd, seed = 0, noise = 'shared' } = options;
  const own: OwnIdentity = {
    kind: 'search',
    legs: legs.map(({ space: { name, parameters, axes }, members: indices }) => ({ name, parameters, axes, members: indices })),
    noise,
    sampler: samplerCmd ?? sampler,
    seed,
  };
  const roles = [...new Set(legs.flatMap(({ space }) => space.roles))];
  const afterwards = expectedValidations(options, members, { legs: legs.length, singles: options.scoreMembers ?? false });
  const session = await openSession(options, members, own, { emit, signal, driver, roles, afterwards, observe });
  const samplers = new Map<number, Sampler>();
  const samplerOf = (leg: Leg) => {
    const made = samplers.get(leg.index) ?? makeSampler(options, leg, session.goal());
    samplers.set(leg.index, made);
    return made;
  };
  const rounds: RoundSettings = {
    legs,
    members,
    sampler: samplerOf,
    trials: options.trials ?? DEFAULT_TRIALS,
    parallel: options.parallel ?? 1,
    repeats: options.repeats ?? 1,
    scoreMembers: options.scoreMembers ?? false,
    patience: options.patience ?? null,
    anchorEvery: options.anchorEvery ?? null,
    stopsWhenAlike: options.allTrials !== true && samplerCmd === undefined && sampler === 'gp',
    seed,
    noise,
    keyOf: (candidate: Candidate) => keyOf(candidate, { members: session.members.all }, session.merging),
  };
  const close = async () => {
    for (const made of samplers.values()) await made.close?.();
    await session.close();
  };
  return { session: { ...session, close }, legs, rounds };
}

function makeSampler(
  { samplerCmd, sampler = 'gp', seed = 0, trials = DEFAULT_TRIALS, acquisition, kernel }: SearchOptions,
  { space, index }: Leg,
  goal: Goal,
): Sampler {
  if (samplerCmd !== undefined) return commandSampler(samplerCmd, space, { goal, seed: seed + index });
  const { axes, initial } = space;
  return samplerByName(sampler, { axes, initial, seed: seed + index, trials, acquisition, kernel });
}

async function runSearch(given: SearchOptions, emit: (event: StudyEvent) => void, signal: AbortSignal): Promise<SearchDocument> {
  checkSearch(given);
  const options = searchFolder(given);
  const { session, rounds } = await openSearch(options, emit, signal);
  return carryOut(options, session, roundsOf(rounds), signal);
}

/**
 * Rounds, and all that follows them; the folder shows what is there, however they end. Closes the session.
 */
export async function carryOut(
  options: SearchOptions & { readonly dir: string },
  session: Session,
  next: NextRound,
  signal: AbortSignal,
): Promise<SearchDocument> {
  try {
    await checkOutput(options, session, signal);
    await keepSearchLive(session);
    const ended = await runRounds(session, next, { budget: options.budget, signal });
    return await wrapUp(options, session, ended, signal);
  } catch (error) {
    // What is there is shown as well as it can be: the error matters more than a page of it.
    await finishSearch(options, session, { ended: 'interrupted', validation: undefined }).catch(() => {});
    throw error;
  } finally {
    await session.close();
  }
}

/** Has the page of a search or a soup written while it goes on. */
export async function keepSearchLive(session: Session): Promise<void> {
  const [{ keepLive }, { searchTitle }] = await Promise.all([import('./live-page.ts'), import('./page.ts')]);
  const { kind, legs, pool } = session.identity;
  const about = { kind: kind === 'soup' ? kind : 'search', members: pool.length, pairs: legs.length === 1 ? null : legs.length } as const;
  keepLive(session, { title: searchTitle({ ...about, parameters: legs.at(-1)!.parameters }) });
}

/** Options with the folder in which the trials are kept. */
export function searchFolder<T extends Pick<SearchOptions, 'dir' | 'output'>>(options: T): T & { readonly dir: string } {
  return { ...options, dir: options.dir ?? `${(options.output ?? '').replace(/\/+$/, '')}.search` };
}

/** What follows the last round: validation, document, output. @throws MergeError E_NO_TRIAL */
export async function wrapUp(
  options: SearchOptions & { readonly dir: string },
  session: Session,
  ended: Ending,
  signal: AbortSignal,
): Promise<SearchDocument> {
  const { validate } = options;
  const validation = validate === undefined ? undefined : await validateSearch({ ...options, validate }, session, signal);
  const document = await finishSearch(options, session, { ended, validation });
  if (document.best === null) throw noTrial(session);
  if (options.output !== undefined) await makeOutput(options, session, document, signal);
  return document;
}
