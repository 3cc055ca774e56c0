import { type Caption, coordinate, type Figure, figure, formatEstimate, formatNumber, formatTick, shorten } from './figure.ts';
import { html, type Markup, trusted } from './markup.ts';
import { axisScale, type Scale, ticks } from './scale.ts';

export interface LineChart extends Caption {
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
}

export interface Axis {
  readonly label: string;
  readonly log?: boolean;
}

export interface Series {
  readonly label: string;
  /** By x. Points whose y is not finite are gaps. */
  readonly points: readonly Point[];
  /** False for points that belong together but do not follow one another. */
  readonly joined?: boolean;
}

export interface Point {
  readonly x: number;
  readonly y: number;
  /** Standard error of y: a bar of one to either side. */
  readonly error?: number;
}

const WIDTH = 760;
const PLOT = { left: 64, right: 744, top: 20, bottom: 280 };
const LEGEND_ROW = 20;
/** The palette of the stylesheet, classes `c0` to `c5`, starts again after these. */
export const COLOURS = 6;

/** Lines or points over a numeric axis, with error bars where errors are known. Where scripts run the same numbers can be zoomed. */
export function lineChart(chart: LineChart): Figure {
  const points = chart.series.flatMap((series) => series.points);
  const x = axisScale(
    points.map((point) => point.x),
    chart.x.log === undefined ? {} : { log: chart.x.log },
  );
  const y = axisScale(points.flatMap(ends), chart.y.log === undefined ? {} : { log: chart.y.log });
  const at = (point: { x: number; y: number }): [number, number] => [
    PLOT.left + x.at(point.x) * (PLOT.right - PLOT.left),
    PLOT.bottom - y.at(point.y) * (PLOT.bottom - PLOT.top),
  ];
  const height = PLOT.bottom + 54 + LEGEND_ROW * chart.series.length;
  const label = `${chart.title}: ${chart.y.label} against ${chart.x.label}, ${chart.series.map((series) => series.label).join(', ')}`;
  const options = html`data-x-log="${x.log ? 1 : 0}" data-y-log="${y.log ? 1 : 0}"`;
  const drawing = html`<svg width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${label}" ${options}>
${axes(chart, x, y)}
${chart.series.map((series, i) => drawSeries(series, i, at))}
${chart.series.map((series, i) => legendRow(series, i))}
</svg>`;
  return figure('line', chart, drawing, valueTable(chart));
}

function ends({ y, error }: Point): number[] {
  return error === undefined ? [y] : [y - error, y + error];
}

function axes(chart: LineChart, x: Scale, y: Scale): Markup[] {
  const width = PLOT.right - PLOT.left;
  const height = PLOT.bottom - PLOT.top;
  const rules = ticks(y, 6).map((tick) => {
    const place = coordinate(PLOT.bottom - y.at(tick) * height);
    return html`<path class="rule" d="M${PLOT.left} ${place}h${width}"/><text class="label end" x="${PLOT.left - 8}" y="${Number(place) + 4}">${formatTick(tick)}</text>\n`;
  });
  const steps = ticks(x, 8).map((tick) => {
    const place = coordinate(PLOT.left + x.at(tick) * width);
    return html`<path class="tick" d="M${place} ${PLOT.bottom}v5"/><text class="label middle" x="${place}" y="${PLOT.bottom + 19}">${formatTick(tick)}</text>\n`;
  });
  return [
    ...rules,
    ...steps,
    html`<text class="axis" x="${PLOT.left}" y="${PLOT.top - 8}">${chart.y.label}</text>
<text class="axis middle" x="${(PLOT.left + PLOT.right) / 2}" y="${PLOT.bottom + 38}">${chart.x.label}</text>`,
  ];
}

function drawSeries({ points, joined }: Series, index: number, at: (point: { x: number; y: number }) => [number, number]): Markup {
  let line = '';
  let bars = '';
  let dots = '';
  let pen = 'M';
  for (const point of points) {
    const [x, y] = at(point);
    if (!Number.isFinite(x) || !Number.isFinite(y)) {
      pen = 'M';
      continue;
    }
    const [left, top] = [coordinate(x), coordinate(y)];
    line += `${pen}${left} ${top}`;
    pen = 'L';
    if (points.length <= 200) dots += `<circle cx="${left}" cy="${top}" r="3"/>`;
    if (point.error === undefined || !Number.isFinite(point.error)) continue;
    const [high, low] = [at({ x: point.x, y: point.y + point.error })[1], at({ x: point.x, y: point.y - point.error })[1]];
    // On a logarithmic axis an error may reach below everything that can be drawn.
    const foot = Number.isFinite(low) ? low : PLOT.bottom;
    bars += `M${left} ${coordinate(high)}V${coordinate(foot)}M${coordinate(x - 3)} ${coordinate(high)}h6M${coordinate(x - 3)} ${coordinate(foot)}h6`;
  }
  const parts = [
    joined === false || line === '' ? '' : `<path class="line" d="${line}"/>`,
    bars === '' ? '' : `<path class="error" d="${bars}"/>`,
    dots,
  ];
  return trusted(`<g class="c${index % COLOURS}">${parts.join('')}</g>\n`);
}

function legendRow({ label }: Series, index: number): Markup {
  const y = PLOT.bottom + 60 + index * LEGEND_ROW;
  const text = html`<text class="label" x="${PLOT.left + 28}" y="${y + 4}">${shorten(label, 90)}</text>`;
  return html`<g class="c${index % COLOURS}"><path class="line" d="M${PLOT.left} ${y}h18"/><circle cx="${PLOT.left + 9}" cy="${y}" r="3"/></g>${text}\n`;
}

/** A row for every x, a column for every series; exact numbers in `data-v`, from which the page's script draws again. */
function valueTable({ x, series }: LineChart): Markup {
  const places = [...new Set(series.flatMap(({ points }) => points.map((point) => point.x)))].sort((a, b) => a - b);
  const columns = series.map(({ points }) => new Map(points.map((point) => [point.x, point])));
  const head = series.map(({ label, joined }) => html`<th scope="col" data-joined="${joined === false ? 0 : 1}">${label}`);
  const body = places.map((place) => {
    const cells = columns.map((column) => {
      const point = column.get(place);
      if (point === undefined) return html`<td>`;
      if (point.error === undefined) return html`<td data-v="${point.y}">${formatNumber(point.y, 6)}`;
      return html`<td data-v="${point.y}" data-e="${point.error}">${formatEstimate(point.y, point.error)}`;
    });
    return html`<tr><th scope="row" data-v="${place}">${formatTick(place)}${cells}\n`;
  });
  return html`<table class="numbers"><thead><tr><th scope="col">${x.label}${head}</thead><tbody>\n${body}</tbody></table>`;
}
