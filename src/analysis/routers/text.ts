import type { Colors } from '../../render/colors.ts';
import { formatBytes, formatSeconds, formatTable, plural, printable } from '../../render/format.ts';
import { checkpointLabels } from '../../render/labels.ts';
import type { LayerReport, RouterReport } from './types.ts';

/** What `routers` prints: the verdict and what it rests on, then a line a layer. */
export function routersText(report: RouterReport, colors: Colors): string {
  const { verdict, layers, members, inputs, routing } = report;
  const paint = { refuse: colors.red, look: colors.yellow, measured: colors.bold, 'no-objection': colors.bold }[verdict.kind];
  const bullets = (sentences: readonly string[]) => sentences.map((sentence) => `  - ${printable(sentence)}`);
  const labels = checkpointLabels(members);
  const span = [labels[0]!, labels.at(-1)!].map(printable).join(' to ');
  const lines = [
    paint(printable(verdict.headline)),
    ...bullets(verdict.findings),
    ...(verdict.notTested.length === 0 ? [] : ['', 'Not tested:', ...bullets(verdict.notTested)]),
    '',
    `${report.family === null ? 'unknown family' : printable(report.family)}, ${plural(members.length, 'checkpoint')} (${span}), ${report.method}` +
      `${routing === null ? '' : `; ${routing.text}`}`,
    ...(inputs?.kind === 'synthetic' ? [`choice on ${plural(inputs.tokens, 'synthetic input')} a layer, seed ${inputs.seed}`] : []),
    ...(inputs?.kind === 'hidden-states'
      ? [`choice on ${plural(inputs.tokens, 'hidden state')} a layer, of ${printable(inputs.path!)}`]
      : []),
    '',
    ...layerTable(layers),
    '',
    `read ${formatBytes(report.bytesRead)} in ${formatSeconds(report.seconds)}`,
  ];
  return `${lines.join('\n')}\n`;
}

function layerTable(layers: readonly LayerReport[]): string[] {
  const withLoad = layers.some(({ choice }) => choice?.load != null);
  const head = [
    'layer',
    'experts',
    'places',
    'margin',
    'moved',
    'to newest',
    'overlap',
    'first',
    ...(withLoad ? ['load', "members'"] : []),
  ];
  const rows = layers.map((layer) => [
    `${layer.layer}${layer.mtp ? ' (mtp)' : ''}`,
    String(layer.experts),
    placesOf(layer),
    number(least(layer)),
    percent(mean(layer.drift.flatMap(({ relative }) => relative ?? []))),
    percent(layer.overall?.relative ?? layer.drift[0]?.relative ?? null),
    ...choiceCells(layer, withLoad),
  ]);
  const align = head.map((_, column) => (column === 2 ? 'left' : 'right'));
  return formatTable([head, ...rows], align);
}

function choiceCells({ choice }: LayerReport, withLoad: boolean): string[] {
  if (choice === null) return ['-', '-', ...(withLoad ? ['-', '-'] : [])];
  const { members } = choice;
  const of = (value: (m: (typeof members)[number]) => number) => mean(members.map(value));
  const cells = [percent(of((m) => m.overlap.mean)), percent(of((m) => m.top1.mean))];
  if (!withLoad) return cells;
  return [...cells, ...(choice.load === null ? ['-', '-'] : [number(choice.load.maxOverMean), number(of((m) => m.load!.maxOverMean))])];
}

/** The worst of all pairs. */
function placesOf({ identity }: LayerReport): string {
  const permuted = identity.filter((pair) => pair.status === 'permuted').length;
  if (permuted > 0) return `changed in ${plural(permuted, 'pair')}`;
  const oneSided = identity.find((pair) => pair.status === 'one-sided');
  if (oneSided !== undefined) return `in question by ${oneSided.by}`;
  if (identity.some(({ status }) => status === 'unrelated')) return 'nothing in common';
  return identity.some(({ ties }) => ties.length > 0) ? 'kept, with ties' : 'kept';
}

/** Least margin of the layer, whichever measure. */
function least({ identity }: LayerReport): number | null {
  const margins = identity.flatMap(({ margin }) => [margin.router ?? [], margin.weights ?? []].flat());
  return margins.length === 0 ? null : Math.min(...margins);
}

const mean = (values: readonly number[]) => values.reduce((sum, v) => sum + v, 0) / values.length;
const number = (value: number | null) => (value === null ? '-' : value.toFixed(2));
const percent = (share: number | null) => (share === null || Number.isNaN(share) ? '-' : `${(100 * share).toFixed(1)} %`);
