import { formatEstimate, formatNumber, formatTick, shorten } from '../numbers.ts';
import { type Caption, coordinate, emptyFigure, type Figure, figure } from './figure.ts';
import { html, type Markup, trusted } from './markup.ts';
import { axisScale, type Scale, ticks } from './scale.ts';

export interface LineChart extends Caption {
  readonly x: ChartAxis;
  /**
   * `focus`: values that the axis spans; what lies beyond them stands at the edge, so that one value far off
   * does not press all others together.
   */
  readonly y: ChartAxis & { readonly focus?: readonly number[] };
  readonly series: readonly Series[];
  /** Values to compare with, dashed across the chart. */
  readonly levels?: readonly Level[];
  /** Places where something was tried that has no y: crosses at the foot. */
  readonly absent?: { readonly label: string; readonly xs: readonly number[] };
}

export interface ChartAxis {
  readonly label: string;
  readonly log?: boolean;
  /** How its numbers are written, where that is not as of any measure. */
  readonly format?: (value: number) => string;
}

export interface Series {
  readonly label: string;
  /** By x. Points whose y is not finite are gaps. */
  readonly points: readonly ChartPoint[];
  /**
   * `line` joins its points (the default); `points` belong together but do not follow one another; `curve`
   * and `steps` show no points, and steps hold each value up to the next.
   */
  readonly draw?: 'line' | 'points' | 'curve' | 'steps';
  /** Of the palette, from 0; the series' own place by default. */
  readonly colour?: number;
}

export interface ChartPoint {
  readonly x: number;
  readonly y: number;
  /** Standard error of y: a bar of one to either side. */
  readonly error?: number;
  /** Ends of a band around the line, as of a model's uncertainty. */
  readonly band?: readonly [number, number];
}

export interface Level {
  readonly label: string;
  readonly y: number;
  readonly error?: number;
  readonly colour: number;
}

type Placement = (point: { x: number; y: number }) => [number, number];

const WIDTH = 760;
const PLOT = { left: 64, right: 744, top: 20, bottom: 280 };
const LEGEND_ROW = 20;
/** The palette of the stylesheet, classes `c0` to `c5`, starts again after these. */
const COLOURS = 6;
/** More points than these are a line by themselves. */
const MOST_DOTS = 200;
/** Of a place in the table: more are rounding, as in 0.6950000000000001. */
const DIGITS = 12;
/** Of what is absent: no line has it. */
const ABSENT_COLOUR = 5;

/**
 * Lines or points over a numeric axis, with error bars and bands where errors are known.
 */
export function lineChart(chart: LineChart): Figure {
  const { series, levels = [], absent } = chart;
  const drawn = series.flatMap((one) => one.points).filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y));
  // A single value says something only beside others, or with its band.
  const alone = drawn.length === 1 && levels.length === 0 && drawn[0]!.band === undefined;
  if (drawn.length === 0 || alone) {
    const why = alone ? 'A single value: the table has it.' : 'No value to draw.';
    return emptyFigure('line', chart, why, valueTable(chart, axisScale([0, 1])));
  }
  const points = series.flatMap((one) => one.points);
  const x = axisScale([...points.map((point) => point.x), ...(absent?.xs ?? [])], chart.x.log === undefined ? {} : { log: chart.x.log });
  const all = [...points.flatMap(ends), ...levels.map((level) => level.y)];
  const y = axisScale(chart.y.focus ?? all, chart.y.log === undefined ? {} : { log: chart.y.log });
  const beyond = all.some((value) => isBeyond(value, y));
  const at: Placement = (point) => [
    PLOT.left + x.at(point.x) * (PLOT.right - PLOT.left),
    PLOT.bottom - within(y.at(point.y)) * (PLOT.bottom - PLOT.top),
  ];
  const legend = legendRows(chart);
  const height = PLOT.bottom + 54 + LEGEND_ROW * legend.length;
  const names = [...series, ...levels].map(({ label }) => label);
  const label = `${chart.title}: ${chart.y.label} against ${chart.x.label}, ${names.join(', ')}`;
  const geometry = html`data-left="${PLOT.left}" data-right="${PLOT.right}" data-top="${PLOT.top}" data-bottom="${PLOT.bottom}"`;
  const drawing = html`<svg width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${label}" ${geometry}>
${axes(chart, x, y)}
${series.map((one, i) => drawBand(one, colourOf(one, i), at))}
${levels.map((level) => (isBeyond(level.y, y) ? null : drawLevel(level, at)))}
${series.map((one, i) => drawSeries(one, colourOf(one, i), at, y))}
${absent === undefined ? null : drawAbsent(absent.xs, at)}
${legend}
</svg>`;
  const note = [chart.note, beyond ? 'What lies far off stands at the edge, as a triangle or not at all.' : undefined].filter(
    (text) => text !== undefined,
  );
  return figure('line', { title: chart.title, ...(note.length === 0 ? {} : { note: note.join(' ') }) }, drawing, valueTable(chart, x));
}

/** A place on the axis, or at its edge. What a logarithmic axis cannot show stays so. */
function within(place: number): number {
  return Number.isFinite(place) ? Math.max(0, Math.min(1, place)) : place;
}

function colourOf({ colour }: Series, index: number): number {
  return (colour ?? index) % COLOURS;
}

function ends({ y, error, band = [y, y] }: ChartPoint): number[] {
  return error === undefined ? [y, ...band] : [y - error, y + error, ...band];
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
    return html`<path class="tick" d="M${place} ${PLOT.bottom}v5"/><text class="label middle" x="${place}" y="${PLOT.bottom + 19}">${(chart.x.format ?? formatTick)(tick)}</text>\n`;
  });
  return [
    ...rules,
    ...steps,
    html`<text class="axis" x="${PLOT.left}" y="${PLOT.top - 8}">${chart.y.label}</text>
<text class="axis middle" x="${(PLOT.left + PLOT.right) / 2}" y="${PLOT.bottom + 38}">${chart.x.label}</text>`,
  ];
}

function drawSeries({ points, draw = 'line' }: Series, colour: number, at: Placement, scale: Scale): Markup {
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
    line += pen === 'L' && draw === 'steps' ? `H${left}V${top}` : `${pen}${left} ${top}`;
    pen = 'L';
    if (showsDots({ points, draw }))
      dots += isBeyond(point.y, scale) ? arrow(x, point.y > scale.to) : `<circle cx="${left}" cy="${top}" r="3"/>`;
    if (isBeyond(point.y, scale)) continue;
    if (point.error === undefined || !Number.isFinite(point.error)) continue;
    const [high, low] = [at({ x: point.x, y: point.y + point.error })[1], at({ x: point.x, y: point.y - point.error })[1]];
    // On a logarithmic axis an error may reach below everything that can be drawn.
    const foot = Number.isFinite(low) ? low : PLOT.bottom;
    bars += `M${left} ${coordinate(high)}V${coordinate(foot)}M${coordinate(x - 3)} ${coordinate(high)}h6M${coordinate(x - 3)} ${coordinate(foot)}h6`;
  }
  const parts = [
    draw === 'points' || line === '' ? '' : `<path class="line" d="${line}"/>`,
    bars === '' ? '' : `<path class="error" d="${bars}"/>`,
    dots,
  ];
  return trusted(`<g class="c${colour}">${parts.join('')}</g>\n`);
}

function isBeyond(y: number, { from, to }: Scale): boolean {
  return y < from || y > to;
}

/** At the edge, for what lies beyond it. */
function arrow(x: number, above: boolean): string {
  const [edge, down] = above ? [PLOT.top, 1] : [PLOT.bottom, -1];
  return `<path d="M${coordinate(x)} ${edge}l4 ${7 * down}h-8z"/>`;
}

function showsDots({ points, draw = 'line' }: Pick<Series, 'points' | 'draw'>): boolean {
  return draw === 'points' || (draw === 'line' && points.length <= MOST_DOTS);
}

function drawBand({ points }: Series, colour: number, at: Placement): Markup | null {
  const banded = points.filter(({ band }) => band?.every(Number.isFinite));
  if (banded.length < 2) return null;
  const corner = (x: number, y: number) => at({ x, y }).map(coordinate).join(' ');
  const upper = banded.map(({ x, band }) => corner(x, band![1]));
  const lower = banded.map(({ x, band }) => corner(x, band![0])).reverse();
  return trusted(`<path class="band c${colour}" d="M${[...upper, ...lower].join('L')}z"/>\n`);
}

function drawLevel({ y, colour }: Level, at: Placement): Markup | null {
  const top = at({ x: 0, y })[1];
  if (!Number.isFinite(top)) return null;
  return html`<path class="line level c${colour}" d="M${PLOT.left} ${coordinate(top)}H${PLOT.right}"/>\n`;
}

function drawAbsent(xs: readonly number[], at: Placement): Markup {
  const crosses = xs.map((x) => at({ x, y: 0 })[0]).filter(Number.isFinite);
  const path = crosses.map((x) => `M${coordinate(x - 4)} ${PLOT.bottom - 10}l8 8m-8 0l8 -8`);
  return html`<path class="line c${ABSENT_COLOUR}" d="${path.join('')}"/>\n`;
}

function legendRows({ series, levels = [], absent }: LineChart): Markup[] {
  const line = (style: string) => (y: number) => html`<path class="line${style}" d="M${PLOT.left} ${y}h18"/>`;
  const dot = (y: number) => html`<circle cx="${PLOT.left + 9}" cy="${y}" r="3"/>`;
  const cross = (y: number) => html`<path class="line" d="M${PLOT.left + 5} ${y - 4}l8 8m-8 0l8 -8"/>`;
  const entries = [
    ...series.map((one, i) => ({
      label: one.label,
      colour: colourOf(one, i),
      keys: [...(one.draw === 'points' ? [] : [line('')]), ...(showsDots(one) ? [dot] : [])],
    })),
    ...levels.map(({ label, colour }) => ({ label, colour, keys: [line(' level')] })),
    ...(absent === undefined ? [] : [{ label: absent.label, colour: ABSENT_COLOUR, keys: [cross] }]),
  ];
  return entries.map(({ label, colour, keys }, row) => {
    const y = PLOT.bottom + 60 + row * LEGEND_ROW;
    const text = html`<text class="label" x="${PLOT.left + 28}" y="${y + 4}">${shorten(label, 90)}</text>`;
    return html`<g class="c${colour}">${keys.map((key) => key(y))}</g>${text}\n`;
  });
}

/**
 * A row for every x, a column for every series, one for what is absent, and a row at the foot for every
 * level; exact numbers in `data-v`. The page's script finds the row under the pointer by `data-x`, its place
 * in the drawing.
 */
function valueTable({ x, series, levels = [], absent }: LineChart, scale: Scale): Markup {
  const missing = new Set(absent?.xs);
  const places = [...new Set([...series.flatMap(({ points }) => points.map((point) => point.x)), ...missing])].sort((a, b) => a - b);
  const columns = series.map(({ points }) => new Map(points.map((point) => [point.x, point])));
  const head = series.map((one, i) => {
    return html`<th scope="col" data-draw="${one.draw ?? 'line'}" data-colour="${colourOf(one, i)}">${one.label}`;
  });
  const last = absent === undefined ? null : html`<th scope="col" data-draw="absent" data-colour="${ABSENT_COLOUR}">${absent.label}`;
  const body = places.map((place) => {
    const cells = columns.map((column) => pointCell(column.get(place)));
    const gone = absent === undefined ? null : missing.has(place) ? html`<td>yes` : html`<td>`;
    const left = coordinate(PLOT.left + scale.at(place) * (PLOT.right - PLOT.left));
    return html`<tr><th scope="row" data-v="${place}" data-x="${left}">${(x.format ?? formatTick)(Number(place.toPrecision(DIGITS)))}${cells}${gone}\n`;
  });
  const foot = levels.map(
    ({ label, y, error, colour }) =>
      html`<tr><th scope="row" data-v="${y}" data-colour="${colour}">${label}<td>${error === undefined ? formatNumber(y, 6) : formatEstimate(y, error)}\n`,
  );
  return html`<table class="numbers"><thead><tr><th scope="col">${x.label}${head}${last}</thead><tbody>\n${body}</tbody>${levels.length === 0 ? null : html`<tfoot>\n${foot}</tfoot>`}</table>`;
}

function pointCell(point: ChartPoint | undefined): Markup {
  if (point === undefined) return html`<td>`;
  const { y, error, band } = point;
  const text = error === undefined ? formatNumber(y, 6) : formatEstimate(y, error);
  const around = band === undefined ? null : html` (${formatNumber(band[0], 5)} to ${formatNumber(band[1], 5)})`;
  return html`<td data-v="${y}">${text}${around}`;
}
