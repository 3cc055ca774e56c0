import type { PlanDocument } from '../../index.ts';
import { formatBytes, plural, printable } from '../format.ts';
import type { Colors } from '../terminal.ts';
import { memberTable } from './merge-table.ts';

/** What `plan` and `average --dry-run` print. */
export function planText(plan: PlanDocument, colors: Colors): string {
  const lines: string[] = [];
  for (const output of plan.outputs) {
    const members = plural(output.members.length, 'checkpoint');
    lines.push(`would merge ${members} into ${colors.bold(printable(output.path))} (${output.method})`, '');
    lines.push(...memberTable(output.members), '');
    lines.push(`  ${plural(output.tensors, 'tensor')}, ${formatBytes(output.bytesWritten)}`);
    if (output.dtypeChanges.length > 0) lines.push(`  stored in another dtype: ${output.dtypeChanges.join(', ')}`);
    lines.push(...output.excluded.map(({ path, reason }) => `  left out: ${printable(path)}: ${printable(reason)}`));
  }
  lines.push(`  reads ${formatBytes(plan.bytesRead)}, writes ${formatBytes(plan.bytesWritten)}`);
  lines.push(`  needs ${formatBytes(plan.freeBytesNeeded)} of ${formatBytes(plan.freeBytesAvailable)} free`);
  lines.push(`  memory at most ${formatBytes(plan.peakMemoryBytes)}`);
  lines.push('', 'nothing was written');
  return `${lines.join('\n')}\n`;
}
