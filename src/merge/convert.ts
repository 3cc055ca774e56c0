import { drain } from '../base/event-stream.ts';
import { keysOf, pick } from '../base/pick.ts';
import { checkGiven, OF_MACHINE, type Taken } from '../recipe/given.ts';
import { CHECKS, OUTPUT, RECIPE } from '../recipe/options.ts';
import type { Recipe, RecipeOutput } from '../recipe/types.ts';
import type { MergeEvent, MergeResult } from './engine/events.ts';
import type { Plan } from './plan/types.ts';
import { type MachineOptions, planRecipe, type RunOptions, recipeEvents } from './run.ts';

/** One checkpoint, what is made of it, and how the machine is used. */
export interface ConvertOptions
  extends Pick<Recipe, 'format' | 'shardSize' | 'files' | 'names' | 'config' | 'allowUnknown' | 'baseModelId'>,
    Pick<RecipeOutput, 'dtype'>,
    MachineOptions {
  /** A checkpoint: a folder or a file of any container that is read. */
  readonly input: string;
  /** Folder to make, or a .safetensors file where the input is a file. */
  readonly output: string;
}

const OF_RECIPE = {
  format: RECIPE.format,
  files: RECIPE.files,
  shardSize: RECIPE.shardSize,
  names: RECIPE.names,
  config: RECIPE.config,
  allowUnknown: CHECKS.allowUnknown,
  baseModelId: RECIPE.baseModelId,
} as const;

/** What a conversion takes, in the library. */
const OF_CONVERT = {
  input: { kind: 'path', needed: true },
  output: { kind: 'path', needed: true },
  dtype: OUTPUT.dtype,
  ...OF_RECIPE,
  ...OF_MACHINE,
} as const satisfies Taken<ConvertOptions>;

/**
 * Exactly what {@link convert} would do with these options. Writes nothing.
 *
 * @throws MergeError with every conflict in `details.conflicts`; `signal.reason` when aborted
 */
export async function planConversion(options: ConvertOptions, { signal }: Pick<RunOptions, 'signal'> = {}): Promise<Plan> {
  checkGiven('planConversion', options, OF_CONVERT);
  return planRecipe(conversionRecipe(options), { ...machineOf(options), signal });
}

/** {@link convert} as a stream of typed events. Ending the iteration early ends it. */
export async function* convertEvents(
  options: ConvertOptions,
  { signal }: Pick<RunOptions, 'signal'> = {},
): AsyncGenerator<MergeEvent, MergeResult> {
  checkGiven('convert', options, OF_CONVERT);
  return yield* recipeEvents(conversionRecipe(options), { ...machineOf(options), signal });
}

/**
 * Writes one checkpoint, of any container that is read, as safetensors, which appears whole or not at all.
 * Tensors keep the names that the container has for them; those of the optimizer and of the trainer's state
 * are left out. Bytes are copied, whatever they are: NaN with its payload, codes with their scales. With
 * `dtype`, floats of another dtype are rounded to it as in a merge of one checkpoint, and quantised weights
 * are dequantised.
 *
 * @throws MergeError (see `code`), or `signal.reason` when aborted; E_OPTION for a run folder, of which one
 *   checkpoint has to be named
 * @example const result = await convert({ input: 'run/iter_0001000', output: 'step1000', shardSize: '5GB' });
 */
export async function convert(options: ConvertOptions, { signal, onProgress }: RunOptions = {}): Promise<MergeResult> {
  return drain(convertEvents(options, { signal }), onProgress);
}

function machineOf(options: ConvertOptions): MachineOptions {
  return pick<ConvertOptions, keyof typeof OF_MACHINE>(options, keysOf(OF_MACHINE));
}

function conversionRecipe(options: ConvertOptions): Recipe {
  const { input, output, dtype } = options;
  return {
    inputs: [input],
    outputs: [{ path: output, convert: true, ...(dtype !== undefined && { dtype }) }],
    ...pick<ConvertOptions, keyof typeof OF_RECIPE>(options, keysOf(OF_RECIPE)),
  };
}
