import { rowName, type TreatmentRow } from '../../recipe/policy/table.ts';
import { formatBytes, formatCount, formatTable, printable } from '../../render/format.ts';

/**
 * What was done with the tensors of each role, two spaces in; nothing where all of them are treated alike by
 * default.
 */
export function treatmentLines(rows: readonly TreatmentRow[]): string[] {
  const alike = rows.every(({ treatment, policy }) => policy === null && treatment === rows[0]!.treatment);
  if (alike) return [];
  const lines = rows.map((row) => [
    rowName(row),
    formatCount(row.tensors),
    formatBytes(row.bytes),
    printable(row.treatment),
    row.policy === null ? '' : printable(row.policy),
  ]);
  const table = [['role', 'tensors', 'size', 'treatment', rows.some(({ policy }) => policy !== null) ? 'policy' : ''], ...lines];
  return formatTable(table, ['left', 'right', 'right', 'left', 'left']).map((line) => `  ${line}`);
}
