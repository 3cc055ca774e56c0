import { type Content, html, type Markup } from './markup.ts';

/**
 * A chart with the same numbers as a table. The drawing is plain SVG and needs no script; the table is for those who cannot see it, and where the page's script finds
 * what to show under the pointer.
 */
export interface Figure {
  readonly kind: 'heat' | 'line' | 'bars' | 'matrix' | 'parallel';
  readonly markup: Markup;
}

export interface Caption {
  readonly title: string;
  /** What the reader should know to read it: units, scale, what is left out. */
  readonly note?: string;
}

/** Around a drawing: caption, and the table folded away. @param drawing an `<svg>` element @param values a `<table>` element */
export function figure(kind: Figure['kind'], caption: Caption, drawing: Markup, values: Markup): Figure {
  return {
    kind,
    markup: html`<figure class="chart ${kind}">
<figcaption>${caption.title}${caption.note === undefined ? null : html`<small>${caption.note}</small>`}</figcaption>
<div class="drawing" tabindex="0" role="group" aria-label="${caption.title}">${drawing}</div>
<details><summary>Values as a table</summary><div class="wide">${values}</div></details>
</figure>`,
  };
}

export interface Column {
  readonly label: string;
  /** Numbers are aligned right, names are set in a fixed-width face. */
  readonly kind?: 'text' | 'number' | 'name';
}

/** A table of the page; cells in the order of the columns. */
export function table(columns: readonly Column[], rows: readonly (readonly Content[])[]): Markup {
  const kinds = columns.map(({ kind }) => (kind === undefined || kind === 'text' ? null : html` class="${kind}"`));
  const head = columns.map(({ label }, i) => html`<th scope="col"${kinds[i]}>${label}</th>`);
  const body = rows.map((row) => html`<tr>${row.map((cell, i) => html`<td${kinds[i]}>${cell}</td>`)}</tr>\n`);
  return html`<div class="wide"><table><thead><tr>${head}</tr></thead><tbody>\n${body}</tbody></table></div>`;
}

/** A measured number for people: `digits` significant digits, exponents outside 0.001 to 100,000, `NaN` and `∞` as such, a dash where there is none. */
export function formatNumber(value: number | null, digits = 3): string {
  if (value === null) return '–';
  if (value === 0) return '0';
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '∞' : '-∞';
  const magnitude = Math.abs(value);
  if (Number.isInteger(value) && magnitude < 1e5) return String(value);
  if (magnitude >= 1e5 || magnitude < 0.9995e-3) return value.toExponential(digits - 1).replace('e+', 'e');
  const rounded = value.toPrecision(digits);
  return rounded.includes('e') ? String(Math.round(value)) : rounded;
}

/** A value with its standard error, both to the error's second digit: `1.1804 ± 0.0051`. */
export function formatEstimate(value: number, error: number | null | undefined): string {
  if (error === null || error === undefined) return formatNumber(value, 4);
  const decimals = 1 - Math.floor(Math.log10(error));
  if (!Number.isFinite(value) || !(decimals >= 0 && decimals <= 12)) return `${formatNumber(value, 6)} ± ${formatNumber(error, 2)}`;
  return `${value.toFixed(decimals)} ± ${error.toFixed(decimals)}`;
}

/** A round number on an axis: all of its digits, as they are few. */
export function formatTick(tick: number): string {
  const magnitude = Math.abs(tick);
  if (magnitude !== 0 && (magnitude < 1e-4 || magnitude >= 1e9)) return tick.toExponential().replace('e+', 'e');
  return magnitude >= 10_000 ? tick.toLocaleString('en') : String(tick);
}

/** A share or a cosine with a fixed number of decimals; a dash where there is none. */
export function formatFixed(value: number | null, decimals: number): string {
  return value === null ? '–' : value.toFixed(decimals);
}

/** A coordinate in a drawing: a tenth of a pixel is as fine as anybody sees. */
export function coordinate(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** The middle of a text cut out, so that it has at most `most` characters: paths differ at their ends. */
export function shorten(text: string, most: number): string {
  if (text.length <= most) return text;
  const tail = Math.ceil((most - 1) * 0.6);
  return `${text.slice(0, most - 1 - tail)}…${text.slice(-tail)}`;
}
