import { isThere } from '../../base/disk/own-file.ts';
import { MergeError } from '../../base/errors.ts';
import { readStart } from '../../base/store/store.ts';
import type { ScoreRow } from './rows.ts';

/** Columns of a CSV before those of metrics, which come by name as `metric:NAME`. */
const COLUMNS = [
  ...(['study', 'trial', 'kind', 'name', 'series', 'step', 'tokens', 'status', 'score', 'stderr', 'gain', 'gainError'] as const),
  ...(['seconds', 'mergeSeconds', 'cost', 'time', 'reason'] as const),
];
/** Bytes in which the first row of a file ends. */
const FIRST_BYTES = 65_536;

/** RFC 4180, as spreadsheets and pandas read it: fields with a comma, a quote or a line end are quoted. */
export function csvText(rows: readonly ScoreRow[]): string {
  const metrics = [...new Set(rows.flatMap((row) => Object.keys(row.metrics)))].sort();
  const head = [...COLUMNS.map(snake), ...metrics.map((name) => `metric:${name}`), 'weights'];
  const lines = rows.map((row) => [
    ...COLUMNS.map((name) => row[name]),
    ...metrics.map((name) => row.metrics[name] ?? null),
    row.weights.map(({ name, weight }) => `${name}=${weight}`).join(' '),
  ]);
  return [head, ...lines].map((line) => `${line.map(field).join(',')}\r\n`).join('');
}

export function jsonlText(rows: readonly ScoreRow[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function field(value: string | number | null): string {
  if (value === null) return '';
  const text = String(value);
  // A spreadsheet takes what begins so for a formula.
  const safe = typeof value === 'string' && /^[=+@\t\r-]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/**
 * Refuses a file that is none of this study. @throws MergeError E_OUTPUT_EXISTS
 */
export async function checkTableFile(file: string, study: string | null): Promise<void> {
  if (!isThere(file)) return;
  const start = (await readStart(file, FIRST_BYTES)).toString('utf8');
  const found = /^study,trial,[^\n]*\n"?([0-9a-f]{12})"?,/.exec(start)?.[1] ?? /^\{"study":"([0-9a-f]{12})"/.exec(start)?.[1] ?? null;
  const isEmpty = start === '' || /^study,trial,[^\n]*\n$/.test(start);
  if (isEmpty || (found !== null && found === study)) return;
  throw new MergeError('E_OUTPUT_EXISTS', found === null ? `${file} is no log of scores` : `${file} holds the scores of another study`, {
    details: { file },
    help: 'Name another file, as --log csv=PATH, or move this one away.',
  });
}
