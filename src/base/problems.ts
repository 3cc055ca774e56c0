import { type Conflict, ERROR_CODES, type ErrorCode, MergeError } from './errors.ts';
import { inReadersWords } from './option-words.ts';

/** One thing that is wrong with what was asked for, by itself or in a file. */
export interface Problem {
  /** Keys and indices to the entry at fault; empty for the whole. */
  readonly path: readonly (string | number)[];
  /** In words, with the entry's name in it. */
  readonly message: string;
  /** What to do about it. */
  readonly help?: string;
  /** The last key itself is at fault, whatever stands behind it. */
  readonly atKey?: true;
}

/** How problems are told. */
export interface Refusal {
  /** The headline where there is more than one. */
  readonly several: (count: number) => string;
  /** Code of what brings none of its own; E_OPTION when absent. */
  readonly code?: ErrorCode;
  /** Stands before the headline, and not before each problem. */
  readonly lead?: string;
  /** The file at fault as a whole; that of the first problem when absent. */
  readonly file?: string;
  /** The help of the first problem when absent. */
  readonly help?: string;
}

/** `parameters.window.from`, `parameters.spacing[1]`. */
export function pathText(path: Problem['path']): string {
  return path.reduce<string>((text, key) => (typeof key === 'number' ? `${text}[${key}]` : text === '' ? key : `${text}.${key}`), '');
}

/** @throws MergeError as {@link refusal} makes it; nothing where there are no problems */
export function refuse(problems: readonly (string | Problem | Conflict)[], how: Refusal): void {
  if (problems.length > 0) throw refusal(problems, how);
}

/**
 * One problem is its own headline; of several all are in `details.conflicts`, usage before inputs before an
 * existing output before space, so that the exit code is that of what must be mended first. The code is the
 * one that those of this exit code share, else E_OPTION or E_CONFLICTS.
 *
 * @param problems at least one; a sentence where no place is known
 */
export function refusal(problems: readonly (string | Problem | Conflict)[], { several, lead = '', ...how }: Refusal): MergeError {
  const { code = 'E_OPTION', help = helpOf(problems[0]!) } = how;
  const conflicts = problems.map((problem) => conflictOf(problem, code)).sort((a, b) => exitOf(a) - exitOf(b));
  const first = conflicts[0]!;
  const shared = conflicts.every((other) => other.code === first.code || exitOf(other) > exitOf(first));
  const { file = how.file, tensor } = first;
  const details = { ...(file === undefined ? {} : { file: how.file ?? file }), ...(tensor === undefined ? {} : { tensor }), conflicts };
  const headline = conflicts.length === 1 ? first.message : several(conflicts.length);
  return new MergeError(shared ? first.code : exitOf(first) === 2 ? 'E_OPTION' : 'E_CONFLICTS', `${lead}${headline}`, {
    details,
    ...(help === undefined ? {} : { help }),
  });
}

function conflictOf(problem: string | Problem | Conflict, code: ErrorCode): Conflict {
  if (typeof problem === 'string') return { code, message: problem };
  if (!('code' in problem)) return { code, message: problem.message };
  return problem.help === undefined ? problem : { ...problem, help: inReadersWords(problem.help) };
}

function helpOf(problem: string | Problem | Conflict): string | undefined {
  return typeof problem === 'object' && 'help' in problem ? problem.help : undefined;
}

function exitOf({ code }: Conflict): number {
  return ERROR_CODES[code].exit;
}
