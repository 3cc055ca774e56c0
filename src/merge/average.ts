import { MergeError } from '../base/errors.ts';
import { drain } from '../base/event-stream.ts';
import { keysOf, pick } from '../base/pick.ts';
import { checkGiven, OF_MACHINE, OF_OUTPUT, type Taken } from '../recipe/given.ts';
import { OUTPUT, RECIPE } from '../recipe/options.ts';
import type { Recipe, RecipeOutput } from '../recipe/types.ts';
import type { MergeEvent, MergeResult } from './engine/events.ts';
import type { Plan } from './plan/types.ts';
import { type MachineOptions, planRecipe, planUnplaced, type RunOptions, recipeEvents } from './run.ts';

export type { RunOptions } from './run.ts';

export interface WeightedInput {
  readonly path: string;
  readonly weight: number;
}

/**
 * A recipe of one output, in one object: members, weights and what becomes of them, and how the machine is
 * used.
 */
export interface AverageOptions extends Omit<Recipe, 'inputs' | 'outputs'>, Omit<RecipeOutput, 'path'>, MachineOptions {
  /**
   * A run folder, several (siblings), or checkpoints (folders or files of weights), of which either all
   * carry a weight or none does.
   */
  readonly inputs: readonly (string | WeightedInput)[];
  /** Folder to make, or a .safetensors file where all inputs are files. */
  readonly output: string;
}

/** What a merge of one output takes, in the library. */
export const OF_AVERAGE = {
  inputs: { kind: 'inputs', needed: true },
  output: { kind: 'path', needed: true },
  ...OF_OUTPUT,
  ...RECIPE,
  ...OF_MACHINE,
} as const satisfies Taken<AverageOptions>;

/**
 * Exactly what {@link average} would do with these options: members in order with effective weights, files,
 * bytes, memory and space. Writes nothing. Without an output nothing is said of the place where it would be.
 *
 * @throws MergeError with every conflict in `details.conflicts`; `signal.reason` when aborted
 */
export async function plan(
  options: Omit<AverageOptions, 'output'> & Partial<Pick<AverageOptions, 'output'>>,
  { signal }: Pick<RunOptions, 'signal'> = {},
): Promise<Plan> {
  checkGiven('plan', options, { ...OF_AVERAGE, output: { kind: 'path' } });
  const { output = options.sliding ? 'merged-{step}' : 'merged' } = options;
  const placed = { ...options, output };
  const machine = { ...machineOf(placed), signal };
  return options.output === undefined ? planUnplaced(recipeOf(placed), machine) : planRecipe(recipeOf(placed), machine);
}

/** {@link average} as a stream of typed events. Ending the iteration early ends the merge. */
export async function* averageEvents(
  options: AverageOptions,
  { signal }: Pick<RunOptions, 'signal'> = {},
): AsyncGenerator<MergeEvent, MergeResult> {
  checkGiven('average', options, OF_AVERAGE);
  return yield* recipeEvents(recipeOf(options), { ...machineOf(options), signal });
}

/**
 * Merges checkpoints of one run into one checkpoint, which appears whole or not at all.
 *
 * Each float tensor is `w_1·x_1 + … + w_N·x_N` in float64, each multiply and add rounded on its own, then
 * rounded to float32 and to the output dtype; the bytes do not depend on CPU, threads, sharding or memory.
 * `docs/arithmetic.md` has the whole promise.
 *
 * @throws MergeError (see `code`), or `signal.reason` when aborted
 * @example const result = await average({ inputs: ['run/checkpoint-1000', 'run/checkpoint-2000'], output:
 * 'merged' }); const newest = await average({ inputs: ['run'], select: { last: 10, every: '8B' }, method:
 * 'wma', output: 'wma10' });
 */
export async function average(options: AverageOptions, { signal, onProgress }: RunOptions = {}): Promise<MergeResult> {
  return drain(averageEvents(options, { signal }), onProgress);
}

function machineOf(options: AverageOptions): MachineOptions {
  return pick<AverageOptions, keyof typeof OF_MACHINE>(options, keysOf(OF_MACHINE));
}

/**
 * The recipe that these options are.
 * @throws MergeError E_WEIGHTS where weights beside the inputs do not go with the rest
 */
export function recipeOf(options: AverageOptions): Recipe {
  const { inputs, output, select } = options;
  return {
    inputs: inputs.map((input) => (typeof input === 'string' ? input : input.path)),
    outputs: [{ path: output, select, ...pick(options, keysOf(OUTPUT)), weights: weightsOf(options) }],
    ...pick(options, keysOf(RECIPE)),
  };
}

function weightsOf({ inputs, weights, select, sliding, preset }: AverageOptions): readonly number[] | undefined {
  const carried = inputs.flatMap((i) => (typeof i === 'string' ? [] : [i.weight]));
  if (carried.length === 0) return weights;
  if (weights !== undefined) {
    throw new MergeError('E_WEIGHTS', 'inputs carry weights and a list of weights was given as well', {
      help: 'Give the weights in one place.',
    });
  }
  if (carried.length !== inputs.length) {
    throw new MergeError('E_WEIGHTS', `${carried.length} of ${inputs.length} inputs carry a weight`, {
      help: 'Give every input a weight, or none.',
    });
  }
  if (select !== undefined || sliding || preset !== undefined) {
    throw new MergeError('E_WEIGHTS', 'inputs carry weights, and a selection is to decide which of them take part', {
      help: 'Leave out the selection, or give a list of weights for what it selects, oldest first.',
    });
  }
  return carried;
}
