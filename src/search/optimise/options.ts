import { didYouMean } from '../../base/did-you-mean.ts';
import { MergeError } from '../../base/errors.ts';
import { MOST } from '../../base/limits.ts';
import { optionName, worded } from '../../base/option-words.ts';
import { refuse } from '../../base/problems.ts';
import { checkGiven, type Taken } from '../../recipe/given.ts';
import type { ScheduleContext, ScheduleMember } from '../../recipe/schedule/types.ts';
import { KERNELS, type KernelName } from '../gaussian-process/names.ts';
import { ACQUISITIONS, type Acquisition, SAMPLERS, type SamplerName } from '../sampler/names.ts';
import { pairwiseChain } from '../space/pairwise.ts';
import { readSpace } from '../space/read.ts';
import { SPACE_NAMES, type SpaceRequest } from '../space/request.ts';
import { spaceOf } from '../space/spaces.ts';
import type { Space } from '../space/types.ts';
import type { StudyMembers } from '../study/members.ts';
import { scorerOf } from '../study/scorer.ts';
import type { StudyRequest } from '../study/session.ts';
import { OF_EVALUATION, OF_STUDY } from '../study/taken.ts';

/**
 * Trials of a search where nothing else is said: enough for a model to be of use in one to three dimensions.
 * Ours.
 */
export const DEFAULT_TRIALS = 12;
/** Recipes that a validation scores beside the baselines. Ours. */
export const VALIDATED = 3;
/** A posterior over more trials takes longer than it is worth. */
const MOST_TRIALS = 1000;

/**
 * How many recipes a validation scores, as far as that can be said before.
 * @param legs of the search
 * @param singles whether members are scored alone
 */
export function expectedValidations(
  { validate }: Pick<SearchOptions, 'validate'>,
  { pool, last }: Pick<StudyMembers, 'pool' | 'last'>,
  { legs, singles }: { readonly legs: number; readonly singles: boolean },
): number {
  const baselines = 2 + (pool.join() === last.join() ? 0 : 1) + (singles ? 1 : 0);
  return validate === undefined ? 0 : legs * (baselines + VALIDATED);
}

/** Same names in the library and (with dashes) on the command line. */
export interface SearchOptions extends Omit<StudyRequest, 'dir'> {
  /** Folder, or .safetensors file, of the best recipe's merge; none is made where it is absent. */
  readonly output?: string | undefined;
  /** Folder of trials, logs and reports; `OUTPUT.search` when absent. */
  readonly dir?: string | undefined;
  /**
   * `pairwise`, `weights`, `schedule`, the path of a file that describes a space, or the space itself;
   * `pairwise` for two checkpoints, else `schedule`.
   */
  readonly space?: string | SpaceRequest | undefined;
  /** pairwise: least weight of the newer checkpoint, in [0, 1). */
  readonly alpha?: number | undefined;
  /** pairwise, weights: roles or groups of roles, as in policies, that get weights of their own. */
  readonly separate?: readonly string[] | undefined;
  /** An independent search between each two neighbours. */
  readonly pairwiseChain?: boolean | undefined;
  /**
   * Recipes to try, newest checkpoint and uniform mean among them (of a chain: for each pair); default 12.
   */
  readonly trials?: number | undefined;
  readonly sampler?: SamplerName | undefined;
  /** Of the sampler `gp`. */
  readonly acquisition?: Acquisition | undefined;
  /** Of the sampler `gp`; Matérn 5/2 when absent. */
  readonly kernel?: KernelName | undefined;
  /** Command of a sampler of one's own. */
  readonly samplerCmd?: string | undefined;
  /** Decides everything that is drawn; default 0. */
  readonly seed?: number | undefined;
  /** How often each recipe is scored; default 1. */
  readonly repeats?: number | undefined;
  /** Score every single checkpoint of the pool, too. */
  readonly scoreMembers?: boolean | undefined;
  /** Seconds of work after which no trial is begun, interruptions not counted. */
  readonly budget?: number | undefined;
  /** Trials in a row without a better score, after which the search ends. */
  readonly patience?: number | undefined;
  /**
   * Try all trials where the scores show no differences, too: else a search by the sampler `gp` ends there.
   */
  readonly allTrials?: boolean | undefined;
  /**
   * Score the newest checkpoint again after each so many trials, as an anchor: an evaluator that drifts from
   * one day to the next is told by it. Never where absent.
   */
  readonly anchorEvery?: number | undefined;
  /**
   * What the evaluator's standard errors are: of the items, which all trials share, or of each trial by
   * itself. Default shared.
   */
  readonly noise?: 'shared' | 'independent' | undefined;
  /** Command that scores the best recipes and the baselines on a second set. */
  readonly validate?: StudyRequest['eval'] | undefined;
  /** The metrics of the second set, where they are others. */
  readonly validateMetrics?: StudyRequest['metrics'];
}

/** What a soup has no use for: it searches no space. */
type OfSpaces =
  | 'space'
  | 'alpha'
  | 'pairwiseChain'
  | 'trials'
  | 'separate'
  | 'sampler'
  | 'acquisition'
  | 'kernel'
  | 'samplerCmd'
  | 'scoreMembers'
  | 'patience'
  | 'allTrials'
  | 'anchorEvery';

/** Same names in the library and (with dashes) on the command line. */
export type SoupOptions = Omit<SearchOptions, OfSpaces>;

/** What a soup takes, in the library, and a search too. */
const OF_SOUP = {
  ...OF_STUDY,
  seed: { kind: 'integer' },
  repeats: { kind: 'count' },
  budget: { kind: 'number' },
  noise: { kind: 'choice', choices: ['shared', 'independent'] },
  validate: { kind: 'command' },
  validateMetrics: OF_EVALUATION.metrics,
} as const satisfies Taken<SoupOptions>;

const OF_SEARCH = {
  ...OF_SOUP,
  space: { kind: 'anything' },
  alpha: { kind: 'number' },
  separate: { kind: 'texts' },
  pairwiseChain: { kind: 'flag' },
  trials: { kind: 'count' },
  sampler: { kind: 'choice', choices: SAMPLERS },
  acquisition: { kind: 'choice', choices: ACQUISITIONS },
  kernel: { kind: 'choice', choices: KERNELS },
  samplerCmd: { kind: 'text' },
  scoreMembers: { kind: 'flag' },
  patience: { kind: 'count' },
  allTrials: { kind: 'flag' },
  anchorEvery: { kind: 'count' },
} as const satisfies Taken<SearchOptions>;

/**
 * Refuses what is wrong whatever the run holds.
 * @throws MergeError E_OPTION with every problem
 */
export function checkSearch(options: SearchOptions, kind: 'search' | 'soup' = 'search'): void {
  checkGiven(kind, options, kind === 'soup' ? OF_SOUP : OF_SEARCH);
  const {
    trials,
    seed,
    repeats,
    budget,
    patience,
    anchorEvery,
    alpha,
    pairwiseChain: chain,
    space,
    sampler,
    acquisition,
    kernel,
    samplerCmd,
    output,
    dir,
    validate,
  } = options;
  const problems: string[] = [];
  const whole = (name: string, value: number | undefined, least: number, most = Number.MAX_SAFE_INTEGER) => {
    if (value === undefined || (Number.isSafeInteger(value) && value >= least && value <= most)) return;
    problems.push(
      `${optionName(name)} must be a whole number of at least ${least}${most < Number.MAX_SAFE_INTEGER ? ` and at most ${most}` : ''}, not ${value}`,
    );
  };
  whole('trials', trials, 1, MOST_TRIALS);
  whole('seed', seed, 0);
  whole('repeats', repeats, 1, MOST.repeats);
  whole('patience', patience, 1, MOST.count);
  whole('anchorEvery', anchorEvery, 1, MOST.count);
  if (budget !== undefined && !(budget > 0 && budget <= MOST.budget))
    problems.push(`${optionName('budget')} must be over 0 and at most ${MOST.budget} seconds, not ${budget}`);
  if (alpha !== undefined && !(alpha >= 0 && alpha < 1))
    problems.push(`${optionName('alpha')} must be at least 0 and below 1, not ${alpha}`);
  if (output === undefined && dir === undefined) problems.push('neither an output nor a folder for the trials is given');
  if (chain && space !== undefined) problems.push('a chain of pairs is a space of its own: leave out the space, or the chain');
  if (alpha !== undefined && space !== undefined && space !== 'pairwise')
    problems.push(
      `${optionName('alpha')} is the least weight in a pairwise space, and the space is ${typeof space === 'string' ? space : space.space}: leave out one of them, or write alpha into the file of a pairwise space`,
    );
  if (samplerCmd !== undefined && sampler !== undefined)
    problems.push(
      `${optionName('sampler')} (${sampler}) and ${optionName('samplerCmd')} are two samplers, and there can be one: leave out either`,
    );
  for (const [name, value] of Object.entries({ acquisition, kernel })) {
    if (value === undefined || (samplerCmd === undefined && (sampler ?? 'gp') === 'gp')) continue;
    const other = samplerCmd === undefined ? sampler : 'a command';
    problems.push(`${optionName(name)} (${value}) is of the sampler gp, and the sampler is ${other}: leave out either`);
  }
  refuse(problems, { several: (count) => `${count} things are wrong with the options of the search` });
  // Else it would be refused after the last trial.
  if (validate !== undefined) scorerOf({ ...options, eval: validate }, worded`--validate`);
}

/**
 * The space that is asked for over the pool; of a chain, one for each two neighbours.
 * @throws MergeError E_SPACE, E_NOT_FOUND, E_NOT_READABLE
 */
export async function spacesOf(
  { space, alpha, separate, pairwiseChain: chain }: SearchOptions,
  { all, pool, siblings }: StudyMembers,
): Promise<readonly Space[]> {
  const members = pool.map((m) => all[m]!);
  if (chain) return pairwiseChain(members, { alpha, separate });
  const request = space ?? (members.length === 2 || alpha !== undefined ? 'pairwise' : 'schedule');
  if (typeof request === 'object') return [await spaceOf(request, members, { siblings })];
  const name = SPACE_NAMES.find((known) => known === request);
  if (name === undefined) return [await spaceFile(request, members, { siblings })];
  const own = { ...(alpha === undefined ? {} : { alpha }), ...(separate === undefined ? {} : { separate }) };
  return [await spaceOf({ space: name, ...own }, members, { siblings })];
}

async function spaceFile(path: string, members: readonly ScheduleMember[], context: ScheduleContext): Promise<Space> {
  try {
    return await readSpace(path, members, context);
  } catch (error) {
    if (!(error instanceof MergeError && error.code === 'E_NOT_FOUND')) throw error;
    const near = didYouMean(path, SPACE_NAMES);
    throw new MergeError('E_NOT_FOUND', `${path}: there is no such file, and no space of that name`, {
      details: { file: path },
      help: `${near === null ? '' : `Did you mean ${near}? `}Spaces are ${SPACE_NAMES.join(', ')}; all else is the path of a YAML file.`,
      cause: error,
    });
  }
}
