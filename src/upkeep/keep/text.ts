import { shellQuote } from '../../base/process/shell-quote.ts';
import type { Colors } from '../../render/colors.ts';
import { formatBytes, formatCount, formatTable, plural, printable } from '../../render/format.ts';
import type { KeepReport, KeptSave } from './keep.ts';

/** The lines of a shell that delete saves. */
export function deletionLines(paths: readonly string[]): string[] {
  return paths.map((path) => `rm -rf -- ${shellQuote(path)}`);
}

/** What is kept and why, and how to delete the rest. */
export function keepText(report: KeepReport, colors: Colors): string {
  const { run, windows, keep, delete: going, most, budget, notes } = report;
  const heads = [['window', 'members now', 'at least, once the run is longer', 'apart']];
  const rows = windows.map(({ window, members, now, apart }) => [printable(window), formatCount(now), formatCount(members), apart]);
  const [kept, freed] = [keep, going].map((saves) => formatBytes(saves.reduce((sum, { bytes }) => sum + bytes, 0))) as [string, string];
  const all = formatBytes([...keep, ...going].reduce((sum, { bytes }) => sum + bytes, 0));
  return `${[
    `${printable(run)}: ${plural(keep.length + going.length, 'save')}, ${all}; keep ${colors.bold(formatCount(keep.length))} (${kept}), ${going.length === 0 ? 'and nothing has to go' : `${formatCount(going.length)} may go (${freed})`}`,
    `budget ${formatCount(budget)}; the windows need at most ${plural(most, 'save')} at once, now and later`,
    '',
    ...formatTable([...heads, ...rows], ['left', 'right', 'right', 'left']).map((line) => `  ${line}`),
    '',
    ...formatTable([['step', 'tokens', 'save', 'kept for'], ...keep.map(rowOf)], ['right', 'right', 'left', 'left']).map(
      (line) => `  ${line}`,
    ),
    '',
    ...notes.map((note) => `  ${printable(note)}`),
    ...(going.length === 0
      ? ['nothing would be deleted']
      : [
          `to delete the other ${plural(going.length, 'save')}, ${freed} (nothing was deleted):`,
          '',
          ...deletionLines(going.map(({ path }) => path)),
        ]),
  ].join('\n')}\n`;
}

function rowOf({ step, tokens, path, why }: KeptSave): string[] {
  return [step === null ? '' : String(step), tokens === null ? '' : formatCount(tokens), printable(path), printable(why.join(', '))];
}
