import type { MergeResult } from '../../engine/events.ts';
import { formatBytes, formatRate, formatSeconds, plural, printable } from '../format.ts';
import { shellQuote } from '../shell-quote.ts';
import type { Colors } from '../terminal.ts';
import { memberTable } from './merge-table.ts';

/**
 * What `average` prints when it is done.
 * @param invocation how the program is called here, for the command that checks the result
 */
export function mergeSummary(result: MergeResult, colors: Colors, invocation: string): string {
  const lines: string[] = [];
  for (const output of result.outputs) {
    const members = plural(output.members.length, 'checkpoint');
    lines.push(`${colors.green('merged')} ${members} into ${colors.bold(printable(output.path))} (${output.method})`, '');
    lines.push(...memberTable(output.members), '');
    lines.push(`  ${plural(output.tensors, 'tensor')}, ${formatBytes(output.bytesWritten)} written, ${machine(result)}`);
  }
  const { bytesRead, seconds, phases } = result;
  const written = result.outputs.reduce((sum, output) => sum + output.bytesWritten, 0) - result.resumedBytes;
  const syncing = phases.syncSeconds >= 0.001 ? `, ${formatSeconds(phases.syncSeconds)} of it syncing` : '';
  const rates = `read ${formatRate(bytesRead / seconds)}, write ${formatRate(written / seconds)}`;
  lines.push(`  ${formatBytes(bytesRead)} read in ${formatSeconds(seconds)}${syncing} (${rates})`);
  if (result.resumedBytes > 0) lines.push(`  ${formatBytes(result.resumedBytes)} of the output was taken over from an interrupted run`);
  if (result.peakAnonBytes !== null && result.peakRssBytes !== null) {
    lines.push(`  peak memory ${formatBytes(result.peakAnonBytes)} anonymous, ${formatBytes(result.peakRssBytes)} with mapped files`);
  }
  if (result.warnings.length > 0) lines.push(`  ${colors.yellow(plural(result.warnings.length, 'warning'))}, see above`);
  lines.push('', ...result.outputs.map((output) => `check it with: ${invocation} verify ${shellQuote(output.path)}`));
  return `${lines.join('\n')}\n`;
}

function machine({ threads, isa, io }: MergeResult): string {
  const inputs = { map: 'inputs mapped', read: 'inputs read', mixed: 'inputs mapped and read' }[io];
  return threads === 0 ? 'all of it by the interrupted run' : `${plural(threads, 'thread')}, ${isa}, ${inputs}`;
}
