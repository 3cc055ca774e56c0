import { worded } from '../../base/option-words.ts';
import { shellQuote } from '../../base/process/shell-quote.ts';
import type { Colors } from '../../render/colors.ts';
import { formatBytes, formatRate, formatSeconds, plural, printable } from '../../render/format.ts';
import { copyLine, memberTable, outputTable } from '../plan/member-table.ts';
import { treatmentLines } from '../plan/treatment-table.ts';
import type { MergedMember } from '../plan/types.ts';
import type { MergedOutput, MergeResult } from './events.ts';
import { roundingTable } from './rounding-table.ts';
import { verifyCommand } from './verify-command.ts';

/**
 * What `average` prints when it is done.
 * @param invocation how the program is called here, for the command that checks the result
 * @param anew whether what is there was to be replaced as well as gone on with
 */
export function mergeSummary(result: MergeResult, colors: Colors, invocation: string, anew = false): string {
  const { outputs } = result;
  if (outputs.length === 0) return nothingDone(result.finished, colors, invocation, anew);
  const lines = outputs.length === 1 ? oneOutput(result, outputs[0]!, colors) : severalOutputs(result, colors);
  const { bytesRead, seconds, phases } = result;
  const written = outputs.reduce((sum, output) => sum + output.bytesWritten, 0) - result.resumedBytes;
  const syncing = phases.syncSeconds >= 0.001 ? `, ${formatSeconds(phases.syncSeconds)} of it syncing` : '';
  const rates = `read ${formatRate(bytesRead / seconds)}, write ${formatRate(written / seconds)}`;
  lines.push(`  ${formatBytes(bytesRead)} read in ${formatSeconds(seconds)}${syncing} (${rates})`);
  if (result.resumedBytes > 0) lines.push(`  ${formatBytes(result.resumedBytes)} of the output was taken over from an interrupted run`);
  for (const path of result.finished) lines.push(`  was there already, as this merge makes it: ${printable(path)}`);
  if (result.peakAnonBytes !== null && result.peakRssBytes !== null) {
    lines.push(`  peak memory ${formatBytes(result.peakAnonBytes)} anonymous, ${formatBytes(result.peakRssBytes)} with mapped files`);
  }
  if (result.warnings.length > 0) lines.push(`  ${colors.yellow(plural(result.warnings.length, 'warning'))}, see above`);
  lines.push('', `check ${outputs.length === 1 ? 'it' : 'each'} with: ${verifyCommand(outputs[0]!, invocation)}`);
  const [{ next }] = outputs as [MergedOutput];
  if (next !== null) lines.push(`to go on from ${outputs.length === 1 ? 'it' : 'each'}: ${printable(next)}`);
  return `${lines.join('\n')}\n`;
}

/** What a resume says that finds all outputs there. */
function nothingDone(finished: readonly string[], colors: Colors, invocation: string, anew: boolean): string {
  const lines = finished.map(
    (path) =>
      `${colors.green('finished')} already: ${colors.bold(printable(path))} is what this merge makes, by its record and the sizes of its files`,
  );
  lines.push(
    '',
    `nothing was done, and content was not read again; check ${finished.length === 1 ? 'it' : 'each'} with: ${invocation} verify ${shellQuote(finished[0]!)}`,
  );
  if (anew)
    lines.push(worded`--resume counts where a merge is finished, and --force replaces only what is not: without --resume it is made anew`);
  return `${lines.join('\n')}\n`;
}

function oneOutput(result: MergeResult, output: MergedOutput, colors: Colors): string[] {
  const [member] = output.members;
  const made = output.method === 'convert' ? convertedLines(member!, output, colors) : mergedLines(output, colors);
  return [
    ...made,
    ...output.notes.map((note) => `  ${printable(note)}`),
    '',
    ...withSpace(treatmentLines(output.treatments)),
    ...withSpace(roundingTable(output.rounding)),
    `  ${plural(output.tensors, 'tensor')}, ${formatBytes(output.bytesWritten)} written, ${machine(result)}`,
  ];
}

function convertedLines({ path }: MergedMember, output: MergedOutput, colors: Colors): string[] {
  return [`${colors.green('converted')} ${printable(path)} into ${colors.bold(printable(output.path))}`];
}

function mergedLines(output: MergedOutput, colors: Colors): string[] {
  return [
    `${colors.green('merged')} ${plural(output.members.length, 'checkpoint')} into ${colors.bold(printable(output.path))} (${output.method})`,
    '',
    ...memberTable(output.members),
    ...copyLine(output.members),
  ];
}

function severalOutputs(result: MergeResult, colors: Colors): string[] {
  const { outputs } = result;
  const members = new Set(outputs.flatMap((output) => output.members.map(({ path }) => path)));
  return [
    `${colors.green('merged')} ${plural(members.size, 'checkpoint')} into ${colors.bold(plural(outputs.length, 'output'))}, in one read`,
    '',
    ...outputTable(outputs),
    '',
    ...outputs.flatMap(({ path, treatments, rounding }) =>
      withSpace([...treatmentLines(treatments), ...roundingTable(rounding)], `  ${printable(path)}`),
    ),
    `  ${plural(outputs[0]!.tensors, 'tensor')} each, ${machine(result)}`,
  ];
}

function withSpace(table: readonly string[], ...title: readonly string[]): string[] {
  return table.length === 0 ? [] : [...title, ...table, ''];
}

function machine({ threads, isa, io, ranks, hosts }: MergeResult): string {
  const inputs = { map: 'inputs mapped', read: 'inputs read', mixed: 'inputs mapped and read' }[io];
  const own = `${plural(threads, 'thread')}, ${isa}, ${inputs}`;
  if (ranks === undefined) return threads === 0 ? 'all of it by the interrupted run' : own;
  if (ranks === 1) return threads === 0 ? 'all of it by another rank' : own;
  const all = `by ${ranks} ranks on ${plural(hosts ?? 1, 'machine')}`;
  return threads === 0 ? `${all}, none of it by this one` : `${all}, this one with ${own}`;
}
