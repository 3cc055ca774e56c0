import type { Inspection } from '../../index.ts';
import { formatBytes, formatCount, formatTable, plural, printable } from '../format.ts';
import type { Colors } from '../terminal.ts';
import { roleWords } from './role-words.ts';

/** Entries of `__metadata__` and characters of a value that are shown; whole models' configs are kept there. */
const METADATA_SHOWN = 10;
const VALUE_SHOWN = 60;

/** What `inspect` prints: the summary, then one line a tensor. */
export function inspectionText({ path, summary, tensors }: Inspection, colors: Colors, withTensors: boolean): string {
  const sharded = summary.files.length > 1;
  const files = summary.kind === 'file' ? 'one file' : `folder with ${plural(summary.files.length, 'tensor file')}`;
  const position = [
    summary.step === null ? '' : `step ${formatCount(summary.step)}`,
    summary.tokens === null ? '' : `${formatCount(summary.tokens)} tokens`,
  ].filter((part) => part !== '');
  const lines = [`${colors.bold(printable(path))}: ${[files, ...position].join(', ')}`];
  lines.push(`  ${plural(summary.tensors, 'tensor')}, ${plural(summary.parameters, 'parameter')}, ${formatBytes(summary.bytes)}`);
  lines.push(...modelLine(summary));
  const dtypes = Object.entries(summary.dtypes).map(([name, d]) => [
    name,
    plural(d.tensors, 'tensor'),
    plural(d.parameters, 'parameter'),
    formatBytes(d.bytes),
  ]);
  lines.push(...formatTable(dtypes, ['left', 'right', 'right', 'right']).map((line) => `  ${line}`));
  const roles = Object.entries(summary.roles).map(([role, t]) => [
    roleWords(role),
    plural(t.tensors, 'tensor'),
    plural(t.parameters, 'parameter'),
    formatBytes(t.bytes),
  ]);
  lines.push(...formatTable(roles, ['left', 'right', 'right', 'right']).map((line) => `  ${line}`));
  lines.push(...metadataLines(summary.metadata));
  if (withTensors) {
    const rows = tensors.map((t) => [
      printable(t.name),
      t.dtype,
      `[${t.shape.join(', ')}]`,
      formatBytes(t.bytes),
      t.role === null ? '-' : `${roleWords(t.role)}${t.mtp ? ' (mtp)' : ''}`,
      ...(sharded ? [printable(t.file)] : []),
    ]);
    lines.push('', ...formatTable(rows, ['left', 'left', 'left', 'right', 'left', ...(sharded ? (['left'] as const) : [])]));
  }
  return `${lines.join('\n')}\n`;
}

function metadataLines(metadata: Readonly<Record<string, string>>): string[] {
  const entries = Object.entries(metadata);
  const lines = entries.slice(0, METADATA_SHOWN).map(([key, value]) => {
    const cut = value.length > VALUE_SHOWN ? `${value.slice(0, VALUE_SHOWN)}… (${formatCount(value.length)} characters)` : value;
    return `  ${printable(key)}: ${printable(cut)}`;
  });
  if (entries.length > METADATA_SHOWN) lines.push(`  and ${formatCount(entries.length - METADATA_SHOWN)} more entries of metadata`);
  return lines;
}

/** Family, depth and experts, where names and configuration tell. */
function modelLine(summary: Inspection['summary']): string[] {
  const { family, layers, mtpLayers, experts, totalParameters: total, activeParameters: active } = summary;
  const parts = [
    ...(family === null ? [] : [printable(family)]),
    ...(layers === 0 ? [] : [plural(layers, 'layer')]),
    ...(mtpLayers === 0 ? [] : [`${plural(mtpLayers, 'layer')} of multi-token prediction`]),
    ...(experts === null
      ? []
      : [`${plural(experts.count, 'expert')} a layer${experts.perToken === null ? '' : `, ${experts.perToken} of them for each token`}`]),
    ...(active === total && total === summary.parameters ? [] : [`${formatCount(total)} parameters in all, ${formatCount(active)} active`]),
  ];
  return parts.length === 0 ? [] : [`  ${parts.join(', ')}`];
}
