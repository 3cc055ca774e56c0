import type { PairIdentity } from '../../model/places/types.ts';
import type { Load } from '../../model/routing/types.ts';
import { formatBytes, formatCount, formatSeconds, plural } from '../../render/format.ts';
import { barChart } from '../../render/html/bar-chart.ts';
import { table } from '../../render/html/figure.ts';
import { heatMap } from '../../render/html/heat-map.ts';
import { type ChartPoint, lineChart, type Series } from '../../render/html/line-chart.ts';
import { type Content, html, type Markup } from '../../render/html/markup.ts';
import { badge, htmlPage, list, type PageSection, type Tone } from '../../render/html/page.ts';
import { checkpointLabels } from '../../render/labels.ts';
import { formatEstimate, formatFixed, formatNumber } from '../../render/numbers.ts';
import type { LayerReport, RouterReport, RouterVariant, Verdict } from './types.ts';

/** `measured` is no praise by itself: whether the averaged router did better stands in the headline. */
const TONES: Record<Verdict['kind'], Tone> = { refuse: 'bad', look: 'notice', measured: 'neutral', 'no-objection': 'neutral' };

const VARIANTS: Record<RouterVariant, string> = {
  average: 'merged, averaged routers',
  newest: "merged, the newest member's routers",
  oldest: "merged, the oldest member's routers",
  unmerged: 'newest checkpoint, unmerged',
};

/** The report of `merge routers` as one HTML document. */
export function routersPage(report: RouterReport): string {
  const labels = checkpointLabels(report.members);
  const pairs = labels.slice(1).map((label, i) => `${labels[i]} → ${label}`);
  const { verdict, sample } = report;
  const sections = [
    evaluationSection(report),
    identitySection(report, pairs),
    driftSection(report, pairs),
    choiceSection(report, labels),
    { title: 'Not tested', parts: [verdict.notTested.length === 0 ? 'Nothing was left out.' : list(verdict.notTested)] },
    { title: 'What was looked at', parts: [memberTable(report, labels)] },
    report.warnings.length === 0 ? null : { title: 'Warnings', parts: [list(report.warnings.map(({ message }) => message))] },
  ];
  const elements =
    sample.expertElements === null ? 'none of the experts' : `${formatCount(sample.expertElements)} of each expert's weights`;
  return htmlPage({
    title: 'Router safety report',
    summary: {
      headline: verdict.headline,
      tone: TONES[verdict.kind],
      findings: verdict.findings,
      facts: [
        ['Family', report.family ?? 'unknown'],
        ['Layers with routers', formatCount(report.layers.length)],
        ['Checkpoints', `${report.members.length}: ${labels[0]} to ${labels.at(-1)}`],
        ['Weights', report.method],
        ['Routing', report.routing?.text ?? 'not known: the choice of experts was not tested'],
        ['Compared', `${formatCount(sample.routerColumns)} of each router row, ${elements}`],
        ['Read', `${formatBytes(report.bytesRead)} in ${formatSeconds(report.seconds)}`],
      ],
    },
    sections: sections.filter((section) => section !== null),
  });
}

function layerLabel({ layer, mtp }: LayerReport): string {
  return mtp ? `${layer} MTP` : String(layer);
}

function evaluationSection({ evaluation }: RouterReport): PageSection | null {
  if (evaluation === null) return null;
  const { scores, differences, goal, command } = evaluation;
  const chart = barChart({
    title: 'Scores by router',
    note: `${goal === 'minimize' ? 'Lower' : 'Higher'} is better. Error bars are one standard error of a score by itself; the differences below are sharper where they are paired.`,
    label: 'score',
    draw: 'points',
    bars: scores.map(({ router, score, stderr }) => ({
      label: VARIANTS[router],
      value: score,
      ...(stderr === null ? {} : { error: stderr }),
    })),
  });
  const rows = differences.map(({ router, mean, error, paired }) => [
    VARIANTS[router],
    formatEstimate(mean, error),
    error === null || error === 0 ? '–' : formatNumber(mean / error, 2),
    paired ? 'item by item' : 'no',
  ]);
  const columns = [
    { label: 'Less the averaged routers' },
    { label: 'Difference', kind: 'number' },
    { label: 'In standard errors', kind: 'number' },
    { label: 'Paired' },
  ] as const;
  return {
    title: 'Does the choice of router matter?',
    parts: [html`<p>Measured with <code>${command}</code></p>`, chart, table(columns, rows)],
  };
}

function identitySection({ layers, sample }: RouterReport, pairs: readonly string[]): PageSection {
  const rule = `Another order of experts counts only where 1 − cosine falls to ${sample.ratio} of what it is as stored and the cosine rises by ${sample.gain}, by router rows and by expert weights.`;
  const notable = layers.flatMap((layer) =>
    layer.identity.flatMap((identity, pair) => {
      if (identity.status === 'same' && identity.ties.length === 0) return [];
      return [[layerLabel(layer), pairs[pair] ?? '', statusBadge(identity), movedText(identity), tiesText(identity)]];
    }),
  );
  const columns = [{ label: 'Layer' }, { label: 'Between' }, { label: 'Experts' }, { label: 'Moved' }, { label: 'Interchangeable' }];
  const rest = notable.length === 0 ? 'In every layer every expert is where it was.' : 'In all other layers every expert is where it was.';
  return {
    title: 'Is expert e still expert e?',
    parts: [rule, ...(notable.length === 0 ? [] : [table(columns, notable)]), rest, ...marginChart(layers)],
  };
}

function statusBadge({ status, by }: PairIdentity): Markup {
  if (status === 'permuted') return badge('bad', 'permuted');
  if (status === 'unrelated') return badge('notice', 'nothing in common');
  return status === 'same' ? badge('neutral', 'in place') : badge('notice', `moved by ${by} alone`);
}

function movedText({ moved }: PairIdentity): string {
  return moved.map(({ from, to }) => `${from} → ${to}`).join(', ');
}

function tiesText({ ties }: PairIdentity): string {
  return ties.map((group) => group.join(' = ')).join(', ');
}

function marginChart(layers: readonly LayerReport[]): PageSection['parts'][number][] {
  const least = (layer: LayerReport, measure: 'router' | 'weights'): number =>
    Math.min(...layer.identity.map(({ margin }) => margin[measure] ?? Number.POSITIVE_INFINITY));
  const series = [
    byLayer('router rows', layers, (layer) => least(layer, 'router')),
    byLayer('expert weights', layers, (layer) => least(layer, 'weights')),
  ].filter(({ points }) => points.some(({ y }) => Number.isFinite(y)));
  if (series.length === 0) return [];
  return [
    lineChart({
      title: 'How surely experts are themselves',
      note: 'Cosine of an expert with itself in the next checkpoint, less that with the nearest other one: the least of all experts and checkpoints. Below zero another expert is nearer.',
      x: { label: 'layer' },
      y: { label: 'least margin of cosine' },
      series,
    }),
  ];
}

function driftSection({ layers }: RouterReport, pairs: readonly string[]): PageSection {
  const drift = heatMap({
    title: 'Relative change of the router',
    note: '‖B − A‖ / ‖A‖ over all rows, A before B; numbers that are not finite left out; NaN where a router is zero.',
    rows: layers.map(layerLabel),
    columns: pairs,
    axes: { row: 'layer', column: 'checkpoints' },
    include: [0],
    values: layers.map(({ drift }) => drift.map(({ relative }) => relative ?? Number.NaN)),
  });
  const bias = layers.some(({ drift }) => drift.some(({ correctionBias }) => correctionBias !== null));
  const rows = layers.map((layer) => {
    const span = layer.overall ?? layer.drift[0];
    if (span === undefined) return [layerLabel(layer)];
    return [
      layerLabel(layer),
      formatNumber(span.relative, 4),
      formatFixed(span.cosine, 5),
      span.worst === null ? '–' : `${span.worst.expert} (${formatNumber(span.worst.relative, 3)})`,
      `${formatNumber(layer.midpoint.least, 4)}${layer.midpoint.expert === null ? '' : ` (expert ${layer.midpoint.expert})`}`,
      ...(bias ? [formatNumber(span.correctionBias, 4)] : []),
    ];
  });
  const columns = [
    { label: 'Layer' },
    { label: 'Relative change', kind: 'number' },
    { label: 'Cosine', kind: 'number' },
    { label: 'Expert that moved most', kind: 'number' },
    { label: 'Length kept by the average, least', kind: 'number' },
    ...(bias ? ([{ label: 'Correction bias', kind: 'number' }] as const) : []),
  ] as const;
  return {
    title: 'How far did routers move?',
    parts: [
      drift,
      html`<h3>From the oldest to the newest checkpoint</h3>
<p>The length kept by the average is ‖Σ w·row‖ / Σ w·‖row‖: 1 where all checkpoints' rows point the same way.</p>`,
      table(columns, rows),
    ],
  };
}

function choiceSection({ layers, inputs, routing }: RouterReport, labels: readonly string[]): PageSection {
  const title = 'Would tokens go to the same experts?';
  const tested = layers.filter(({ choice }) => choice !== null);
  if (inputs === null || tested.length === 0) return { title, parts: ['Not tested.'] };
  const synthetic = inputs.kind === 'synthetic';
  const source: Content = synthetic
    ? html`<p>${badge('notice', 'synthetic')} ${plural(inputs.tokens, 'random vector')} a layer, seed ${inputs.seed}, not hidden states of a model: they say how alike the routers are, and nothing of load or safety.</p>`
    : html`<p>On ${plural(inputs.tokens, 'hidden state')} a layer, from <code>${inputs.path}</code></p>`;
  const overlap = heatMap({
    title: 'Overlap of the chosen experts',
    note: `Share of each checkpoint's own top ${routing?.topK ?? 'k'} that the averaged router chooses too. 0.8 to 0.9 is usual for routers whose average scores better than they do.`,
    rows: tested.map(layerLabel),
    columns: labels,
    axes: { row: 'layer', column: 'checkpoint' },
    include: [0, 1],
    values: tested.map(({ choice }) => choice!.members.map(({ overlap }) => overlap.mean)),
  });
  return { title, parts: [source, overlap, choiceTable(tested), ...(synthetic ? [] : [loadChart(tested)])] };
}

function choiceTable(layers: readonly LayerReport[]): Markup {
  const rows = layers.map((layer) => {
    const members = layer.choice!.members;
    const least = members.reduce((worst, member) => (member.overlap.mean < worst.overlap.mean ? member : worst));
    return [
      layerLabel(layer),
      formatEstimate(least.overlap.mean, least.overlap.standardError),
      formatFixed(least.top1.mean, 3),
      formatFixed(least.mass.mean, 3),
      formatFixed(least.flippable, 3),
    ];
  });
  const columns = [
    { label: 'Layer' },
    { label: 'Least overlap', kind: 'number' },
    { label: 'Same first choice', kind: 'number' },
    { label: 'Share of score on its experts', kind: 'number' },
    { label: 'Tokens that could change', kind: 'number' },
  ] as const;
  return html`<h3>The checkpoint that agrees least with the average, by layer</h3>${table(columns, rows)}`;
}

function loadChart(layers: readonly LayerReport[]) {
  const fullest = (load: Load | null): number => load?.maxOverMean ?? Number.NaN;
  const members = (layer: LayerReport): number[] => layer.choice!.members.map(({ load }) => fullest(load));
  return lineChart({
    title: 'Load of the fullest expert',
    note: 'Tokens of the expert that gets most of them, over the mean. 1 is perfect balance.',
    x: { label: 'layer' },
    y: { label: 'fullest over mean' },
    series: [
      byLayer('averaged router', layers, (layer) => fullest(layer.choice!.load)),
      byLayer("lowest of the members' own", layers, (layer) => Math.min(...members(layer))),
      byLayer("highest of the members' own", layers, (layer) => Math.max(...members(layer))),
    ],
  });
}

function byLayer(label: string, layers: readonly LayerReport[], value: (layer: LayerReport) => number): Series {
  return { label, points: layers.map((layer): ChartPoint => ({ x: layer.layer, y: value(layer) })) };
}

function memberTable({ members }: RouterReport, labels: readonly string[]): Markup {
  const rows = members.map(({ path, tokens, weight }, i) => [
    labels[i],
    tokens === null ? '–' : formatCount(tokens),
    formatNumber(weight, 6),
    path,
  ]);
  const columns = [
    { label: 'Checkpoint' },
    { label: 'Tokens', kind: 'number' },
    { label: 'Weight', kind: 'number' },
    { label: 'Path', kind: 'name' },
  ] as const;
  return table(columns, rows);
}
