import { groupBy } from '../../base/group-by.ts';
import { shellQuote } from '../../base/process/shell-quote.ts';
import type { Colors } from '../../render/colors.ts';
import { formatBytes, formatCount, formatRate, formatSeconds, formatTable, plural, printable } from '../../render/format.ts';
import { sparkline } from '../../render/sparkline.ts';
import { wrap } from '../../render/wrap.ts';
import type { GridBatch, GridOutput, GridPlan, GridResult } from './types.ts';

/** Columns of sentences. */
const WIDTH = 100;
/** Of windows that fit nowhere, and of other names of a merge, how many are shown; `--json` has all. */
const LEFT_SHOWN = 8;
const NAMES_SHOWN = 4;
const FLAGS_SHOWN = 6;
const EQUAL_SHOWN = 6;

/** How a grid that is planned is to be scored. */
interface PlannedScores {
  /** Which evaluations there would be. */
  readonly text: string;
  /** Whether outputs stay in their folder. */
  readonly keeps: boolean;
}

/** What `grid --dry-run` prints. */
export function gridPlanText(plan: GridPlan, colors: Colors, scores?: PlannedScores): string {
  const made = plan.outputs.filter(({ batch }) => batch !== null).length;
  const head = `would make ${colors.bold(plural(made, 'output'))} in ${plural(plan.batches.length, 'read')}${alreadyText(plan.outputs)}`;
  const isWhole = made === 0 && plan.outputs.every(({ skipped }) => skipped);
  const stays = scores === undefined || scores.keeps;
  const total = [...plan.batches.map((batch, b) => `  ${batchText(batch, b + 1)}`), ...(made > 0 ? totalLines(plan, made) : [])];
  const lines = [
    ...(scores === undefined ? [] : wrap(printable(scores.text), WIDTH, '  ')),
    ...(!stays ? [] : [isWhole ? `nothing is missing: ${allThere(plan.outputs)}` : head]),
    ...blockOf(gridTable(plan.outputs, colors)),
    ...flagLines(plan.outputs, colors),
    ...leftLines(plan, colors),
    ...otherLines(plan, colors),
    ...blockOf(stays ? total : removedLines(plan, made)),
  ];
  return `${[...lines, '', 'nothing was written'].join('\n')}\n`;
}

/** What becomes of outputs that are made to be scored. */
function removedLines({ outputs, bytesWritten }: GridPlan, made: number): string[] {
  const there = outputs.filter(({ skipped }) => skipped).length;
  return [
    ...(there === 0
      ? []
      : [
          `  ${plural(there, 'output')} that ${there === 1 ? 'lies' : 'lie'} there already ${there === 1 ? 'is' : 'are'} scored as ${there === 1 ? 'it is' : 'they are'}`,
        ]),
    ...(made === 0
      ? []
      : [`  merges of ${formatBytes(bytesWritten / made)} each, made as there is room for them and removed once they are scored`]),
  ];
}

/** Lines with an empty one before them, where there are any. */
function blockOf(lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : ['', ...lines];
}

/** What is there is in no table. */
function alreadyText(outputs: readonly GridOutput[]): string {
  const there = outputs.filter(({ skipped }) => skipped);
  if (there.length === 0) return '';
  const steps = [...new Set(there.map(({ axes }) => Number(axes.endpoint)))].sort((a, b) => a - b);
  const upTo = steps.length === 1 ? `step ${steps[0]}` : `steps ${steps[0]} to ${steps.at(-1)}`;
  return `; ${plural(there.length, 'other')} (up to ${upTo}) ${there.length === 1 ? 'is' : 'are'} there already`;
}

function allThere(outputs: readonly GridOutput[]): string {
  return outputs.length === 1
    ? 'the 1 output of this grid is there already'
    : `all ${outputs.length} outputs of this grid are there already`;
}

/**
 * A line for each merge that is not there already, a mark at those whose windows cross a change of the training, and
 * what it takes to read the table. Of one read no column tells.
 */
function gridTable(all: readonly GridOutput[], colors: Colors): string[] {
  const outputs = all.filter(({ skipped }) => !skipped);
  if (outputs.length === 0) return [];
  const isOneRead = outputs.every(({ batch }) => batch === null || batch === 1);
  const columns = (size: string, read: string) => (isOneRead ? [size] : [size, read]);
  const rows = formatTable(
    [
      ['members', 'steps', 'weights', ...columns('size', 'read'), 'output'],
      ...outputs.map(({ name, members, bytesWritten, batch, gone, flags }) => [
        formatCount(members.length),
        `${members[0]!.step} to ${members.at(-1)!.step}`,
        sparkline(members.map(({ weight }) => weight)),
        ...columns(
          gone !== undefined ? 'gone' : bytesWritten === null ? '-' : formatBytes(bytesWritten),
          batch === null ? '-' : String(batch),
        ),
        `${printable(name)}${flags.length > 0 ? ' !' : ''}`,
      ]),
    ],
    ['right', 'right', 'left', ...columns('right', 'right').map(() => 'right' as const), 'left'],
  );
  const legend = outputs.some(({ members }) => members.length > 1) ? ['weights: a bar a member, the oldest first'] : [];
  return [...rows, ...[...legend, ...equalLines(outputs)].map((line) => colors.dim(line))].map((line) => `  ${line}`);
}

/** Merges of several combinations, those alike at other endpoints and of other windows told once. */
function equalLines(outputs: readonly GridOutput[]): string[] {
  const equal = outputs.flatMap(({ name, names, method, members }) => {
    const others = names.filter((other) => other !== name);
    const isMean = method !== 'sma' && members.length > 1 && members.every(({ weight }) => Math.abs(weight - members[0]!.weight) < 1e-12);
    if (others.length === 0) return isMean ? [`${printable(name.replace(PLACE, ''))} is the plain mean`] : [];
    // Of the same window only what comes after it tells them apart.
    const isOfWindow = others.every((other) => PLACE.exec(other)?.[0] === PLACE.exec(name)?.[0]);
    const short = (text: string) => printable(isOfWindow ? text.replace(PLACE, '') : text);
    return [`${short(name)} is also ${fewOf(others.map(short))}${isMean ? ': the plain mean' : ''}`];
  });
  const lines = [...groupBy(equal, (text) => text)].map(([text, of]) => `${text}${of.length > 1 ? ` (${of.length} times)` : ''}`);
  return lines.length > EQUAL_SHOWN
    ? [...lines.slice(0, EQUAL_SHOWN), `and ${lines.length - EQUAL_SHOWN} more such lines, all names with --json`]
    : lines;
}

/** Of a name the endpoint and the window. */
const PLACE = /^(?:stage\d+-)?step\d+-w[^-]+-/;

function fewOf(names: readonly string[]): string {
  const shown = names.slice(0, NAMES_SHOWN).join(', ');
  return names.length > NAMES_SHOWN ? `${shown} and ${names.length - NAMES_SHOWN} more` : shown;
}

/** What else lies in the folder, as merges at what was the newest save. */
function otherLines({ others }: Pick<GridPlan, 'others'>, colors: Colors): string[] {
  if (others.length === 0) return [];
  const [lie, they] = others.length === 1 ? ['lies', 'it is'] : ['lie', 'they are'];
  const count = others.length === 1 ? '1 other merge' : `${formatCount(others.length)} other merges`;
  return [colors.dim(`  ${count} ${lie} there, and ${they} none of this grid: ${fewOf(others.map(printable))}`)];
}

/** What the marks of a table mean. */
function flagLines(outputs: readonly GridOutput[], colors: Colors): string[] {
  const flags = [...new Set(outputs.flatMap((output) => (output.skipped ? [] : output.flags)))];
  const shown = flags.slice(0, FLAGS_SHOWN).map((flag) => {
    const of = outputs.filter((output) => !output.skipped && output.flags.includes(flag)).length;
    return colors.yellow(`  ! ${printable(flag)}: ${plural(of, 'output')}`);
  });
  return flags.length > FLAGS_SHOWN
    ? [...shown, colors.yellow(`  ! and ${flags.length - FLAGS_SHOWN} more changes, all of them with --json`)]
    : shown;
}

function leftLines({ left }: GridPlan, colors: Colors): string[] {
  const all = leftTexts(left);
  const lines = all.slice(0, LEFT_SHOWN).map((text) => colors.dim(`  ${printable(text)}`));
  return all.length > LEFT_SHOWN
    ? [...lines, colors.dim(`  and so of ${all.length - LEFT_SHOWN} more windows, all of them with --json`)]
    : lines;
}

/** Where windows fit nowhere, and why: a line a window, with the reason at the last of these places. */
export function leftTexts(left: GridPlan['left']): string[] {
  const placed = left.map(({ name, reason }) => {
    const [, step = '', window = name] = /^step(\d+)-w(.*)$/.exec(name) ?? [];
    return { step, window, reason };
  });
  return [...groupBy(placed, ({ window }) => window)].map(([window, of]) => {
    const [first, last] = [of[0]!, of.at(-1)!];
    const places = of.length === 1 ? `step ${first.step}` : `steps ${first.step} to ${last.step} (${of.length} places)`;
    return `no merge of ${window} up to ${places}: ${last.reason}`;
  });
}

/** A read in words. */
export function batchText({ outputs, members, bytesRead, rereads, bytesReread }: GridBatch, number: number): string {
  const again = rereads === 0 ? '' : `; of these ${formatCount(rereads)} (${formatBytes(bytesReread)}) again`;
  return `read ${number}: ${plural(outputs.length, 'output')} of ${plural(members, 'checkpoint')}, ${formatBytes(bytesRead)}${again}`;
}

function totalLines(plan: GridPlan, made: number): string[] {
  const { bytesRead, bytesReadAlone, bytesWritten, freeBytesNeeded, freeBytesAvailable, peakMemoryBytes } = plan;
  const records = freeBytesNeeded - bytesWritten;
  const beside =
    records > 0 ? `, ${formatBytes(records)} of it at most for the records of ${made === 1 ? 'the output' : `${made} outputs`}` : '';
  return [
    `  reads ${savedText(bytesRead, bytesReadAlone)}, writes ${formatBytes(bytesWritten)}`,
    `  needs ${formatBytes(freeBytesNeeded)} of ${formatBytes(freeBytesAvailable)} free${beside}`,
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
    const others = otherLines(result, colors);
    return `${colors.green('finished')} already: all ${plural(there, 'output')} in ${colors.bold(printable(folder))} ${there === 1 ? 'is' : 'are'} what this grid makes\n${others.map((line) => `${line}\n`).join('')}nothing was done\n`;
  }
  const reads = result.batches.length === 0 ? '' : ` in ${plural(result.batches.length, 'read')}`;
  const lines = [
    `${colors.green('made')} ${colors.bold(plural(made.length, 'output'))}${reads} in ${colors.bold(printable(folder))}${alreadyText(result.outputs)}`,
    ...blockOf(gridTable(result.outputs, colors)),
    ...otherLines(result, colors),
    '',
    `  ${savedText(bytesRead, bytesReadAlone)} read in ${formatSeconds(seconds)} (${formatRate(bytesRead / seconds)})`,
    ...(warnings.length === 0 ? [] : [`  ${colors.yellow(plural(warnings.length, 'warning'))}, see above`]),
    '',
    `check each with: ${invocation} verify ${shellQuote(first.path)}`,
  ];
  return `${lines.join('\n')}\n`;
}
