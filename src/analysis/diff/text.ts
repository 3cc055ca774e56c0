import { median } from '../../base/numbers/median.ts';
import { roleWords } from '../../model/roles/words.ts';
import type { Colors } from '../../render/colors.ts';
import { formatBytes, formatCount, formatSeconds, formatStep, formatTable, plural, printable } from '../../render/format.ts';
import type { DiffDocument, DiffExpertCell, DiffFinding, DiffLayerCell, DiffPair } from './types.ts';
import { unitWords } from './words.ts';

/** Findings and tensors that are shown; the JSON has more. */
const FINDINGS_SHOWN = 10;
const TENSORS_SHOWN = 5;
/** Shades by how far a cell is from the median of its map: below half, up to 2, 4 and 8 times, beyond. */
const SHADES = ['·', '░', '▒', '▓', '█'] as const;

interface Layout {
  readonly columns: number;
  /** A second map, layer by expert. */
  readonly experts: boolean;
}

/** What `diff` prints: the verdict, what stands out, how far all is apart, and where. */
export function diffText(document: DiffDocument, colors: Colors, layout: Layout): string {
  const neighbours = document.pairs.filter(({ consecutive }) => consecutive);
  const bad = document.findings.some(({ kind }) => kind !== 'unchanged');
  const paint = bad ? colors.red : document.findings.length > 0 ? colors.yellow : colors.bold;
  const lines = [paint(printable(document.verdict)), ...findingLines(document.findings, colors), ''];
  for (const [i, { path, step }] of document.checkpoints.entries()) {
    lines.push(`${letter(i)}  ${printable(path)}${step === null ? '' : ` (step ${formatStep(step)})`}`);
  }
  lines.push('', ...rolesTable(neighbours));
  const shown = neighbours.reduce((far, pair) => (distance(pair.total) > distance(far.total) ? pair : far));
  const which = neighbours.length === 1 ? '' : `, of ${pairName(shown)}, which are furthest apart`;
  lines.push('', `relative L2 by layer and role${which}`, ...layerMap(shown.layers, colors, layout.columns));
  if (layout.experts && shown.experts.length > 0) {
    lines.push('', `relative L2 by layer and expert${which}`, ...expertMap(shown.experts, colors, layout.columns));
  }
  lines.push('', 'furthest apart', ...tensorTable(shown));
  lines.push(...uncomparedLines(document));
  lines.push('', `${plural(document.tensors, 'tensor')}, read ${formatBytes(document.bytesRead)} in ${formatSeconds(document.seconds)}`);
  return `${lines.join('\n')}\n`;
}

function findingLines(findings: readonly DiffFinding[], colors: Colors): string[] {
  if (findings.length < 2) return [];
  const lines = findings.slice(0, FINDINGS_SHOWN).map(({ kind, message }) => {
    const mark = kind === 'unchanged' ? colors.yellow('-') : colors.red('-');
    return `  ${mark} ${printable(message)}`;
  });
  if (findings.length > FINDINGS_SHOWN) lines.push(`  and ${formatCount(findings.length - FINDINGS_SHOWN)} more (--json shows them)`);
  return lines;
}

/** A line a role; with more than two checkpoints a column a pair. */
function rolesTable(pairs: readonly DiffPair[]): string[] {
  const [first] = pairs;
  if (pairs.length > 1) {
    const roles = [...first!.roles.map(({ role }, i) => [roleWords(role), i] as const), ['all', -1] as const];
    const rows = roles.map(([name, i]) => [name, ...pairs.map(({ roles: cells, total }) => number((cells[i] ?? total).relativeL2))]);
    return formatTable([['relative L2', ...pairs.map(pairName)], ...rows], ['left', ...pairs.map(() => 'right' as const)]);
  }
  const cells = [...first!.roles.map((cell) => [roleWords(cell.role), cell] as const), ['all', first!.total] as const];
  const rows = cells.map(([name, { tensors, relativeL2, cosine, max }]) => [
    name,
    formatCount(tensors),
    number(relativeL2),
    cosine === null ? '-' : cosine.toFixed(6),
    number(max),
  ]);
  return formatTable([['', 'tensors', 'relative L2', 'cosine', 'max |A − B|'], ...rows], ['left', 'right', 'right', 'right', 'right']);
}

/** Rows are layers, columns roles; as many columns side by side as fit. */
function layerMap(cells: readonly DiffLayerCell[], colors: Colors, columns: number): string[] {
  const layers = [...new Set(cells.map(({ layer }) => layer))];
  const roles = [...new Set(cells.map(({ role }) => role))];
  const heads = roles.map((role) => roleWords(role));
  const widths = heads.map((head) => Math.max(head.length, 9));
  const first = Math.max('outside'.length, ...layers.map((layer) => `layer ${layer}`.length));
  const usual = new Map(roles.map((role) => [role, median(cells.filter((cell) => cell.role === role).map(distance))]));
  const lines: string[] = [];
  for (let from = 0; from < roles.length; ) {
    let to = from;
    for (let width = first; to < roles.length && (to === from || width + 2 + widths[to]! <= columns); to++) width += 2 + widths[to]!;
    const part = Array.from({ length: to - from }, (_, i) => from + i);
    lines.push(`${' '.repeat(first)}${part.map((c) => `  ${heads[c]!.padStart(widths[c]!)}`).join('')}`);
    for (const layer of layers) {
      if (!part.some((c) => cells.some((cell) => cell.layer === layer && cell.role === roles[c]))) continue;
      const row = part.map((c) => {
        const cell = cells.find((candidate) => candidate.layer === layer && candidate.role === roles[c]);
        if (cell === undefined) return `  ${' '.repeat(widths[c]!)}`;
        const { shade, paint } = shadeOf(distance(cell), usual.get(cell.role)!, colors);
        return `  ${paint(`${number(cell.relativeL2)} ${shade}`.padStart(widths[c]!))}`;
      });
      lines.push(`${(layer === null ? 'outside' : `layer ${layer}`).padEnd(first)}${row.join('')}`.trimEnd());
    }
    from = to;
  }
  return lines;
}

/** A character an expert, and the furthest of each layer in numbers. */
function expertMap(cells: readonly DiffExpertCell[], colors: Colors, columns: number): string[] {
  const usual = median(cells.map(distance));
  const layers = [...new Set(cells.map(({ layer }) => layer))];
  const first = Math.max(...layers.map((layer) => `layer ${layer}`.length));
  const room = Math.max(16, columns - first - 2);
  return layers.flatMap((layer) => {
    const experts = cells.filter((cell) => cell.layer === layer);
    const furthest = experts.reduce((far, cell) => (distance(cell) > distance(far) ? cell : far));
    const rows: string[] = [];
    for (let from = 0; from < experts.length; from += room) {
      const shades = experts.slice(from, from + room).map((cell) => {
        const { shade, paint } = shadeOf(distance(cell), usual, colors);
        return paint(shade);
      });
      rows.push(`${(from === 0 ? `layer ${layer}` : '').padEnd(first)}  ${shades.join('')}`);
    }
    const middle = number(median(experts.map(distance)));
    return [...rows, `${' '.repeat(first)}  median ${middle}, furthest ${number(furthest.relativeL2)} at expert ${furthest.expert}`];
  });
}

function tensorTable({ outliers }: DiffPair): string[] {
  if (outliers.length === 0) return ['  nothing: all tensors are the same'];
  const rows = outliers
    .slice(0, TENSORS_SHOWN)
    .map(({ relativeL2, max, ...unit }) => [`  ${printable(unitWords(unit))}`, number(relativeL2), number(max)]);
  return formatTable([['  tensor', 'relative L2', 'max |A − B|'], ...rows], ['left', 'right', 'right']);
}

function uncomparedLines({ uncompared }: DiffDocument): string[] {
  const lines = (['quantised', 'integer', 'complex'] as const).flatMap((reason) => {
    const of = uncompared.filter((tensor) => tensor.reason === reason);
    if (of.length === 0) return [];
    const different = of.filter(({ equal }) => equal === false);
    const names = different.slice(0, TENSORS_SHOWN).map(({ name }) => printable(name));
    const which =
      different.length === 0
        ? 'all the same'
        : `${formatCount(different.length)} differ: ${names.join(', ')}${different.length > names.length ? ', …' : ''}`;
    return [`${plural(of.length, `${reason} tensor`)}, compared by their bytes only: ${which}`];
  });
  return lines.length === 0 ? [] : ['', ...lines];
}

function shadeOf(value: number, usual: number, colors: Colors): { shade: string; paint: (text: string) => string } {
  if (value === 0) return { shade: '=', paint: colors.dim };
  const ratio = usual === 0 ? Number.POSITIVE_INFINITY : value / usual;
  const level = ratio < 0.5 ? 0 : ratio <= 2 ? 1 : ratio <= 4 ? 2 : ratio <= 8 ? 3 : 4;
  return { shade: SHADES[level]!, paint: [colors.dim, (text: string) => text, colors.cyan, colors.yellow, colors.red][level]! };
}

/** One letter for each of up to 26 checkpoints, as columns are named; C1, C2 … beyond. */
function letter(index: number): string {
  return index < 26 ? String.fromCharCode(65 + index) : `C${index + 1}`;
}

function pairName({ a, b }: DiffPair): string {
  return `${letter(a)}-${letter(b)}`;
}

function distance({ relativeL2 }: { readonly relativeL2: number | null }): number {
  return relativeL2 ?? Number.POSITIVE_INFINITY;
}

/** Three digits; `inf` where there was nothing before. */
function number(value: number | null): string {
  if (value === null) return 'inf';
  if (value === 0) return '0';
  return value >= 0.001 && value < 1000 ? value.toPrecision(3) : value.toExponential(2);
}
