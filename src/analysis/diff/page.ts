import { roleWords } from '../../model/roles/words.ts';
import { formatBytes, formatCount, formatSeconds, plural } from '../../render/format.ts';
import { type Figure, table } from '../../render/html/figure.ts';
import { type HeatMap, heatMap } from '../../render/html/heat-map.ts';
import { html, type Markup } from '../../render/html/markup.ts';
import { badge, htmlPage, list, type PageSection, type Tone } from '../../render/html/page.ts';
import { checkpointLabels } from '../../render/labels.ts';
import { formatFixed, formatNumber } from '../../render/numbers.ts';
import type { DiffDocument, DiffFinding, DiffPair, DiffRole, Distance, FindingKind } from './types.ts';
import { unitWords } from './words.ts';

/** The findings' kinds: how grave they are, and in a word. */
const KINDS: Record<FindingKind, { readonly tone: Tone; readonly word: string }> = {
  nonfinite: { tone: 'bad', word: 'not finite' },
  zero: { tone: 'bad', word: 'zero' },
  swapped: { tone: 'bad', word: 'swapped' },
  outlier: { tone: 'notice', word: 'far apart' },
  unchanged: { tone: 'notice', word: 'unchanged' },
};

/** A map of experts has tens of thousands of cells; more than these would make a page that opens slowly. */
const MOST_EXPERT_MAPS = 4;
const MOST_UNCOMPARED = 50;

/** The report of `merge diff` as one HTML document. */
export function diffPage(document: DiffDocument): string {
  const labels = checkpointLabels(document.checkpoints);
  const neighbours = document.pairs.filter((pair) => pair.consecutive);
  const sections = [
    findingsSection(document.findings),
    document.checkpoints.length > 2 ? overview(document, labels) : null,
    ...pairSections(document, neighbours, labels),
    uncomparedSection(document),
    document.warnings.length === 0 ? null : { title: 'Warnings', parts: [list(document.warnings.map(({ message }) => message))] },
  ];
  const [first, last] = [labels[0], labels.at(-1)];
  return htmlPage({
    title: labels.length === 2 ? `${first} against ${last}` : `${labels.length} checkpoints, ${first} to ${last}`,
    summary: {
      headline: document.verdict,
      tone: toneOf(document.findings),
      facts: [
        ...document.checkpoints.map(({ path }, i): [string, string] => [labels.length === 2 ? 'AB'[i]! : labels[i]!, path]),
        ['Compared', `${plural(document.tensors, 'tensor')}, ${formatCount(document.elements)} elements`],
        ['Read', `${formatBytes(document.bytesRead)} in ${formatSeconds(document.seconds)}`],
      ],
    },
    sections: sections.filter((section) => section !== null),
  });
}

function toneOf(findings: readonly DiffFinding[]): Tone {
  if (findings.some(({ kind }) => KINDS[kind].tone === 'bad')) return 'bad';
  return findings.length > 0 ? 'notice' : 'good';
}

function findingsSection(findings: readonly DiffFinding[]): PageSection | null {
  if (findings.length === 0) return null;
  const rows = findings.map(({ kind, message, tensors }) => {
    const names = tensors.filter((name) => !message.includes(name)).map((name) => html`<br><code>${name}</code>`);
    return [badge(KINDS[kind].tone, KINDS[kind].word), html`${message}${names}`];
  });
  return { title: 'What stands out', parts: [table([{ label: 'Kind' }, { label: 'Finding' }], rows)] };
}

/** Each checkpoint against each other one. */
function overview({ pairs }: DiffDocument, labels: readonly string[]): PageSection {
  const values = labels.map((): (number | null)[] => labels.map(() => null));
  for (const { a, b, total } of pairs) values[a]![b] = total.relativeL2;
  const map = heatMap({
    title: 'All pairs',
    note: 'Relative L2 over all tensors, ‖A − B‖ / ‖A‖, A in rows. A healthy run grows smoothly away from the diagonal.',
    rows: labels,
    columns: labels,
    axes: { row: 'from', column: 'to' },
    include: [0],
    values,
  });
  return { title: 'Overview', parts: [map] };
}

function pairSections(document: DiffDocument, pairs: readonly DiffPair[], labels: readonly string[]): PageSection[] {
  const furthest = [...pairs]
    .sort((p, q) => (q.total.relativeL2 ?? Infinity) - (p.total.relativeL2 ?? Infinity))
    .slice(0, MOST_EXPERT_MAPS);
  return pairs.map((pair) => {
    const findings = document.findings.filter(({ pair: seen, checkpoint }) =>
      seen === null ? checkpoint === pair.a || checkpoint === pair.b : seen === pair.a,
    );
    const parts: (string | Markup | Figure | null)[] = [
      layerMap(pair, findings),
      furthest.includes(pair) ? expertMap(pair, findings) : expertsLeftOut(pair),
      roleTable(pair),
      outlierTable(pair),
    ];
    return { title: `${labels[pair.a]} to ${labels[pair.b]}`, parts: parts.filter((part) => part !== null) };
  });
}

function layerMap({ layers }: DiffPair, findings: readonly DiffFinding[]): Figure {
  const columns = [...new Set(layers.map(({ role }) => role))];
  const rows = [...new Set(layers.map(({ layer }) => layer))];
  const values = grid(rows, columns, layers, (cell) => [cell.layer, cell.role]);
  const marks = marksOf(findings, (finding) => [rows.indexOf(finding.layer), columns.indexOf(finding.role as DiffRole)]);
  return heatMap({
    title: 'By layer and role',
    note: `Relative L2, ‖A − B‖ / ‖A‖.${marks.length === 0 ? '' : ' Outlined cells are named above.'}`,
    rows: rows.map((layer) => (layer === null ? 'outside' : String(layer))),
    columns: columns.map(roleWords),
    axes: { row: 'layer', column: 'role' },
    values,
    log: true,
    // Norms move far less than matrices, and by one scale nothing of them would be seen.
    apart: { each: 'each role by its own scale', all: 'all by one scale' },
    marks,
  });
}

function expertMap({ experts }: DiffPair, findings: readonly DiffFinding[]): Figure | null {
  if (experts.length === 0) return null;
  const rows = [...new Set(experts.map(({ layer }) => layer))];
  const columns = [...new Set(experts.map(({ expert }) => expert))].sort((a, b) => a - b);
  return heatMap({
    title: 'By layer and expert',
    note: 'Relative L2 over the matrices of one routed expert.',
    rows: rows.map(String),
    columns: columns.map(String),
    axes: { row: 'layer', column: 'expert' },
    values: grid(rows, columns, experts, (cell) => [cell.layer, cell.expert]),
    log: true,
    marks: marksOf(findings, ({ layer, expert }) => [rows.indexOf(layer as number), columns.indexOf(expert as number)]),
  });
}

function expertsLeftOut({ experts }: DiffPair): string | null {
  if (experts.length === 0) return null;
  return `Experts are drawn for the ${MOST_EXPERT_MAPS} pairs that are furthest apart; --json has them all.`;
}

/** Relative L2 by row and column. A distance from zero has no relative measure: it is shown as infinite. */
function grid<R, C, Cell extends Distance>(
  rows: readonly R[],
  columns: readonly C[],
  cells: readonly Cell[],
  place: (cell: Cell) => [R, C],
): (number | null)[][] {
  const rowOf = new Map(rows.map((row, i) => [row, i]));
  const columnOf = new Map(columns.map((column, i) => [column, i]));
  const values = rows.map((): (number | null)[] => columns.map(() => null));
  for (const cell of cells) {
    const [row, column] = place(cell);
    values[rowOf.get(row)!]![columnOf.get(column)!] = cell.relativeL2 ?? Infinity;
  }
  return values;
}

function marksOf(findings: readonly DiffFinding[], place: (finding: DiffFinding) => [number, number]): NonNullable<HeatMap['marks']> {
  return findings
    .map((finding) => ({ row: place(finding)[0], column: place(finding)[1], note: finding.message }))
    .filter(({ row, column }) => row >= 0 && column >= 0);
}

function roleTable({ roles, total }: DiffPair): Markup {
  const rows = roles.map((cell) => [roleWords(cell.role), formatCount(cell.tensors), formatCount(cell.elements), ...measures(cell)]);
  const all = ['all', formatCount(total.tensors), formatCount(total.elements), ...measures(total)];
  const counts = [
    { label: 'Tensors', kind: 'number' },
    { label: 'Elements', kind: 'number' },
  ] as const;
  return table([{ label: 'Role' }, ...counts, ...MEASURES], [...rows, all.map((cell) => html`<b>${cell}</b>`)]);
}

function outlierTable({ outliers }: DiffPair): Markup | null {
  if (outliers.length === 0) return null;
  const rows = outliers.map((tensor) => [unitWords(tensor), roleWords(tensor.role), ...measures(tensor)]);
  return html`<h3>Tensors furthest apart</h3>${table([{ label: 'Tensor', kind: 'name' }, { label: 'Role' }, ...MEASURES], rows)}`;
}

const MEASURES = [
  { label: 'Relative L2', kind: 'number' },
  { label: 'Cosine', kind: 'number' },
  { label: 'Max |A − B|', kind: 'number' },
] as const;

function measures({ relativeL2, cosine, max }: Distance): string[] {
  return [formatNumber(relativeL2 ?? Number.POSITIVE_INFINITY, 4), formatFixed(cosine, 6), formatNumber(max, 4)];
}

function uncomparedSection({ uncompared }: DiffDocument): PageSection | null {
  if (uncompared.length === 0) return null;
  const rows = uncompared
    .slice(0, MOST_UNCOMPARED)
    .map(({ name, reason, equal }) => [name, reason, equal === null ? 'not looked at' : equal ? 'equal' : 'different']);
  const columns = [{ label: 'Tensor', kind: 'name' }, { label: 'Reason' }, { label: 'Bytes' }] as const;
  const more = uncompared.length - rows.length;
  return {
    title: 'Not compared as numbers',
    parts: [table(columns, rows), ...(more > 0 ? [`And ${formatCount(more)} more; --json has them all.`] : [])],
  };
}
