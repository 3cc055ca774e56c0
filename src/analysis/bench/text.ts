import type { Colors } from '../../render/colors.ts';
import { formatBytes, formatRate, formatSeconds, formatTable, plural } from '../../render/format.ts';
import type { BenchReport } from './bench-machine.ts';

/** What `bench` prints: the machine's own limits, then how near a merge came to them. */
export function benchText(report: BenchReport, colors: Colors): string {
  const { mergeSeconds, syncedSeconds } = report;
  const setting = [
    `${report.inputs} inputs of ${formatBytes(report.inputBytes)}`,
    plural(report.threads, 'thread'),
    report.isa,
    `io ${report.io}`,
  ];
  const range = (s: BenchReport['mergeSeconds']) =>
    `${formatSeconds(s.best)}  (median ${formatSeconds(s.median)}, worst ${formatSeconds(s.worst)})`;
  const rows = [
    ['reading', formatRate(report.readBytesPerSecond)],
    ['writing', formatRate(report.writeBytesPerSecond)],
    ['no merge can be faster than', formatSeconds(report.boundSeconds)],
    ['merge, without fsync', range(mergeSeconds)],
    ['merge, as average does it', range(syncedSeconds)],
  ];
  return `${[
    `${setting.join(', ')}; ${report.fileSystem}, hot page cache, best of ${plural(report.rounds, 'round')}`,
    '',
    ...formatTable(rows, ['left', 'left']).map((line) => `  ${line}`),
    '',
    `a merge reaches ${colors.bold(`${Math.round(report.fractionOfBound * 100)} %`)} of the bound: ${formatRate(report.mergeBytesPerSecond)} read and written`,
  ].join('\n')}\n`;
}
