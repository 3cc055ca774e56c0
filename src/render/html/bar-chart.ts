import { formatEstimate, formatTick, shorten } from '../numbers.ts';
import { type Caption, coordinate, type Figure, figure } from './figure.ts';
import { html, type Markup } from './markup.ts';
import { axisScale, type Scale, scaleOf, ticks } from './scale.ts';

export interface BarChart extends Caption {
  readonly bars: readonly Bar[];
  /** What the values are, for the axis and the table. */
  readonly label: string;
  /**
   * `bars` start at zero, so that their lengths can be compared. `points` are for scores that hardly differ:
   * the axis spans the data and their errors, and nothing has a length that could mislead.
   */
  readonly draw?: 'bars' | 'points';
}

export interface Bar {
  readonly label: string;
  readonly value: number;
  /** Standard error of the value: a bar of one to either side. */
  readonly error?: number;
  /** Stands out. */
  readonly marked?: boolean;
}

const WIDTH = 760;
const ROW = 30;
const LONGEST_LABEL = 48;

/** A row for each value, in the order given: label, bar or point with its error, number. */
export function barChart(chart: BarChart): Figure {
  const draw = chart.draw ?? 'bars';
  const spans = chart.bars.flatMap(({ value, error = 0 }) => [value - error, value + error]);
  const scale = draw === 'bars' ? scaleOf(spans, { zero: true }) : axisScale(spans);
  const left = Math.min(340, Math.max(...chart.bars.map(({ label }) => Math.min(LONGEST_LABEL, label.length)), 6) * 6.8 + 16);
  const right = WIDTH - 150;
  const bottom = 8 + chart.bars.length * ROW;
  const height = bottom + 46;
  const at = (value: number): number => left + Math.max(0, Math.min(1, scale.at(value))) * (right - left);
  const rows = chart.bars.map((bar, i) => drawBar(bar, draw, at, { left, right, y: 8 + (i + 0.5) * ROW }));
  const drawing = html`<svg width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${chart.title}: ${chart.label}">
${axis(scale, at, bottom, chart.label, (left + right) / 2)}
${rows}
</svg>`;
  return figure('bars', chart, drawing, valueTable(chart));
}

function axis(scale: Scale, at: (value: number) => number, bottom: number, label: string, middle: number): Markup {
  const rules = ticks(scale, 6).map((tick) => {
    const x = coordinate(at(tick));
    return html`<path class="rule" d="M${x} 4V${bottom}"/><text class="label middle" x="${x}" y="${bottom + 16}">${formatTick(tick)}</text>\n`;
  });
  return html`${rules}<text class="axis middle" x="${coordinate(middle)}" y="${bottom + 36}">${label}</text>`;
}

function drawBar(
  bar: Bar,
  draw: 'bars' | 'points',
  at: (value: number) => number,
  place: { left: number; right: number; y: number },
): Markup {
  const { label, value, error } = bar;
  const tone = bar.marked ? 'c1' : 'c0';
  const y = coordinate(place.y);
  const known = Number.isFinite(value);
  const [zero, end] = [at(0), known ? at(value) : at(0)];
  const shape =
    draw === 'points'
      ? html`<circle cx="${coordinate(end)}" cy="${y}" r="5"/>`
      : html`<rect x="${coordinate(Math.min(zero, end))}" y="${coordinate(place.y - 7)}" width="${coordinate(Math.abs(end - zero))}" height="14"/>`;
  const [low, high] = error === undefined ? [0, 0] : [at(value - error), at(value + error)];
  const whisker =
    error === undefined || !Number.isFinite(low) || !Number.isFinite(high)
      ? null
      : html`<path class="error" d="M${coordinate(low)} ${y}H${coordinate(high)}M${coordinate(low)} ${coordinate(place.y - 4)}v8M${coordinate(high)} ${coordinate(place.y - 4)}v8"/>`;
  return html`<text class="label end" x="${coordinate(place.left - 10)}" y="${coordinate(place.y + 4)}">${shorten(label, LONGEST_LABEL)}</text>
<g class="${tone}">${whisker}${known ? shape : null}</g><text class="value" x="${coordinate(place.right + 12)}" y="${coordinate(place.y + 4)}">${formatEstimate(value, error)}</text>\n`;
}

function valueTable({ bars, label }: BarChart): Markup {
  const rows = bars.map((bar) => html`<tr><th scope="row">${bar.label}<td>${formatEstimate(bar.value, bar.error)}\n`);
  return html`<table class="numbers"><thead><tr><th scope="col"><th scope="col">${label}</thead><tbody>\n${rows}</tbody></table>`;
}
