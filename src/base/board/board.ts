import { hostname } from 'node:os';
import { ERROR_CODES, type ErrorCode, MergeError } from '../errors.ts';
import type { Rank } from '../process/rank.ts';
import { shortDigest } from '../short-digest.ts';

/** What a rank says of itself each time that it gives a sign of life. */
export interface Sign {
  /**
   * `here`: at work; `left`: ended, and whatever it had not finished is anybody's; `failed`: ended by what no
   * other rank would fare better with (`Board.failures`).
   */
  readonly state: 'here' | 'left' | 'failed';
  readonly rank: number;
  /** What tells its start from others of the same command; null where the launcher says nothing. */
  readonly launch: string | null;
  /** A digest of its machine's name. */
  readonly host: string;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly seconds: number;
  /** The task that it is at, and for how long by its own clock; null while it is at none. */
  readonly doing: { readonly task: string; readonly seconds: number } | null;
}

/** What one of the ranks could not do, as it stands on the board. */
export interface RankFailure {
  readonly rank: number;
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
  readonly help: string;
}

/**
 * Where processes that carry out one command find each other: they claim pieces of the work by name, give
 * signs of life, and leave documents for the others. Nothing on it is ever changed by two of them. A folder
 * now (`FolderBoard`); anything that can make a name once will do.
 */
export interface Board {
  /** This process among those at the board. */
  readonly id: string;
  /** For people. */
  readonly path: string;
  /** Makes a name this process's; false where another has it. Of several that try, one gets true. */
  claim(name: string): Promise<boolean>;
  /** Who has a name; null where nobody has, or it cannot be told. */
  holder(name: string): Promise<string | null>;
  /** Names that are claimed, as far as can be seen: one that is missing here may be claimed all the same. */
  claimed(): Promise<ReadonlySet<string>>;
  /** Leaves a document, which appears whole. */
  put(name: string, text: string): Promise<void>;
  /** A document; null where there is none. */
  get(name: string): Promise<string | null>;
  /** Adds a line to what this process has found; the others see it when they look. */
  append(line: unknown): Promise<void>;
  /** The lines of each process, by id; of a line that is being written, or is none, nothing. */
  lines(): Promise<ReadonlyMap<string, readonly unknown[]>>;
  /** Gives a sign of life. */
  beat(sign: Sign): Promise<void>;
  /**
   * The last signs of all others that were seen, by id, read anew: an empty text where there is one that cannot
   * be read. @throws the errno where they cannot be looked for
   */
  signs(): Promise<ReadonlyMap<string, { readonly text: string; readonly sign: Sign | null }>>;
  /** Whether the board is there no more: whoever finished the work took it away. */
  gone(): Promise<boolean>;
}

/** Names of documents. */
export const PLAN_RECORD = 'plan.json';
export const REQUEST_RECORD = 'request.json';
export const RESULT = 'result.json';
export const orderRecord = (order: number): string => `order-${order}.json`;
export const failureRecord = (id: string): string => `failed-${id}.json`;

/**
 * What another rank failed with, to be thrown by this one.
 * @param text of its record
 */
export function failureOf(text: string, { path }: Pick<Board, 'path'>): MergeError {
  const { rank, code, message, details, help } = parsed(text);
  if (typeof message === 'string' && typeof help === 'string' && Object.hasOwn(ERROR_CODES, String(code)) && Number.isSafeInteger(rank)) {
    const theirs = typeof details === 'object' ? details : {};
    return new MergeError(code as ErrorCode, `rank ${rank}: ${message}`, { details: { ...theirs, rank }, help });
  }
  // `rank` says that it is not this one's failure.
  return new MergeError('E_BOARD', `${path}: a rank failed, and what it left of why cannot be read`, { details: { file: path, rank: -1 } });
}

function parsed(text: string): Partial<Record<keyof RankFailure, unknown>> {
  try {
    return (JSON.parse(text) as Partial<Record<keyof RankFailure, unknown>> | null) ?? {};
  } catch {
    return {};
  }
}

/** What a rank says of who it is; null is a process that was started alone. */
export function signOf(rank: Rank | null): Pick<Sign, 'rank' | 'launch' | 'host'> {
  return { rank: rank?.rank ?? 0, launch: rank?.launch ?? null, host: shortDigest(hostname()) };
}
