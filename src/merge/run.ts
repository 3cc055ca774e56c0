import { dirname } from 'node:path';
import { MergeError } from '../base/errors.ts';
import { drain } from '../base/event-stream.ts';
import { MOST } from '../base/limits.ts';
import { commandWords } from '../base/machine/command-words.ts';
import { optionName } from '../base/option-words.ts';
import { launchedRank, type Rank } from '../base/process/rank.ts';
import { readRecipe } from '../recipe/file/read.ts';
import { checkGiven, OF_MACHINE, OF_RECIPE, type Taken } from '../recipe/given.ts';
import { type OutsidePath, pathsOutside } from '../recipe/outside.ts';
import type { Recipe } from '../recipe/types.ts';
import type { MergeEvent, MergeResult } from './engine/events.ts';
import { type ExecuteOptions, executePlan } from './engine/execute.ts';
import { launchEvents } from './launch/launch.ts';
import { refuseUnsound, withMemberWarnings } from './members/look.ts';
import { resolveRecipe } from './members/resolve.ts';
import { buildPlan } from './plan/build.ts';
import { withOutside } from './plan/outside.ts';
import type { Prepared } from './plan/prepare.ts';
import type { AskedMerge } from './plan/request-digest.ts';
import type { Plan, PlanRequest } from './plan/types.ts';
import { isBegunByRanks } from './ranks/board-place.ts';
import { mergeWithRanks, RANK_TIMEOUT } from './ranks/merge-with-ranks.ts';
import { type Planner, planForRanks } from './ranks/shared-plan.ts';

/** How a recipe is carried out; nothing of it changes what the outputs hold. */
export interface MachineOptions extends Omit<ExecuteOptions, 'signal' | 'share'> {
  /**
   * Which of several ranks this process is, that were started with the same merge and make it together: `auto`
   * by the variables of the launcher (default), `off`, `array` as a task of a job array, or `I/N`.
   */
  readonly ranks?: string | undefined;
  /**
   * Command, a text or its words, before which a program is started several times, on other machines if it so
   * does: `srun -N 8`. What it starts makes the merge together, as ranks, and this process waits, tells of their
   * progress, and ends them where it is aborted.
   */
  readonly launcher?: string | readonly string[] | undefined;
  /** Seconds without a sign of life after which others take over the work of a rank; default 60. */
  readonly rankTimeout?: number | undefined;
  /** Bound of native buffers in bytes; default 256 MiB. */
  readonly memory?: number | undefined;
  /**
   * Copy side files (configuration, tokenizer, code, training state) that are links to outside the checkpoint
   * and its run, too: what they lead to becomes part of the output. They are left out otherwise.
   */
  readonly followLinks?: boolean | undefined;
  /**
   * Refuse a merge where there is a warning that its members are not what they should be: checkpoints are
   * left out or fewer than asked for, one alone takes part, a branch was abandoned, the loss was NaN, a
   * download is not complete.
   */
  readonly strict?: boolean | undefined;
  /**
   * What the recipe names outside the folder of its file, which the plan says (see {@link pathsOutside}).
   * Found out where the recipe is given as a file.
   */
  readonly outside?: readonly OutsidePath[] | undefined;
}

export interface RunOptions {
  /** Ends the merge; the promise rejects with `signal.reason` and no output appears. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((event: MergeEvent) => void) | undefined;
}

/** What stands beside a recipe. */
const OF_RUN = { ...OF_MACHINE, onProgress: { kind: 'function' } } as const satisfies Taken<Omit<MachineOptions & RunOptions, 'signal'>>;

/**
 * Exactly what {@link runRecipe} would do: members with effective weights, files, bytes, memory and space.
 * Writes nothing.
 *
 * @param recipe as an object, whose paths are as for this process, or the path of a recipe file
 * @throws MergeError E_RECIPE for a file that is no recipe; E_STRICT; every conflict of the plan in
 *   `details.conflicts`; `signal.reason` when aborted
 */
export async function planRecipe(recipe: Recipe | string, options: MachineOptions & Pick<RunOptions, 'signal'> = {}): Promise<Plan> {
  checkRequest(recipe, options);
  checkMachine(options);
  const { signal } = options;
  signal?.throwIfAborted();
  const asked = await askedFor(recipe, options);
  return planResolved(await resolveRecipe(asked.recipe, signal), asked, options);
}

/**
 * The plan of a recipe whose outputs have no place yet: their paths are names, and nothing is said of what is
 * there, of free space, or of inputs that lie there.
 * @throws MergeError as {@link planRecipe} does
 */
export async function planUnplaced(recipe: Recipe, options: MachineOptions & Pick<RunOptions, 'signal'>): Promise<Plan> {
  checkRequest(recipe, options);
  checkMachine(options);
  const { signal } = options;
  signal?.throwIfAborted();
  const request = await resolveRecipe(recipe, signal);
  return planResolved({ ...request, unplaced: true }, { recipe, outside: [] }, options);
}

/** A recipe as it was written, and what it names outside the folder of its file. */
interface Asked {
  readonly recipe: Recipe;
  readonly outside: readonly OutsidePath[];
}

async function askedFor(recipe: Recipe | string, { outside }: MachineOptions): Promise<Asked> {
  if (typeof recipe !== 'string') return { recipe, outside: outside ?? [] };
  const written = await readRecipe(recipe);
  return { recipe: written, outside: outside ?? pathsOutside(written, dirname(recipe)) };
}

/** The plan of what was asked for, whose members are known. @throws MergeError E_STRICT; every conflict of the plan */
export async function planResolved(
  request: PlanRequest,
  { recipe, outside }: { readonly recipe: AskedMerge; readonly outside: readonly OutsidePath[] },
  { memory, force, resume, followLinks, strict, signal }: MachineOptions & Pick<RunOptions, 'signal'>,
  prepared?: Prepared,
): Promise<Plan> {
  const built = await buildPlan({ ...{ memory, force, resume, followLinks }, ...request, recipe }, signal, prepared);
  // Whoever planned it first has said all that there is to say.
  const plan = request.adopted === undefined ? await withMemberWarnings(built, signal) : built;
  if (strict) refuseUnsound(plan.warnings);
  return withOutside(plan, outside);
}

/** @throws MergeError E_OPTION for numbers out of their range */
export function checkMachine(
  options: Pick<MachineOptions, 'memory' | 'threads' | 'ioDepth' | 'maxRead' | 'unitBytes' | 'rankTimeout' | 'launcher'>,
): void {
  const { memory, threads, ioDepth, maxRead, unitBytes, rankTimeout, launcher } = options;
  if (launcher !== undefined) commandWords(launcher, 'launcher');
  if (threads !== undefined && !(Number.isInteger(threads) && threads > 0 && threads <= MOST.threads)) {
    throw new MergeError('E_OPTION', `${optionName('threads')} must be a whole number from 1 to ${MOST.threads}, not ${threads}`);
  }
  if (memory !== undefined && !(Number.isSafeInteger(memory) && memory > 0 && memory <= MOST.bytes)) {
    throw new MergeError('E_OPTION', `${optionName('memory')} must be a number of bytes from 1 to ${MOST.bytes}, not ${memory}`);
  }
  if (ioDepth !== undefined && !(Number.isInteger(ioDepth) && ioDepth > 0 && ioDepth <= MOST.ioDepth)) {
    throw new MergeError('E_OPTION', `${optionName('ioDepth')} must be a whole number from 1 to ${MOST.ioDepth}, not ${ioDepth}`);
  }
  if (maxRead !== undefined && !(maxRead >= 1 && maxRead <= MOST.bytes)) {
    throw new MergeError('E_OPTION', `${optionName('maxRead')} must be bytes a second from 1 to ${MOST.bytes}, not ${maxRead}`);
  }
  if (unitBytes !== undefined && !(Number.isSafeInteger(unitBytes) && unitBytes > 0 && unitBytes <= MOST.bytes)) {
    throw new MergeError('E_OPTION', `unitBytes must be a number of bytes from 1 to ${MOST.bytes}, not ${unitBytes}`);
  }
  if (rankTimeout !== undefined && !(rankTimeout > 0 && rankTimeout <= MOST.timer)) {
    throw new MergeError('E_OPTION', `${optionName('rankTimeout')} must be a number of seconds over 0, not ${rankTimeout}`);
  }
}

/** What is asked for by name, here or in a recipe that is no file. @throws MergeError E_OPTION */
function checkRequest(recipe: Recipe | string, { signal, ...options }: MachineOptions & Pick<RunOptions, 'signal'>): void {
  checkGiven('runRecipe', options, OF_RUN);
  if (typeof recipe !== 'string') checkGiven('runRecipe', recipe, OF_RECIPE);
}

/** {@link runRecipe} as a stream of typed events. Ending the iteration early ends the merge. */
export async function* recipeEvents(
  recipe: Recipe | string,
  options: MachineOptions & Pick<RunOptions, 'signal'> = {},
): AsyncGenerator<MergeEvent, MergeResult> {
  checkRequest(recipe, options);
  const rank = rankFor(options);
  const asked = await askedFor(recipe, options);
  return yield* plannedEvents(plannerOf(asked, options), asked.outside, options, rank);
}

export type RecipeOptions = MachineOptions & Pick<RunOptions, 'signal'>;

/** Which of several ranks this process is. @throws MergeError E_USAGE where a rank is to start ranks */
export function rankFor(options: RecipeOptions): Rank | null {
  const rank = launchedRank(process.env, options.ranks);
  if (options.launcher !== undefined) refuseRankToLaunch(rank, options);
  return rank;
}

/**
 * Makes what a planner plans: by this process alone, as one of several ranks, or by ranks that are started for it.
 * @param outside what was asked for names outside the folder of its file
 */
export async function* plannedEvents(
  planner: Planner,
  outside: readonly OutsidePath[],
  options: RecipeOptions,
  rank: Rank | null,
): AsyncGenerator<MergeEvent, MergeResult> {
  checkMachine(options);
  if (options.launcher !== undefined) {
    const words = commandWords(options.launcher, 'launcher');
    const planned = await planForRanks(planner, options);
    return yield* launchEvents({ ...planned, asked: planner.recipe, outside }, words, options);
  }
  const isShared = rank !== null || (options.ranks !== 'off' && (await isBegunByRanks(planner.recipe)));
  if (isShared) return yield* mergeWithRanks(planner, { ...options, rankTimeout: 1000 * (options.rankTimeout ?? RANK_TIMEOUT) }, rank);
  options.signal?.throwIfAborted();
  return yield* executePlan(await planner.build(await planner.resolve()), options);
}

function plannerOf(asked: Asked, options: RecipeOptions): Planner {
  return {
    recipe: asked.recipe,
    resolve: () => resolveRecipe(asked.recipe, options.signal),
    build: (request, prepared) => planResolved(request, asked, options, prepared),
  };
}

/** @throws MergeError E_USAGE where a process that is to start ranks is one of several itself */
export function refuseRankToLaunch(rank: Rank | null, { ranks }: Pick<MachineOptions, 'ranks'>): void {
  const [launcher, other] = [optionName('launcher'), optionName('ranks')];
  if (ranks !== undefined && ranks !== 'auto') {
    throw new MergeError('E_USAGE', `${launcher} starts the ranks of a merge, and ${other} ${ranks} says which one this process is`, {
      help: `Leave out ${other}.`,
    });
  }
  if (rank === null) return;
  throw new MergeError('E_USAGE', `${launcher} is for one process, and this is rank ${rank.rank} of ${rank.size} (${rank.launcher})`, {
    help: `Leave out ${launcher}: the ranks make the merge together. Or start one process alone: ${rank.single}.`,
  });
}

/**
 * Makes all outputs of a recipe in one read of its inputs. Each output has the same bytes as when it is made
 * alone, and appears whole or not at all.
 *
 * @param recipe as an object, whose paths are as for this process, or the path of a recipe file
 * @throws MergeError (see `code`), or `signal.reason` when aborted
 * @example await runRecipe({ inputs: ['runs/dense'], outputs: [{ path: 'sma10', select: { last: 10 } }, {
 * path: 'ema10', select: { last: 10 }, method: 'ema' }] });
 */
export async function runRecipe(recipe: Recipe | string, options: MachineOptions & RunOptions = {}): Promise<MergeResult> {
  return drain(recipeEvents(recipe, options), options.onProgress);
}
