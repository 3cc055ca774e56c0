import { rowName, type TreatmentRow } from '../../recipe/policy/table.ts';
import { formatBytes, formatCount, formatTable, printable } from '../../render/format.ts';

/** Rows that a terminal shows: a file of weights may make hundreds. */
const MOST_ROWS = 60;

/**
 * What was done with the tensors of each role, two spaces in; nothing where all of them are treated alike by
 * default.
 */
export function treatmentLines(rows: readonly TreatmentRow[]): string[] {
  const alike = rows.every(({ treatment, policy }) => policy === null && treatment === rows[0]!.treatment);
  if (alike) return [];
  const shown = rows.length > MOST_ROWS ? rows.slice(0, MOST_ROWS - 1) : rows;
  const lines = shown.map((row) => [
    rowName(row),
    formatCount(row.tensors),
    formatBytes(row.bytes),
    printable(row.treatment),
    row.policy === null ? '' : printable(row.policy),
  ]);
  const table = [['role', 'tensors', 'size', 'treatment', rows.some(({ policy }) => policy !== null) ? 'policy' : ''], ...lines];
  const text = formatTable(table, ['left', 'right', 'right', 'left', 'left']).map((line) => `  ${line}`);
  const rest = rows.slice(shown.length);
  const tensors = rest.reduce((sum, row) => sum + row.tensors, 0);
  return rest.length === 0 ? text : [...text, `  and ${rest.length} more rows, of ${formatCount(tensors)} tensors`];
}
