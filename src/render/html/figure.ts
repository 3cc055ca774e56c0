import { shortDigest } from '../../base/short-digest.ts';
import { shorten } from '../numbers.ts';
import { type Content, html, Markup, trusted } from './markup.ts';

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

/** One of several drawings of the same values, of which the reader chooses. */
export interface Alternative {
  readonly label: string;
  /** An `<svg>` element. */
  readonly drawing: Markup;
}

/**
 * Around a drawing: caption, and the table folded away. Of alternatives the first is shown, and the others by the
 * choice of the reader, without a script; on paper all are. @param drawing an `<svg>` element @param values a
 * `<table>` element
 */
export function figure(kind: Figure['kind'], caption: Caption, drawing: Markup | readonly Alternative[], values: Markup): Figure {
  const framed = (one: Markup, label: string) => html`<div class="drawing" tabindex="0" role="group" aria-label="${label}">${one}</div>`;
  const drawn = drawing instanceof Markup ? framed(drawing, caption.title) : alternatives(drawing, framed);
  return {
    kind,
    markup: html`<figure class="chart ${kind}">
<figcaption>${caption.title}${caption.note === undefined ? null : html`<small>${caption.note}</small>`}</figcaption>
${drawn}
<details><summary>Values as a table</summary><div class="wide">${values}</div></details>
</figure>`,
  };
}

/** Radio buttons, of which the chosen one shows its drawing by the stylesheet. */
function alternatives(all: readonly Alternative[], framed: (one: Markup, label: string) => Markup): Markup {
  // The same for the same drawings: a page depends on what it shows alone.
  const name = `scale-${shortDigest(all.map(({ drawing }) => drawing.text).join())}`;
  const choices = all.map(
    ({ label }, i) =>
      html`<input type="radio" name="${name}" id="${name}-${i}"${i === 0 ? trusted(' checked') : null}><label for="${name}-${i}">${label}</label>`,
  );
  return html`<div class="alternatives">${choices}${all.map(({ label, drawing }) => html`<div class="alternative"><p class="paper">${label}</p>${framed(drawing, label)}</div>`)}</div>`;
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

/** Columns of a table that has room beside a chart. */
const MOST_NARROW = 6;
/** Characters of a name in a table: of a longer one both ends tell it from others. */
const LONGEST_NAME = 72;

function nameCell(name: string): Content {
  return name.length <= LONGEST_NAME ? name : html`<span title="${name}">${shorten(name, LONGEST_NAME)}</span>`;
}

/** A table of the page; cells in the order of the columns. */
export function table(columns: readonly Column[], rows: readonly (readonly Content[])[]): Markup {
  const kinds = columns.map(({ kind }) => (kind === undefined || kind === 'text' ? null : html` class="${kind}"`));
  const head = columns.map(({ label }, i) => html`<th scope="col"${kinds[i]}>${label}</th>`);
  const shown = (cell: Content, i: number): Content => (columns[i]!.kind === 'name' && typeof cell === 'string' ? nameCell(cell) : cell);
  const body = rows.map((row) => html`<tr>${row.map((cell, i) => html`<td${kinds[i]}>${shown(cell, i)}</td>`)}</tr>\n`);
  return html`<div class="wide${columns.length > MOST_NARROW ? ' full' : ''}"><table><thead><tr>${head}</tr></thead><tbody>\n${body}</tbody></table></div>`;
}

/** A coordinate in a drawing: a tenth of a pixel is as fine as anybody sees. */
export function coordinate(value: number): string {
  return String(Math.round(value * 10) / 10);
}
