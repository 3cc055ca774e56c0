import { formatNumber, shorten } from '../numbers.ts';
import { type Caption, coordinate, type Figure, figure } from './figure.ts';
import { html, type Markup } from './markup.ts';

export interface BarMatrix extends Caption {
  /** Labels of the rows; R of them. */
  readonly rows: readonly string[];
  /** What the rows are, for the corner of the table. */
  readonly of: string;
  readonly columns: readonly BarColumn[];
}

export interface BarColumn {
  readonly label: string;
  /** One a row; null for an empty place. */
  readonly values: readonly (number | null)[];
  /** Stands out. */
  readonly marked?: boolean;
}

/** Of a label, about, pixels. */
const CHARACTER = 6.6;
const LONGEST_LABEL = 32;
const LONGEST_HEAD = 22;
const ROW = 20;
const TOP = 26;
/** Room for the number behind a bar. */
const NUMBER = 52;

/**
 * Bars in columns side by side, all of one scale that starts at zero, so that a row can be followed across:
 * who weighs how much in which recipe.
 */
export function barMatrix(chart: BarMatrix): Figure {
  const { rows, columns } = chart;
  const values = columns.flatMap((column) => column.values).filter((value) => value !== null && Number.isFinite(value)) as number[];
  const low = values.reduce((least, value) => Math.min(least, value), 0);
  const high = values.reduce((most, value) => Math.max(most, value), low === 0 ? Number.MIN_VALUE : 0);
  const left = Math.ceil(rows.reduce((most, row) => Math.max(most, Math.min(LONGEST_LABEL, row.length)), 6) * CHARACTER) + 14;
  const column = Math.max(150, Math.min(260, Math.floor((1080 - left) / Math.max(1, columns.length))));
  const bar = column - NUMBER - 24;
  const at = (value: number): number => ((value - low) / (high - low)) * bar;
  const [width, height] = [left + columns.length * column, TOP + rows.length * ROW + 8];
  const names = rows.map((row, r) => {
    const y = coordinate(TOP + (r + 0.5) * ROW + 4);
    return html`<text class="label end" x="${left - 10}" y="${y}">${shorten(row, LONGEST_LABEL)}</text>\n`;
  });
  const label = `${chart.title}: ${columns.map((one) => one.label).join(', ')}`;
  const drawing = html`<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}">
${names}${columns.map((one, c) => drawColumn(one, left + c * column, rows.length, at))}
</svg>`;
  return figure('matrix', chart, drawing, valueTable(chart));
}

function drawColumn({ label, values, marked }: BarColumn, left: number, rows: number, at: (value: number) => number): Markup {
  const zero = left + at(0);
  const drawn = values.flatMap((value, r) => {
    if (value === null || !Number.isFinite(value)) return [];
    const end = left + at(value);
    return [{ value, top: TOP + r * ROW, from: Math.min(zero, end), to: Math.max(zero, end) }];
  });
  const bars = drawn.map(
    ({ top, from, to }) => html`<rect x="${coordinate(from)}" y="${top + 4}" width="${coordinate(to - from)}" height="${ROW - 8}"/>`,
  );
  const numbers = drawn.map(
    ({ value, top, to }) => html`<text x="${coordinate(to + 6)}" y="${top + ROW / 2 + 4}">${formatNumber(value)}</text>\n`,
  );
  return html`<text class="axis" x="${coordinate(left)}" y="14">${shorten(label, LONGEST_HEAD)}</text>
<path class="rule" d="M${coordinate(zero)} ${TOP}v${rows * ROW}"/>
<g class="${marked ? 'c1' : 'c0'}">${bars}</g>
${numbers}`;
}

function valueTable({ rows, of, columns }: BarMatrix): Markup {
  const head = columns.map(({ label }) => html`<th scope="col">${label}`);
  const body = rows.map((row, r) => {
    const cells = columns.map(({ values }) => {
      const value = values[r] ?? null;
      return html`<td>${value === null ? '' : formatNumber(value, 6)}`;
    });
    return html`<tr><th scope="row">${row}${cells}\n`;
  });
  return html`<table class="numbers"><thead><tr><th scope="col">${of}${head}</thead><tbody>\n${body}</tbody></table>`;
}
