import type { Colors } from '../../render/colors.ts';
import { formatBytes, formatTable, plural, printable } from '../../render/format.ts';
import type { IntegrityReport } from './integrity.ts';
import type { VerifyReport } from './verify.ts';

/** What `verify` prints about a merge that is right; a wrong one ends in E_VERIFY instead. */
export function verificationText(report: VerifyReport, colors: Colors): string {
  const { files, sideFiles, integrity, recomputed } = report;
  if (integrity !== null) return integrityText(report.path, integrity, colors);
  const rows = files.map((file) => [printable(file.name), formatBytes(file.bytes), `crc32c ${file.crc32c}`]);
  const lines = formatTable(rows, ['left', 'right', 'left']).map((line) => `  ${line}`);
  if (sideFiles !== null && sideFiles.length > 0)
    lines.push(`  ${plural(sideFiles.length, 'file')} beside the tensors as the merge wrote ${sideFiles.length === 1 ? 'it' : 'them'}`);
  lines.push(`  ${recomputation(recomputed)}`);
  return `${[`${colors.bold(printable(report.path))}: ${colors.green('ok')}`, ...lines].join('\n')}\n`;
}

/** Of a checkpoint that is no merge. */
function integrityText(path: string, { algorithm, files }: IntegrityReport, colors: Colors): string {
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const lines = [
    `${colors.bold(printable(path))}: ${colors.green('ok')}`,
    `  ${plural(files.length, 'file')} (${formatBytes(bytes)}) with the ${printable(algorithm)} that integrity.json says`,
    '  it is no merge of ours: nothing was recomputed',
  ];
  return `${lines.join('\n')}\n`;
}

function recomputation({ mode, tensors, elements, fraction }: VerifyReport['recomputed']): string {
  if (mode === 'none') return 'nothing was recomputed: checksums and structure only';
  const what = `${plural(elements, 'element')} of ${plural(tensors, 'tensor')}`;
  // Two digits are enough for a sample, but 100 % is only said of all.
  const percent = fraction === 1 ? 'all' : `${Math.min(99.9, Number((fraction * 100).toPrecision(2)))} %`;
  return `${what} recomputed from the inputs (${percent}), every one equal`;
}
