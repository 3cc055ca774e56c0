import { groupBy } from '../../base/group-by.ts';
import { worded } from '../../base/option-words.ts';
import { lossCurve } from '../../checkpoints/run/loss-curve.ts';
import type { LogEntry } from '../../checkpoints/types.ts';
import type { Colors } from '../../render/colors.ts';
import { formatBytes, formatSeconds, plural, printable } from '../../render/format.ts';
import type { PlanDocument } from './document.ts';
import { copyLine, memberTable, outputTable } from './member-table.ts';
import { sideFileLines } from './side-file-lines.ts';
import { treatmentLines } from './treatment-table.ts';
import type { MergedMember } from './types.ts';

/** Checkpoints with worse scores that are shown. */
const OUTSCORED_SHOWN = 5;

/** Checkpoints left out that are shown by name; `--json` has all. */
const MOST_EXCLUDED = 12;

export interface PlanTextOptions {
  /** Width of the terminal. */
  readonly columns: number;
  /** The training log behind each output, for the curve around a loss spike. */
  readonly logs?: readonly (readonly LogEntry[])[];
}

/** What `plan` and `average --dry-run` print. */
export function planText(plan: PlanDocument, colors: Colors, { columns, logs = [] }: PlanTextOptions): string {
  const several = plan.outputs.length > 1;
  const lines = several
    ? [`would make ${colors.bold(plural(plan.outputs.length, 'output'))} in one read`, '', ...outputTable(plan.outputs), '']
    : [];
  // What one output left out another may take: with several of them the list is for --json.
  for (const [k, output] of plan.outputs.entries()) {
    lines.push(
      ...outputLines(output, colors, { mostExcluded: several ? 0 : MOST_EXCLUDED, unplaced: plan.unplaced && !several }),
      '',
      ...spikeCurve(output, logs[k] ?? [], colors, columns),
    );
  }
  if (plan.outputs.length === 0) return `${[...resumeLines(plan), '', 'nothing would be done'].join('\n')}\n`;
  lines.push(...resumeLines(plan));
  for (const line of outsideLines(plan)) lines.push(`  ${line}`);
  lines.push(`  reads ${formatBytes(plan.bytesRead)}, writes ${formatBytes(plan.bytesWritten)}`);
  if (!plan.unplaced) lines.push(`  needs ${formatBytes(plan.freeBytesNeeded)} of ${formatBytes(plan.freeBytesAvailable)} free`);
  lines.push(`  memory at most ${formatBytes(plan.peakMemoryBytes)}`);
  if (plan.expectedSeconds !== null) {
    lines.push(`  about ${formatSeconds(plan.expectedSeconds)}, by what the disks gave in half a second just now`);
  }
  lines.push('', 'nothing was written');
  return `${lines.join('\n')}\n`;
}

/** What a resume would go on with, and what it would leave. */
function resumeLines({ resume, finished }: PlanDocument): string[] {
  if (resume === null) return finished.map((path) => `  is there already, as this merge makes it: ${printable(path)}`);
  return resume.flatMap(({ output, what, partial, parts, bytes, left, removes }) => {
    const does = {
      begin: 'begins: there is nothing of it to go on with',
      continue: `goes on with ${plural(parts, 'finished part')} (${formatBytes(bytes)}) in ${printable(partial ?? '')}`,
      wait: 'would have to wait: another process is at it, or may be',
      finished: 'is there already, as this merge makes it',
    }[what];
    return [
      worded`  --resume: ${printable(output)} ${does}`,
      ...removes.map((path) => `    removes ${printable(path)}, which holds no finished part of this merge`),
      ...left.map(({ path, why }) => `    left alone: ${printable(path)} ${printable(why)}`),
    ];
  });
}

/** A line of what a recipe names elsewhere; of many paths of a kind, some. */
function outsideLines({ outside }: PlanDocument): string[] {
  const kinds = [...groupBy(outside, ({ what }) => what)].map(([what, found]) => {
    const paths = found.slice(0, 3).map(({ path }) => printable(path));
    return `${what} ${paths.join(', ')}${found.length > 3 ? ` and ${found.length - 3} more` : ''}`;
  });
  return kinds.length === 0 ? [] : [`outside the recipe's folder: ${kinds.join('; ')}`];
}

/**
 * The loss from the oldest member to as long after the spike, with the spike marked; nothing where no spike
 * was asked for.
 */
function spikeCurve(
  { spike, members }: PlanDocument['outputs'][number],
  log: readonly LogEntry[],
  colors: Colors,
  columns: number,
): string[] {
  const oldest = members[0]?.step ?? null;
  if (spike === null || oldest === null) return [];
  const curve = lossCurve(log, colors, { columns: columns - 2, from: oldest, to: 2 * spike.step - oldest, marks: [spike.step] });
  return curve.length === 0 ? [] : ['  loss, with the spike marked', ...curve.map((line) => `  ${line}`), ''];
}

function outputLines(
  output: PlanDocument['outputs'][number],
  colors: Colors,
  { mostExcluded, unplaced }: { readonly mostExcluded: number; readonly unplaced: boolean },
): string[] {
  const { members, method, excluded, phase } = output;
  const parameters = Object.entries(output.parameters).map(([name, value]) => `, ${name} ${printable(String(value))}`);
  const merged = [
    `would merge ${plural(members.length, 'checkpoint')}${unplaced ? '' : ` into ${colors.bold(printable(output.path))}`} (${method}${parameters.join('')})`,
    '',
    ...memberTable(members),
    ...copyLine(members),
  ];
  const lines = [
    ...(method === 'convert' ? [`would convert ${printable(members[0]!.path)} into ${colors.bold(printable(output.path))}`] : merged),
    '',
    `  ${plural(output.tensors, 'tensor')}, ${formatBytes(output.bytesWritten)}`,
  ];
  const treatments = treatmentLines(output.treatments);
  if (treatments.length > 0) lines.push('', ...treatments, '');
  if (output.dtypeChanges.length > 0) lines.push(`  stored in another dtype: ${output.dtypeChanges.join(', ')}`);
  lines.push(...sideFileLines(output));
  if (output.next !== null && !unplaced) lines.push(`  to go on from it: ${printable(output.next)}`);
  if (phase !== null) lines.push(`  ${printable(phase.text)}`);
  lines.push(...output.notes.map((note) => `  ${printable(note)}`));
  const named = mostExcluded === 0 ? excluded : excluded.filter(({ score }) => score === undefined);
  if (named.length < excluded.length) lines.push(colors.dim(`  ${outscoredText(members, excluded)}`));
  lines.push(...named.slice(0, mostExcluded).map(({ path, reason }) => colors.dim(`  left out: ${printable(path)}: ${printable(reason)}`)));
  if (named.length > mostExcluded)
    lines.push(colors.dim(`  left out: ${named.length - mostExcluded}${mostExcluded > 0 ? ' more' : ''}, all of them with --json`));
  return lines;
}

/** Checkpoints with worse scores than those taken, the best of them first. */
function outscoredText(members: readonly MergedMember[], excluded: PlanDocument['outputs'][number]['excluded']): string {
  const scored = excluded.filter(({ score }) => score !== undefined);
  const sign = scored.some(({ score }) => members.some((member) => score! > member.score!)) ? 1 : -1;
  const worse = scored.toSorted((a, b) => sign * (a.score! - b.score!));
  const shown = worse.slice(0, OUTSCORED_SHOWN).map(({ step, score }) => `step ${step} ${Number(score!.toPrecision(6))}`);
  const more = worse.length > OUTSCORED_SHOWN ? ` and ${worse.length - OUTSCORED_SHOWN} more` : '';
  return `left out: ${plural(worse.length, 'checkpoint')} with a worse score: ${shown.join(', ')}${more}`;
}
