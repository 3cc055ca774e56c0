import { type Content, html, type Markup } from './markup.ts';

/**
 * A chart with the same numbers as a table. The drawing is plain SVG and needs no script; the table is for
 * those who cannot see it, and where the page's script finds what to show under the pointer.
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

/**
 * Around a drawing: caption, and the table folded away. @param drawing an `<svg>` element @param values a
 * `<table>` element
 */
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

/** In place of a drawing that would show nothing, the reason. */
export function emptyFigure(kind: Figure['kind'], caption: Caption, why: string, values: Markup): Figure {
  return figure(kind, caption, html`<p class="empty">${why}</p>`, values);
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

/** A coordinate in a drawing: a tenth of a pixel is as fine as anybody sees. */
export function coordinate(value: number): string {
  return String(Math.round(value * 10) / 10);
}
