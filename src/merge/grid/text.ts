import { shellQuote } from '../../base/process/shell-quote.ts';
import type { Colors } from '../../render/colors.ts';
import { formatBytes, formatCount, formatRate, formatSeconds, formatTable, plural, printable } from '../../render/format.ts';
import { sparkline } from '../../render/sparkline.ts';
import type { GridBatch, GridOutput, GridPlan, GridResult } from './types.ts';

/** Of windows that fit nowhere, and of other names of a merge, how many are shown; `--json` has all. */
const LEFT_SHOWN = 8;
const NAMES_SHOWN = 4;
const FLAGS_SHOWN = 6;

/** What `grid --dry-run` prints. @param more lines about what comes after the making */
export function gridPlanText(plan: GridPlan, colors: Colors, more: readonly string[] = []): string {
  const made = plan.outputs.filter(({ batch }) => batch !== null).length;
  const lines = [
    `would make ${colors.bold(plural(made, 'output'))} in ${plural(plan.batches.length, 'read')}${alreadyText(plan.outputs)}`,
    '',
    ...gridTable(plan.outputs, colors),
    ...flagLines(plan.outputs, colors),
    ...leftLines(plan, colors),
    '',
    ...plan.batches.map((batch, b) => `  ${batchText(batch, b + 1)}`),
  ];
  if (made > 0) lines.push(...totalLines(plan));
  lines.push(...more.map((line) => `  ${printable(line)}`));
  return `${[...lines, '', 'nothing was written'].join('\n')}\n`;
}

function alreadyText(outputs: readonly GridOutput[]): string {
  const there = outputs.filter(({ skipped }) => skipped).length;
  return there === 0 ? '' : `; ${plural(there, 'other')} ${there === 1 ? 'is' : 'are'} there already`;
}

/**
 * A line for each merge; one of several combinations has these under it, and one whose window crosses a change of the
 * training a mark.
 */
function gridTable(outputs: readonly GridOutput[], colors: Colors): string[] {
  const rows = formatTable(
    [
      ['members', 'steps', 'weights', 'size', 'read', 'output'],
      ...outputs.map(({ name, members, bytesWritten, batch, skipped, gone, flags }) => [
        formatCount(members.length),
        `${members[0]!.step} to ${members.at(-1)!.step}`,
        sparkline(members.map(({ weight }) => weight)),
        bytesWritten === null ? '-' : formatBytes(bytesWritten),
        skipped ? 'there' : gone !== undefined ? 'gone' : batch === null ? '-' : String(batch),
        `${printable(name)}${flags.length > 0 ? ' !' : ''}`,
      ]),
    ],
    ['right', 'right', 'left', 'right', 'right', 'left'],
  );
  return rows.flatMap((row, i) => {
    const output = outputs[i - 1];
    if (output === undefined) return [`  ${row}`];
    const [, ...others] = output.names;
    const also = others.length === 0 ? [] : [colors.dim(`      = ${fewOf(others.map((name) => lastPart(name, output.name)))}`)];
    return [`  ${row}`, ...also];
  });
}

/** The part of a name from which on it differs from another. */
function lastPart(name: string, other: string): string {
  const [parts, others] = [name.split('-'), other.split('-')];
  const at = parts.findIndex((part, i) => part !== others[i]);
  return parts.slice(Math.max(0, at === -1 ? 0 : at)).join('-');
}

function fewOf(names: readonly string[]): string {
  const shown = names.slice(0, NAMES_SHOWN).map(printable).join(', ');
  return names.length > NAMES_SHOWN ? `${shown} and ${names.length - NAMES_SHOWN} more` : shown;
}

/** What the marks of a table mean. */
function flagLines(outputs: readonly GridOutput[], colors: Colors): string[] {
  const flags = [...new Set(outputs.flatMap((output) => output.flags))];
  const shown = flags.slice(0, FLAGS_SHOWN).map((flag) => {
    const of = outputs.filter((output) => output.flags.includes(flag)).length;
    return colors.yellow(`  ! ${printable(flag)}: ${plural(of, 'output')}`);
  });
  return flags.length > FLAGS_SHOWN
    ? [...shown, colors.yellow(`  ! and ${flags.length - FLAGS_SHOWN} more changes, all of them with --json`)]
    : shown;
}

function leftLines({ left }: GridPlan, colors: Colors): string[] {
  const lines = left.slice(0, LEFT_SHOWN).map(({ name, reason }) => colors.dim(`  none at ${printable(name)}: ${printable(reason)}`));
  return left.length > LEFT_SHOWN
    ? [...lines, colors.dim(`  and none at ${left.length - LEFT_SHOWN} more, all of them with --json`)]
    : lines;
}

/** A read in words. */
export function batchText({ outputs, members, bytesRead, rereads, bytesReread }: GridBatch, number: number): string {
  const again = rereads === 0 ? '' : `; of these ${formatCount(rereads)} (${formatBytes(bytesReread)}) again`;
  return `read ${number}: ${plural(outputs.length, 'output')} of ${plural(members, 'checkpoint')}, ${formatBytes(bytesRead)}${again}`;
}

function totalLines({ bytesRead, bytesReadAlone, bytesWritten, freeBytesNeeded, freeBytesAvailable, peakMemoryBytes }: GridPlan): string[] {
  return [
    `  reads ${savedText(bytesRead, bytesReadAlone)}, writes ${formatBytes(bytesWritten)}`,
    `  needs ${formatBytes(freeBytesNeeded)} of ${formatBytes(freeBytesAvailable)} free`,
    `  memory at most ${formatBytes(peakMemoryBytes)}`,
  ];
}

function savedText(read: number, alone: number): string {
  return alone > read
    ? `${formatBytes(read)} instead of ${formatBytes(alone)} one by one (${formatBytes(alone - read)} less)`
    : formatBytes(read);
}

/** What `grid` prints when it is done. @param invocation how the program is called here */
export function gridText(result: GridResult, folder: string, colors: Colors, invocation: string): string {
  const made = result.outputs.filter(({ skipped, gone }) => !skipped && gone === undefined);
  const { bytesRead, bytesReadAlone, seconds, warnings } = result;
  const [first] = made;
  if (first === undefined) {
    const there = result.outputs.filter(({ skipped }) => skipped).length;
    return `${colors.green('finished')} already: all ${plural(there, 'output')} in ${colors.bold(printable(folder))} ${there === 1 ? 'is' : 'are'} what this grid makes\nnothing was done\n`;
  }
  const reads = result.batches.length === 0 ? '' : ` in ${plural(result.batches.length, 'read')}`;
  const lines = [
    `${colors.green('made')} ${colors.bold(plural(made.length, 'output'))}${reads} in ${colors.bold(printable(folder))}${alreadyText(result.outputs)}`,
    '',
    ...gridTable(result.outputs, colors),
    '',
    `  ${savedText(bytesRead, bytesReadAlone)} read in ${formatSeconds(seconds)} (${formatRate(bytesRead / seconds)})`,
    ...(warnings.length === 0 ? [] : [`  ${colors.yellow(plural(warnings.length, 'warning'))}, see above`]),
    '',
    `check each with: ${invocation} verify ${shellQuote(first.path)}`,
  ];
  return `${lines.join('\n')}\n`;
}
