import { formatNumber, formatTick, shorten } from '../numbers.ts';
import { type Caption, coordinate, type Figure, figure } from './figure.ts';
import { html, type Markup } from './markup.ts';
import { axisScale, type Scale, SHADES, scaleOf, shadeOf, ticks } from './scale.ts';

export interface ParallelChart extends Caption {
  readonly axes: readonly ParallelAxis[];
  /** What the lines are coloured by, the last axis. */
  readonly score: { readonly label: string; readonly strongest: 'high' | 'low' };
  readonly lines: readonly ParallelLine[];
  /** What a line is, for the table: `trial`. */
  readonly of: string;
}

export interface ParallelAxis {
  readonly label: string;
  /** Ends of the axis; values of the lines where they are not given. */
  readonly low?: number;
  readonly high?: number;
  readonly log?: boolean;
  /** Of a choice, in the order in which they stand from the foot; numbers of a choice, too. */
  readonly levels?: readonly (number | string)[];
}

export interface ParallelLine {
  readonly label: string;
  /** By the chart's axes; null where the line has none, and is broken. */
  readonly values: readonly (number | string | null)[];
  /** Finite. */
  readonly score: number;
  /** Stands out. */
  readonly marked?: boolean;
}

/** An axis as drawn: where a value stands, 0 at the foot, and what is written beside it. */
interface DrawnAxis {
  readonly label: string;
  /** Null for what is not on the axis. */
  place(value: number | string | null): number | null;
  readonly ticks: readonly { readonly place: number; readonly text: string }[];
}

const WIDTH = 760;
const PLOT = { left: 70, right: 690, top: 44, bottom: 300 };
const LONGEST_LABEL = 14;
/** More lines than these are drawn thin, so that bundles can be told apart. */
const DENSE = 60;
/** Weaker shades than this would be lost on the page. */
const FIRST_SHADE = 3;

/**
 * Many dimensions side by side: an upright axis a parameter, the score last, a line for each that was tried;
 * the better its score, the stronger its shade.
 */
export function parallelChart(chart: ParallelChart): Figure {
  const { score, lines } = chart;
  const scores = axisScale(lines.map((line) => line.score));
  const axes = [...chart.axes.map((axis, a) => drawnAxis(axis, lines, a)), numericAxis(score.label, scores)];
  const x = (axis: number): number => PLOT.left + (axis * (PLOT.right - PLOT.left)) / Math.max(1, axes.length - 1);
  const shades = scaleOf(lines.map((line) => line.score));
  const label = `${chart.title}: ${lines.length} lines over ${axes.map((axis) => axis.label).join(', ')}`;
  const height = PLOT.bottom + 18;
  const drawing = html`<svg width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${label}">
<g class="${lines.length > DENSE ? 'dense' : ''}">
${orderOf(chart).map((line) => drawLine(line, axes, x, shadeClass(line, shades, score.strongest), score.label))}</g>
${axes.map((axis, a) => drawAxis(axis, x(a), a === axes.length - 1))}
</svg>`;
  return figure('parallel', chart, drawing, valueTable(chart));
}

/** The best last, so that it lies on top. */
function orderOf({ lines, score }: ParallelChart): ParallelLine[] {
  const sign = score.strongest === 'high' ? 1 : -1;
  return [...lines].sort((a, b) => Number(a.marked ?? false) - Number(b.marked ?? false) || sign * (a.score - b.score));
}

function drawnAxis({ label, low, high, log, levels }: ParallelAxis, lines: readonly ParallelLine[], axis: number): DrawnAxis {
  if (levels !== undefined) {
    const at = (level: number): number => (levels.length < 2 ? 0.5 : level / (levels.length - 1));
    return {
      label,
      place: (value) => (value === null || !levels.includes(value) ? null : at(levels.indexOf(value))),
      ticks: levels.map((level, i) => ({
        place: at(i),
        text: typeof level === 'number' ? formatTick(level) : shorten(level, LONGEST_LABEL),
      })),
    };
  }
  const values = lines.map((line) => line.values[axis]).filter((value) => typeof value === 'number');
  const ends = low === undefined || high === undefined ? values : [low, high];
  return numericAxis(label, scaleOf(ends, log === undefined ? {} : { log }));
}

function numericAxis(label: string, scale: Scale): DrawnAxis {
  return {
    label,
    place: (value) => {
      const place = typeof value === 'number' ? scale.at(value) : Number.NaN;
      return Number.isFinite(place) ? place : null;
    },
    ticks: ticks(scale, 5).map((tick) => ({ place: scale.at(tick), text: formatTick(tick) })),
  };
}

function shadeClass({ score }: ParallelLine, scale: Scale, strongest: 'high' | 'low'): string {
  const strength = strongest === 'high' ? shadeOf(scale, score) : SHADES - 1 - shadeOf(scale, score);
  return `t${FIRST_SHADE + Math.round((strength * (SHADES - 1 - FIRST_SHADE)) / (SHADES - 1))}`;
}

function drawLine(line: ParallelLine, axes: readonly DrawnAxis[], x: (axis: number) => number, shade: string, scoreLabel: string): Markup {
  let path = '';
  let pen = 'M';
  axes.forEach((axis, a) => {
    const place = axis.place(a < axes.length - 1 ? (line.values[a] ?? null) : line.score);
    if (place !== null) path += `${pen}${coordinate(x(a))} ${coordinate(yOf(place))}`;
    pen = place === null ? 'M' : 'L';
  });
  const name = `${line.label}: ${scoreLabel} ${formatNumber(line.score, 6)}`;
  return html`<path class="thread ${line.marked ? 'best' : shade}" d="${path}"><title>${name}</title></path>\n`;
}

function yOf(place: number): number {
  return PLOT.bottom - place * (PLOT.bottom - PLOT.top);
}

/** @param last its numbers stand on the right */
function drawAxis({ label, ticks: marks }: DrawnAxis, x: number, last: boolean): Markup {
  const texts = marks.map(({ place, text }) => {
    const y = coordinate(yOf(place));
    const [side, from] = last ? ['', x + 9] : ['end', x - 9];
    return html`<path class="axis-line" d="M${coordinate(x - 4)} ${y}h8"/><text class="label on-line ${side}" x="${coordinate(from)}" y="${coordinate(yOf(place) + 4)}">${text}</text>\n`;
  });
  return html`<path class="axis-line" d="M${coordinate(x)} ${PLOT.top}V${PLOT.bottom}"/>
<text class="axis middle" x="${coordinate(x)}" y="${PLOT.top - 18}">${shorten(label, LONGEST_LABEL)}</text>
${texts}`;
}

function valueTable({ axes, score, lines, of }: ParallelChart): Markup {
  const head = [...axes.map((axis) => axis.label), score.label].map((label) => html`<th scope="col">${label}`);
  const body = lines.map((line) => {
    const cells = [...line.values, line.score].map((value) => html`<td>${typeof value === 'string' ? value : formatNumber(value, 6)}`);
    return html`<tr><th scope="row">${line.label}${cells}\n`;
  });
  return html`<table class="numbers"><thead><tr><th scope="col">${of}${head}</thead><tbody>\n${body}</tbody></table>`;
}
