import { errnoOf } from '../base/disk/errno.ts';
import { toMergeError } from '../base/disk/io-error.ts';
import { type Conflict, ERROR_CODES, type ErrorCode, type ErrorDetails, MergeError, type Warning } from '../base/errors.ts';
import type { Colors } from './colors.ts';
import { formatCount, printable } from './format.ts';

/** Conflicts shown, those that are alike as one; the rest is counted. */
const CONFLICTS_SHOWN = 10;

const FOLDER_GONE = {
  message: 'the current folder is gone: it was removed, or made anew under the same name',
  help: 'Change to a folder that is there (cd "$PWD" where it was made anew), and run the same command again.',
} as const;

/** An error as the CLI reports it, whatever was thrown. */
export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
  readonly help: string;
  readonly exitCode: number;
  readonly stack: string | null;
}

/**
 * What was thrown, as a failure. What the operating system refused has the code of its errno, even where
 * nobody said what was being done; anything else but a MergeError is E_INTERNAL.
 */
export function asFailure(error: unknown): Failure {
  if (error instanceof MergeError) {
    const { code, message, details, help, exitCode } = error;
    return { code, message, details, help, exitCode, stack: stackOf(error) };
  }
  if (errnoOf(error) !== undefined) {
    const { path, syscall } = error as NodeJS.ErrnoException;
    // Of relative paths nobody knows any more where they lead.
    if (syscall === 'uv_cwd')
      return asFailure(new MergeError('E_NOT_FOUND', FOLDER_GONE.message, { help: FOLDER_GONE.help, cause: error }));
    return asFailure(toMergeError(error, { action: syscall ?? 'use', file: path ?? 'a file', side: 'output' }));
  }
  const { exit, help } = ERROR_CODES.E_INTERNAL;
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'E_INTERNAL', message, details: {}, help, exitCode: exit, stack: stackOf(error) };
}

/**
 * `error[E_CODE]: what`, then where and why, then `help:`. The message of the library may have several lines;
 * file and tensor are added where it does not name them.
 */
export function errorText(failure: Failure, colors: Colors, debug: boolean): string {
  const { code, message, details, help } = failure;
  const [first = '', ...more] = message.split('\n');
  const lines = [
    `${colors.red(colors.bold(`error[${code}]`))}: ${printable(first)}`,
    ...more.map((line) => `  ${printable(line.trimEnd())}`),
  ];
  const conflicts = conflictLines(details.conflicts ?? [], message);
  lines.push(...conflicts);
  if (conflicts.length === 0) {
    for (const key of ['file', 'tensor'] as const) {
      const value = details[key];
      if (value !== undefined && !message.includes(value)) lines.push(`  ${key}: ${printable(value)}`);
    }
  }
  for (const [i, line] of help.split('\n').entries()) {
    if (help !== '') lines.push(i === 0 ? `  ${colors.cyan('help:')} ${printable(line)}` : `        ${printable(line)}`);
  }
  if (debug && failure.stack !== null) lines.push(...failure.stack.split('\n').map((line) => colors.dim(printable(line))));
  return `${lines.join('\n')}\n`;
}

/** `warning[W_CODE]: message`. */
export function warningText(warning: Warning, colors: Colors): string {
  const [first = '', ...more] = warning.message.split('\n');
  const head = `${colors.yellow(`warning[${warning.code}]`)}: ${printable(first)}`;
  return `${[head, ...more.map((line) => `  ${printable(line.trimEnd())}`)].join('\n')}\n`;
}

/** The document that `--json` prints for a failure. */
export function errorDocument({ code, message, details, help }: Failure): object {
  return { schema: 'ckpt-merge/error', version: 1, code, message, details, help };
}

function conflictLines(conflicts: readonly Conflict[], headline: string): string[] {
  // A plan with one conflict says it in the headline already.
  if (conflicts.length === 0 || (conflicts.length === 1 && headline.includes(conflicts[0]!.message))) return [];
  const groups = alike(conflicts);
  const lines = groups.slice(0, CONFLICTS_SHOWN).map(([first, ...more]) => conflictLine(first, more));
  const shown = groups.slice(0, CONFLICTS_SHOWN).reduce((sum, group) => sum + group.length, 0);
  const rest = conflicts.length - shown;
  if (rest > 0) lines.push(`  and ${formatCount(rest)} more (all of them with --json)`);
  else if (groups.length < conflicts.length) lines.push(`  (all ${formatCount(conflicts.length)} of them with --json)`);
  return lines;
}

type Group = [Conflict, ...Conflict[]];

/** Conflicts that say one thing of several tensors or files, numbers aside; two are shown one by one. */
function alike(conflicts: readonly Conflict[]): Group[] {
  const groups = new Map<string, Group>();
  for (const conflict of conflicts) {
    const { code, message, tensor, file } = conflict;
    const said = [tensor, file].reduce<string>(
      (text, part) => (part === undefined || part === '' ? text : text.replaceAll(part, '')),
      message,
    );
    const key = `${code} ${said.replaceAll(/\d+/g, '#')}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [conflict]);
    else group.push(conflict);
  }
  return [...groups.values()].flatMap((group): Group[] => (group.length > 2 ? [group] : group.map((one): Group => [one])));
}

/** Tensors that are named of those of which the same is said. */
const EXAMPLES = 2;

function conflictLine({ message, file, tensor }: Conflict, more: readonly Conflict[]): string {
  const missing = [tensor, file].filter((part) => part !== undefined && !message.includes(part)).map((part) => printable(part!));
  const where = missing.length === 0 ? '' : ` (${missing.join(', ')})`;
  const said = message
    .split('\n')
    .map((line) => printable(line.trimEnd()))
    .join('\n    ');
  if (more.length === 0) return `  - ${said}${where}`;
  const names = [...new Set(more.map((other) => other.tensor ?? other.file))].filter((name) => name !== undefined && name !== tensor);
  const examples = names.slice(0, EXAMPLES).map((name) => printable(name!));
  const as = examples.length === 0 ? '' : `, as of ${examples.join(' and ')}`;
  return `  - ${said}${where}; and ${formatCount(more.length)} more alike${as}`;
}

function stackOf(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  const cause = error.cause === undefined ? '' : `\ncaused by: ${stackOf(error.cause) ?? String(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}
