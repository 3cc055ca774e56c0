import { groupBy } from '../../base/group-by.ts';
import { roleWords } from '../../model/roles/words.ts';
import type { Colors } from '../../render/colors.ts';
import { formatBytes, formatCount, formatStep, formatTable, plural, printable } from '../../render/format.ts';
import type { Inspection } from './inspect.ts';

/**
 * Entries of `__metadata__` and characters of a value that are shown; whole models' configs are kept there.
 */
const METADATA_SHOWN = 10;
const VALUE_SHOWN = 60;
/** As for the conflicts of a merge. */
const PROBLEMS_SHOWN = 10;

/** What `inspect` prints: the summary, and one line a tensor where asked for. */
export function inspectionText(inspection: Inspection, colors: Colors, withTensors: boolean): string {
  const { path, summary } = inspection;
  const sharded = summary.files.length > 1;
  const files = summary.kind === 'file' ? 'one file' : `folder with ${plural(summary.files.length, 'tensor file')}`;
  const position = [
    summary.step === null ? '' : `step ${formatStep(summary.step)}`,
    summary.tokens === null ? '' : `${formatCount(summary.tokens)} tokens`,
  ].filter((part) => part !== '');
  const lines = [`${colors.bold(printable(path))}: ${[files, ...position].join(', ')}`];
  lines.push(`  ${plural(summary.tensors, 'tensor')}, ${plural(summary.parameters, 'parameter')}, ${formatBytes(summary.bytes)}`);
  lines.push(...modelLine(summary), ...tiedLines(summary), ...quantisationLines(summary));
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
    t.dtypes.join(', '),
  ]);
  lines.push(...formatTable(roles, ['left', 'right', 'right', 'right', 'left']).map((line) => `  ${line}`));
  lines.push(...metadataLines(summary.metadata), ...problemLines(summary, colors));
  if (withTensors) {
    const rows = inspection.tensors.map((t) => [
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
  const { family, layers, mtpLayers, totalParameters: total, activeParameters: active } = summary;
  const parts = [
    ...(family === null ? [] : [printable(family)]),
    ...(layers === 0 ? [] : [plural(layers, 'layer')]),
    ...(mtpLayers === 0 ? [] : [`${plural(mtpLayers, 'layer')} of multi-token prediction`]),
    ...expertParts(summary),
    ...(active === total && total === summary.parameters
      ? []
      : [
          `${formatCount(total)} parameters in all, ${active === null ? 'how many of them are active is not known' : `${formatCount(active)} active`}`,
        ]),
  ];
  return parts.length === 0 ? [] : [`  ${parts.join(', ')}`];
}

/** `8 experts in each layer`, `256 experts in layers 3 to 60`, or each number with its layers. */
function expertParts({ experts, expertLayers, layers }: Inspection['summary']): string[] {
  const told = expertLayers.filter((one) => one.experts !== null && !one.mtp);
  const counts = groupBy(told, (one) => one.experts!);
  const all = counts.size === 1 && new Set(told.map(({ layer }) => layer)).size === layers;
  const parts = [...counts].map(([count, where]) => {
    const numbers = [...new Set(where.map(({ layer }) => layer))].sort((a, b) => a - b);
    return `${plural(count, 'expert')} in ${all ? 'each layer' : `${numbers.length === 1 ? 'layer' : 'layers'} ${ranges(numbers)}`}`;
  });
  if (parts.length === 0 && experts !== null) parts.push(`${plural(experts.count, 'expert')} a layer`);
  const perToken = experts?.perToken ?? null;
  return perToken === null || parts.length === 0 ? parts : [...parts, `${perToken} of them for each token`];
}

/** `0, 3 to 60`. */
function ranges(numbers: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const n of numbers) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] === n - 1) last[1] = n;
    else runs.push([n, n]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : to === from + 1 ? `${from}, ${to}` : `${from} to ${to}`)).join(', ');
}

function tiedLines({ tied: { configured, pairs } }: Inspection['summary']): string[] {
  if (configured !== true) return [];
  const [pair] = pairs;
  if (pair === undefined) return ['  tied embeddings, stored once'];
  const both = `${printable(pair.embedding)} and ${printable(pair.head)}`;
  return pair.same === false
    ? [`  tied embeddings by config.json, and the file holds two that differ: ${both}`]
    : [`  tied embeddings, stored twice: ${both}`];
}

function quantisationLines({ quantisation }: Inspection['summary']): string[] {
  if (quantisation === null) return [];
  const { method, forms } = quantisation;
  const stored = forms.map(({ form, tensors }) => `${plural(tensors, 'weight')} as ${form}`);
  return [`  quantised${method === null ? '' : ` (${printable(method)})`}${stored.length === 0 ? '' : `: ${stored.join('; ')}`}`];
}

function problemLines({ problems }: Inspection['summary'], colors: Colors): string[] {
  if (problems.length === 0) return [];
  const shown = problems.slice(0, PROBLEMS_SHOWN).map(({ code, message }) => `    ${colors.yellow(code)}: ${printable(message)}`);
  const more = problems.length - shown.length;
  return [`  ${plural(problems.length, 'problem')}:`, ...shown, ...(more > 0 ? [`    and ${formatCount(more)} more`] : [])];
}
