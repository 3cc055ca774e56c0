import { errnoMeaning, errnoOf } from '../../base/disk/errno.ts';
import { type ErrorDetails, MergeError } from '../../base/errors.ts';
import type { NativeFailure } from '../native/binding.ts';
import type { Plan } from '../plan/types.ts';

/** What a batch of any kind knows of its files and tensors. */
export interface FailedBatch {
  /** Indices into `Plan.files`, as the call counts them. */
  readonly files: readonly number[];
  /** Rows of the first tensor of each segment or strip, in the outputs' table. */
  readonly firstRow: Int32Array;
}

/** Whether a native call ended because it was asked to. */
export function isCancelled(error: unknown): boolean {
  return (error as NativeFailure | undefined)?.code === 'E_CANCELLED';
}

/**
 * Turns what native code says (codes and indices) into what a user can act on (files and tensors). Other
 * errors pass through.
 * @param where `input` or `path` (of an output) where the call was about one file; batch, plan and shard
 *   where it was a `combine`
 */
export function describeFailure(
  error: unknown,
  where: { readonly input?: string; readonly path?: string; readonly batch?: FailedBatch; readonly plan?: Plan; readonly shard?: number },
): unknown {
  if (error instanceof MergeError || !(error instanceof Error)) return error;
  const { code, errno: said, syscall, fileIndex, outputIndex, segment } = error as NativeFailure;
  if (typeof code !== 'string' || !code.startsWith('E_') || code === 'E_CANCELLED') return error;
  const errno = said === undefined ? undefined : errnoOf(error);
  const { batch, plan, shard } = where;
  const input =
    batch !== undefined && plan !== undefined && fileIndex !== undefined ? plan.files[batch.files[fileIndex]!]?.path : where.input;
  const output = plan !== undefined && shard !== undefined && outputIndex !== undefined ? plan.outputs[outputIndex] : undefined;
  const outputFile = output === undefined ? undefined : `${output.path} (${output.files[shard!]!.name})`;
  const file = input ?? outputFile ?? where.path;
  const row = segment === undefined ? undefined : batch?.firstRow[segment];
  const tensor = row === undefined || plan === undefined || shard === undefined ? undefined : plan.tables[shard]!.names[row];
  const details: ErrorDetails = {
    ...(file === undefined ? {} : { file }),
    ...(tensor === undefined ? {} : { tensor }),
    ...(errno === undefined ? {} : { errno }),
    ...(syscall === undefined ? {} : { syscall }),
  };
  const place = file === undefined ? '' : ` (${file}${tensor === undefined ? '' : `, near tensor ${tensor}`})`;
  // Native code does not know whose fault an errno is: an input that was removed meanwhile is not there, an
  // output that was is an I/O error.
  const meaning = errno === undefined ? undefined : errnoMeaning(errno);
  const meant = code === 'E_IO' ? meaning?.[input === undefined ? 'output' : 'input'] : undefined;
  const public_ = meant ?? (code === 'E_INVALID_ARG' ? 'E_INTERNAL' : code);
  const help = meaning?.help;
  // The addon has names for the common ones, and the number for the others.
  const message = said === undefined || errno === undefined ? error.message : error.message.replace(`${said} (`, `${errno} (`);
  return new MergeError(public_, `${message}${place}`, { details, cause: error, ...(help === undefined ? {} : { help }) });
}
