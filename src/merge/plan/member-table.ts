import { stepCell, stepLabel } from '../../checkpoints/run/position.ts';
import { formatBytes, formatCount, formatStep, formatTable, printable, withEqualDecimals } from '../../render/format.ts';
import { plainNumber } from '../../render/numbers.ts';
import type { MergedMember } from './types.ts';

/** Digits of a score in a table. */
const SCORE_DIGITS = 6;
const scoreCell = (score: number) => String(Number(score.toPrecision(SCORE_DIGITS)));

/** Members with their steps, tokens where any has them, scores that they were chosen by, and effective weights; two spaces in. */
export function memberTable(members: readonly MergedMember[]): string[] {
  const tokens = members.some((m) => m.tokens !== null);
  const scored = members.some((m) => m.score !== undefined);
  const columns = (step: string, token: string, score: string, weight: string, path: string) => [
    ...[step, ...(tokens ? [token] : []), ...(scored ? [score] : [])],
    ...[weight, path],
  ];
  const weights = withEqualDecimals(members.map((m) => plainNumber(m.weight, 6)));
  const rows = [
    columns('step', 'tokens', 'score', 'weight', 'checkpoint'),
    ...members.map((m, i) =>
      columns(
        stepCell(m, formatStep) ?? '-',
        known(m.tokens, formatCount),
        known(m.score ?? null, scoreCell),
        weights[i]!,
        printable(m.path),
      ),
    ),
  ];
  const align = columns('right', 'right', 'right', 'right', 'left') as ('left' | 'right')[];
  return formatTable(rows, align).map((line) => `  ${line}`);
}

/** One member alone is no mean; a line of that, two spaces in. */
export function copyLine(members: readonly MergedMember[]): string[] {
  const [only, ...others] = members;
  if (only === undefined || others.length > 0 || only.weight !== 1) return [];
  return [`  one member: a copy of ${stepLabel(only) ?? printable(only.path)}`];
}

interface OutputRow {
  readonly path: string;
  readonly method: string;
  readonly members: readonly MergedMember[];
  readonly bytesWritten: number;
}

/** Several outputs of one read, a line each; two spaces in. */
export function outputTable(outputs: readonly OutputRow[]): string[] {
  const rows = [
    ['members', 'steps', 'method', 'size', 'output'],
    ...outputs.map(({ path, method, members, bytesWritten }) => [
      formatCount(members.length),
      `${known(members[0]?.step ?? null, formatStep)} to ${known(members.at(-1)?.step ?? null, formatStep)}`,
      method,
      formatBytes(bytesWritten),
      printable(path),
    ]),
  ];
  return formatTable(rows, ['right', 'right', 'left', 'right', 'left']).map((line) => `  ${line}`);
}

const known = (n: number | null, format: (n: number) => string) => (n === null ? '-' : format(n));
