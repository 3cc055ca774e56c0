import { MergeError } from '../../base/errors.ts';
import { drain, eventStream } from '../../base/event-stream.ts';
import { logsOf } from '../export/logs.ts';
import { checkedMembers, type OwnIdentity, openSession } from '../study/session.ts';
import type { StudyEvent } from '../study/types.ts';
import { checkSearch, expectedValidations, type SoupOptions } from './options.ts';
import { carryOut, type SearchRunOptions, searchFolder } from './search.ts';
import { soupRounds } from './soup-rounds.ts';
import type { SearchDocument } from './types.ts';

/** {@link soup} as a stream of events. Ending the iteration early ends the soup. */
export async function* soupEvents(
  options: SoupOptions,
  { signal }: Pick<SearchRunOptions, 'signal'> = {},
): AsyncGenerator<StudyEvent, SearchDocument> {
  return yield* eventStream<StudyEvent, SearchDocument>((emit, either) => runSoup(options, emit, either), signal);
}

/**
 * The greedy soup of Model Soups (arXiv 2203.05482, recipe 1) by the scores of an evaluator: checkpoints from
 * the best to the worst, each added where the mean with it scores at least as well. The mean of all is scored
 * beside it, as is that of the last 10 of a run. `output` becomes the best of all that was tried of the
 * checkpoints. State, resume, one merge a recipe, conclusion and report are those of `search`.
 *
 * @throws MergeError E_OPTION for fewer than two checkpoints; for all else as `search` does; `signal.reason`
 *   on an abort
 * @example const { greedy, conclusion } = await soup({ inputs: ['seed-0', 'seed-1', 'seed-2'], eval:
 * ['python', 'eval.py', '{model}'], goal: 'maximize', output: 'soup' });
 */
export async function soup(options: SoupOptions, { signal, onEvent }: SearchRunOptions = {}): Promise<SearchDocument> {
  return drain(soupEvents(options, { signal }), onEvent);
}

async function runSoup(given: SoupOptions, emit: (event: StudyEvent) => void, signal: AbortSignal): Promise<SearchDocument> {
  checkSearch(given, 'soup');
  const options = searchFolder(given);
  const observe = logsOf(options.log);
  const members = await checkedMembers(options, signal);
  const { all, pool } = members;
  if (pool.length < 2) {
    throw new MergeError('E_OPTION', `a soup is of at least two checkpoints, and there is one: ${all[pool[0]!]!.path}`, {
      help: 'Select more, as with --last 6, or name several.',
    });
  }
  const { noise = 'shared', seed = 0, repeats = 1 } = options;
  const own: OwnIdentity = {
    kind: 'soup',
    legs: [{ name: 'soup', parameters: [], axes: [], members: pool }],
    noise,
    sampler: 'greedy',
    seed,
  };
  const afterwards = expectedValidations(options, members, { legs: 1, singles: true });
  const session = await openSession(options, members, own, { emit, signal, afterwards, observe });
  return carryOut(options, session, soupRounds(session.identity, repeats), signal);
}
