import { getSystemErrorMap } from 'node:util';
import { type ErrorCode, MergeError } from '../errors.ts';

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
 * Node's name of the errno behind an error of Node or of the native addon; undefined where the operating
 * system said nothing.
 */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { errno, code } = error as { errno?: unknown; code?: unknown };
  // The addon puts the name into `errno` and its own reason into `code`; Node puts a number into `errno` and
  // the name into `code`.
  if (typeof errno === 'string') return errno;
  return typeof errno === 'number' && typeof code === 'string' ? code : undefined;
}

interface Row {
  readonly input: ErrorCode;
  readonly output: ErrorCode;
  readonly help?: string;
}

const SPACE: Row = { input: 'E_NO_SPACE', output: 'E_NO_SPACE' };
const DENIED: Row = { input: 'E_NOT_READABLE', output: 'E_READ_ONLY' };
const WRONG_KIND: Row = { input: 'E_NOT_READABLE', output: 'E_OUTPUT_KIND' };
const FILES: Row = { input: 'E_TOO_MANY_FILES', output: 'E_TOO_MANY_FILES' };
const AGAIN: Row = { input: 'E_TEMPORARY', output: 'E_TEMPORARY' };

const ROWS: Readonly<Record<string, Row>> = {
  ENOSPC: SPACE,
  EDQUOT: { ...SPACE, help: 'The disk quota of this user or project is used up: free some of it, or write elsewhere.' },
  EFBIG: { ...SPACE, help: 'The file is larger than `ulimit -f` or the file system allows.' },
  EACCES: DENIED,
  EPERM: DENIED,
  EROFS: DENIED,
  ENOENT: { input: 'E_NOT_FOUND', output: 'E_IO', help: 'Check the path, and that no other process removed it meanwhile.' },
  ENOTDIR: WRONG_KIND,
  EISDIR: WRONG_KIND,
  ELOOP: { ...WRONG_KIND, help: 'The path runs through symbolic links in a circle.' },
  ENXIO: WRONG_KIND,
  ENAMETOOLONG: {
    input: 'E_NOT_FOUND',
    output: 'E_OUTPUT_KIND',
    help: 'The name is longer than the file system allows: choose a shorter one.',
  },
  EMFILE: FILES,
  ENFILE: FILES,
  EXDEV: {
    input: 'E_IO',
    output: 'E_IO',
    help: 'A layered file system (a container image) cannot rename a folder of its lower layer: choose another output.',
  },
  ENOMEM: { input: 'E_NO_MEMORY', output: 'E_NO_MEMORY' },
  ESTALE: { ...AGAIN, help: 'The network file system lost track of the file, which passes: run the same command again.' },
  ETIMEDOUT: AGAIN,
  EAGAIN: AGAIN,
  EBUSY: AGAIN,
};

/** The code that an errno stands for on one side of a merge; undefined where it is a plain E_IO. */
export function errnoCode(errno: string, side: IoContext['side']): ErrorCode | undefined {
  return ROWS[errno]?.[side];
}

/** What to do about an errno, where there is more to say than the code of the error does. */
export function errnoHelp(errno: string): string | undefined {
  return ROWS[errno]?.help;
}

const TEXTS: ReadonlyMap<string, string> = new Map([...getSystemErrorMap().values()]);

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
  const row = ROWS[errno];
  const { syscall } = error as { syscall?: unknown };
  const where = typeof syscall === 'string' ? `${errno} from ${syscall}` : errno;
  return new MergeError(
    row?.[context.side] ?? 'E_IO',
    `could not ${context.action} ${context.file}: ${TEXTS.get(errno) ?? 'failed'} (${where})`,
    {
      details: { file: context.file, errno, ...(typeof syscall === 'string' ? { syscall } : {}) },
      ...(row?.help === undefined ? {} : { help: row.help }),
      cause: error,
    },
  );
}

/** Runs a file operation of the output side and turns what it throws into a MergeError. */
export async function onOutput<T>(action: string, file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toMergeError(error, { action, file, side: 'output' });
  }
}
