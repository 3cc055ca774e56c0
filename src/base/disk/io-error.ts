import { MergeError } from '../errors.ts';
import { errnoMeaning, errnoOf, errnoText } from './errno.ts';

/**
 * What was being done to which file, for the message; `side` decides whether a refusal is the input's fault
 * or the output's.
 */
export interface IoContext {
  /** Verb of the message: `read`, `create`, `flush`. */
  readonly action: string;
  readonly file: string;
  readonly side: 'input' | 'output';
}

/**
 * The MergeError for whatever a file operation threw. A MergeError passes through; an error without an errno
 * is a defect (E_INTERNAL), so an abort reason must not be handed in.
 */
export function toMergeError(error: unknown, context: IoContext): MergeError {
  if (error instanceof MergeError) return error;
  const errno = errnoOf(error);
  if (errno === undefined) {
    const text = error instanceof Error ? error.message : String(error);
    return new MergeError('E_INTERNAL', `could not ${context.action} ${context.file}: ${text}`, {
      details: { file: context.file },
      cause: error,
    });
  }
  const { [context.side]: code, help } = errnoMeaning(errno);
  const { syscall } = error as { syscall?: unknown };
  const where = typeof syscall === 'string' ? `${errno} from ${syscall}` : errno;
  return new MergeError(code, `could not ${context.action} ${context.file}: ${errnoText(errno) ?? 'failed'} (${where})`, {
    details: { file: context.file, errno, ...(typeof syscall === 'string' ? { syscall } : {}) },
    ...(help === undefined ? {} : { help }),
    cause: error,
  });
}

/**
 * Whether something that was used is there no more: removed (ENOENT), on NFS by another machine while it was held
 * open here (ESTALE). FUSE says ENOENT of that too.
 */
export function isGoneError(error: unknown): boolean {
  const errno = error instanceof MergeError ? error.details.errno : errnoOf(error);
  return errno === 'ENOENT' || errno === 'ESTALE';
}

/** Runs a file operation of the output side and turns what it throws into a MergeError. */
export async function onOutput<T>(action: string, file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toMergeError(error, { action, file, side: 'output' });
  }
}
