import { dirname } from 'node:path';
import { MergeError, type Warning } from '../base/errors.ts';
import { drain } from '../base/event-stream.ts';
import { MOST } from '../base/limits.ts';
import { optionName } from '../base/option-words.ts';
import { launchedTask } from '../base/process/launched-task.ts';
import { readRecipe } from '../recipe/file/read.ts';
import { checkGiven, OF_MACHINE, OF_RECIPE, type Taken } from '../recipe/given.ts';
import { type OutsidePath, pathsOutside } from '../recipe/outside.ts';
import type { Recipe } from '../recipe/types.ts';
import type { MergeEvent, MergeResult } from './engine/events.ts';
import { type ExecuteOptions, executePlan } from './engine/execute.ts';
import { refuseUnsound, withMemberWarnings } from './members/look.ts';
import { resolveRecipe } from './members/resolve.ts';
import { buildPlan } from './plan/build.ts';
import type { Plan } from './plan/types.ts';
import { onceAtWork, planOfTask, severalTasks } from './several-tasks.ts';

/** How a recipe is carried out; nothing of it changes what the outputs hold. */
export interface MachineOptions extends Omit<ExecuteOptions, 'signal' | 'share'> {
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
  const { memory, threads, ioDepth, maxRead, unitBytes, force, resume, followLinks, signal } = options;
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
  signal?.throwIfAborted();
  const written = typeof recipe === 'string' ? await readRecipe(recipe) : recipe;
  const outside = options.outside ?? (typeof recipe === 'string' ? pathsOutside(written, dirname(recipe)) : []);
  const request = await resolveRecipe(written, signal);
  const built = await buildPlan({ ...request, recipe: written, memory, force, resume, followLinks }, signal);
  const plan = await withMemberWarnings(built, signal);
  if (options.strict) refuseUnsound(plan.warnings);
  return outside.length === 0 ? plan : withOutside(plan, outside);
}

/** What is asked for by name, here or in a recipe that is no file. @throws MergeError E_OPTION */
function checkRequest(recipe: Recipe | string, { signal, ...options }: MachineOptions & Pick<RunOptions, 'signal'>): void {
  checkGiven('runRecipe', options, OF_RUN);
  if (typeof recipe !== 'string') checkGiven('runRecipe', recipe, OF_RECIPE);
}

/**
 * Inputs elsewhere are the rule, and so is an output beside the recipe's folder; others are worth a warning.
 */
function withOutside(plan: Plan, outside: readonly OutsidePath[]): Plan {
  const outputs = outside.flatMap(({ what, path, beside }) => (what === 'outputs' && beside === undefined ? [path] : []));
  const warning: Warning = {
    code: 'W_OUTSIDE_RECIPE',
    message: `the recipe writes outside the folder that it lies in: ${outputs.slice(0, 3).join(', ')}${outputs.length > 3 ? ` and ${outputs.length - 3} more` : ''}`,
  };
  return { ...plan, outside, warnings: outputs.length === 0 ? plan.warnings : [...plan.warnings, warning] };
}

/** {@link runRecipe} as a stream of typed events. Ending the iteration early ends the merge. */
export async function* recipeEvents(
  recipe: Recipe | string,
  options: MachineOptions & Pick<RunOptions, 'signal'> = {},
): AsyncGenerator<MergeEvent, MergeResult> {
  const task = launchedTask(process.env);
  // The first of several tasks does the work.
  if (task === null || task.rank === 0) return yield* executePlan(await planRecipe(recipe, options), options);
  const plan = (): Promise<Plan> => planRecipe(recipe, { ...options, resume: true });
  try {
    return yield* onceAtWork(executePlan(yield* planOfTask(task, { plan, signal: options.signal }), options));
  } catch (error) {
    if (!(error instanceof MergeError) || error.code !== 'E_OUTPUT_EXISTS') throw error;
    // Another task may have been faster after all.
    const now = await plan();
    if (now.outputs.length > 0) throw error;
    yield { type: 'warning', warning: severalTasks(task) };
    return yield* executePlan(now, options);
  }
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
