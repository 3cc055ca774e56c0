import type { FloatDtypeName } from './dtype.ts';
import type { MergeEvent, MergeResult } from './engine/events.ts';
import { type ExecuteOptions, executePlan } from './engine/execute.ts';
import { MergeError } from './errors.ts';
import { buildPlan } from './plan/build.ts';
import type { Plan } from './plan/types.ts';
import type { ScheduleName } from './schedule/registry.ts';

export interface WeightedInput {
  readonly path: string;
  readonly weight: number;
}

/** One merged checkpoint from some checkpoints. */
export interface AverageOptions extends Omit<ExecuteOptions, 'signal'> {
  /** Checkpoints (folders or .safetensors files). Either all carry a weight or none does. */
  readonly inputs: readonly (string | WeightedInput)[];
  /** Folder to make, or a .safetensors file where all inputs are files. */
  readonly output: string;
  /** Named schedule; `sma` when neither this nor weights are given. */
  readonly method?: ScheduleName | undefined;
  /** Weight of the newest member in each step of `ema`, in (0, 1]. */
  readonly alpha?: number | undefined;
  /** Explicit weights in the order of `inputs`, used as given. */
  readonly weights?: readonly number[] | undefined;
  /** Divide explicit weights by their sum. */
  readonly normalize?: boolean | undefined;
  /** Dtype of all float tensors; each as in the newest input when absent. */
  readonly dtype?: FloatDtypeName | undefined;
  /** Bound of native buffers in bytes; default 256 MiB. */
  readonly memory?: number | undefined;
  /** Checkpoint whose shards, tensor order, names, dtypes and metadata the output follows. */
  readonly like?: string | undefined;
  /** Let a tensor have different float dtypes among the inputs; it is stored as in the layout. */
  readonly allowMixedDtypes?: boolean | undefined;
}

export interface RunOptions {
  /** Ends the merge; the promise rejects with `signal.reason` and no output appears. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((event: MergeEvent) => void) | undefined;
}

/**
 * Exactly what {@link average} would do with these options: members in order with effective weights, files, bytes, memory and space. Writes nothing.
 *
 * @throws MergeError with every conflict in `details.conflicts`; `signal.reason` when aborted
 */
export async function plan(options: AverageOptions, { signal }: Pick<RunOptions, 'signal'> = {}): Promise<Plan> {
  const { inputs, output, method, alpha, normalize, dtype, like, allowMixedDtypes, memory, force, threads } = options;
  if (threads !== undefined && !(Number.isInteger(threads) && threads > 0)) {
    throw new MergeError('E_OPTION', `threads must be a positive integer, not ${threads}`);
  }
  if (memory !== undefined && !(Number.isSafeInteger(memory) && memory > 0)) {
    throw new MergeError('E_OPTION', `memory must be a positive number of bytes, not ${memory}`);
  }
  const request = {
    inputs: inputs.map((i) => (typeof i === 'string' ? i : i.path)),
    outputs: [{ path: output, method, alpha, weights: weightsOf(options), normalize, dtype }],
    like,
    allowMixedDtypes,
    memory,
    force,
  };
  return buildPlan(request, signal);
}

function weightsOf({ inputs, weights }: AverageOptions): readonly number[] | undefined {
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
  return carried;
}

/** {@link average} as a stream of typed events. Ending the iteration early ends the merge. */
export async function* averageEvents(
  options: AverageOptions,
  { signal }: Pick<RunOptions, 'signal'> = {},
): AsyncGenerator<MergeEvent, MergeResult> {
  signal?.throwIfAborted();
  return yield* executePlan(await plan(options, { signal }), { ...options, signal });
}

/**
 * Merges checkpoints of one run into one checkpoint, which appears whole or not at all.
 *
 * Each float tensor is `w_1·x_1 + … + w_N·x_N` in float64, each multiply and add rounded on its own, then rounded to float32 and to the output dtype;
 * the bytes do not depend on CPU, threads, sharding or memory. `docs/arithmetic.md` has the whole promise.
 *
 * @throws MergeError (see `code`), or `signal.reason` when aborted
 * @example
 * const result = await average({ inputs: ['run/checkpoint-1000', 'run/checkpoint-2000'], output: 'merged' });
 */
export async function average(options: AverageOptions, { signal, onProgress }: RunOptions = {}): Promise<MergeResult> {
  const events = averageEvents(options, { signal });
  for (;;) {
    const { value, done } = await events.next();
    if (done) return value;
    onProgress?.(value);
  }
}
