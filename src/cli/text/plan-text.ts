import type { PlanDocument } from '../../index.ts';
import { formatBytes, formatSeconds, plural, printable } from '../format.ts';
import type { Colors } from '../terminal.ts';
import { memberTable, outputTable } from './merge-table.ts';

/** Checkpoints left out that are shown by name; `--json` has all. */
const MOST_EXCLUDED = 12;

/** What `plan` and `average --dry-run` print. */
export function planText(plan: PlanDocument, colors: Colors): string {
  const several = plan.outputs.length > 1;
  const lines = several
    ? [`would make ${colors.bold(plural(plan.outputs.length, 'output'))} in one read`, '', ...outputTable(plan.outputs), '']
    : [];
  // What one output left out another may take: with several of them the list is for --json.
  for (const output of plan.outputs) lines.push(...outputLines(output, colors, several ? 0 : MOST_EXCLUDED), '');
  for (const path of plan.finished) lines.push(`  made already by the interrupted run: ${printable(path)}`);
  lines.push(`  reads ${formatBytes(plan.bytesRead)}, writes ${formatBytes(plan.bytesWritten)}`);
  lines.push(`  needs ${formatBytes(plan.freeBytesNeeded)} of ${formatBytes(plan.freeBytesAvailable)} free`);
  lines.push(`  memory at most ${formatBytes(plan.peakMemoryBytes)}`);
  if (plan.expectedSeconds !== null) {
    lines.push(`  about ${formatSeconds(plan.expectedSeconds)}, by what the disks gave in half a second just now`);
  }
  lines.push('', 'nothing was written');
  return `${lines.join('\n')}\n`;
}

function outputLines(output: PlanDocument['outputs'][number], colors: Colors, mostExcluded: number): string[] {
  const { members, method, excluded, phase } = output;
  const parameters = Object.entries(output.parameters).map(([name, value]) => `, ${name} ${printable(String(value))}`);
  const lines = [
    `would merge ${plural(members.length, 'checkpoint')} into ${colors.bold(printable(output.path))} (${method}${parameters.join('')})`,
    '',
    ...memberTable(members),
    '',
    `  ${plural(output.tensors, 'tensor')}, ${formatBytes(output.bytesWritten)}`,
  ];
  if (output.dtypeChanges.length > 0) lines.push(`  stored in another dtype: ${output.dtypeChanges.join(', ')}`);
  if (phase !== null) lines.push(`  ${printable(phase.text)}`);
  lines.push(...output.notes.map((note) => `  ${printable(note)}`));
  lines.push(
    ...excluded.slice(0, mostExcluded).map(({ path, reason }) => colors.dim(`  left out: ${printable(path)}: ${printable(reason)}`)),
  );
  if (excluded.length > mostExcluded)
    lines.push(colors.dim(`  left out: ${excluded.length - mostExcluded}${mostExcluded > 0 ? ' more' : ''}, all of them with --json`));
  return lines;
}
