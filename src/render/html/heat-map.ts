import { formatNumber, shorten } from '../numbers.ts';
import { type Caption, coordinate, type Figure, figure } from './figure.ts';
import { html, type Markup, trusted } from './markup.ts';
import { FIRST_STRONG_SHADE, type Scale, SHADES, scaleOf, shadeOf } from './scale.ts';

export interface HeatMap extends Caption {
  /** Labels of the rows, top to bottom; R of them. */
  readonly rows: readonly string[];
  /** Labels of the columns, left to right; C of them. */
  readonly columns: readonly string[];
  /** What rows and columns are, for the corner and for the pointer, as `layer` and `expert`. */
  readonly axes: { readonly row: string; readonly column: string };
  /** [R][C]; null where there is nothing: the cell stays empty. NaN and infinities are shown as broken. */
  readonly values: readonly (readonly (number | null)[])[];
  /**
   * Values that the scale spans whatever the cells hold, so that shades do not exaggerate small differences.
   */
  readonly include?: readonly number[];
  /**
   * Draws the map twice: shaded column by column, and by one scale. Of columns that differ by orders of magnitude one
   * scale shows that, and nothing of each. `each` and `all` are what readers choose by.
   */
  readonly apart?: { readonly each: string; readonly all: string };
  /** Shades by logarithm: for values over several orders of magnitude. */
  readonly log?: boolean;
  /** The strongest shade is the highest value's, or the lowest's: of losses the best are the lowest. */
  readonly strongest?: 'high' | 'low';
  /**
   * Points on the map, for a map of a plane: in cells from the middle of the first one, fractions between.
   * Numbers are then left out of the cells.
   */
  readonly points?: readonly { readonly row: number; readonly column: number; readonly note: string; readonly marked?: boolean }[];
  /** Cells with an outline, and why. */
  readonly marks?: readonly { readonly row: number; readonly column: number; readonly note: string }[];
}

/** Where the cells lie, in pixels of the drawing. */
interface Grid {
  readonly left: number;
  readonly top: number;
  readonly cellWidth: number;
  readonly cellHeight: number;
  /** Between two cells. */
  readonly gap: number;
  readonly width: number;
  readonly height: number;
  /** Numbers are written into the cells. */
  readonly numbers: boolean;
  /**
   * Labels of the columns, in lines that fit; a label that cannot be broken so stands aslant, and all others
   * with it.
   */
  readonly heads: readonly (readonly string[])[];
  readonly slanted: boolean;
}

const MAP_WIDTH = 1080;
/** Width of a character of a label, about, pixels. */
const CHARACTER = 6.6;
const LONGEST_LABEL = 32;
/** Between the lines of a label. */
const LINE = 13;
const LEGEND_HEIGHT = 44;
/** Of a map of a plane, pixels. */
const PLANE = { width: 640, height: 380 };

/**
 * A map of shaded cells. All cells of one shade are one path, so that a map of 60 layers × 256 experts is a
 * dozen elements for the browser to draw; up to 16 columns the numbers stand in the cells.
 */
export function heatMap(map: HeatMap): Figure {
  const grid = gridOf(map);
  const scale = scaleOf(finiteValues([...map.values, map.include ?? []]), map.log === undefined ? {} : { log: map.log });
  const all = draw(map, grid, () => scale, legend(map, grid, scale));
  if (map.apart === undefined || map.columns.length < 2) return figure('heat', map, all, valueTable(map));
  const scales = map.columns.map((_, c) =>
    scaleOf(finiteValues([...map.values.map((row) => [row[c] ?? null]), map.include ?? []]), map.log === undefined ? {} : { log: map.log }),
  );
  const each = draw(map, grid, (column) => scales[column]!, legendApart(map, grid));
  const alternatives = [
    { label: map.apart.each, drawing: each },
    { label: map.apart.all, drawing: all },
  ];
  return figure('heat', map, alternatives, valueTable(map));
}

/** @param scaleAt that of a column */
function draw(map: HeatMap, grid: Grid, scaleAt: (column: number) => Scale, key: Markup): Markup {
  const scale = scaleOf(finiteValues([...map.values, map.include ?? []]));
  const label = `${map.title}: a map of ${map.rows.length} × ${map.columns.length} values, from ${formatNumber(scale.from)} to ${formatNumber(scale.to)}`;
  const geometry = html`data-left="${grid.left}" data-top="${grid.top}" data-cell-width="${grid.cellWidth}" data-cell-height="${grid.cellHeight}"`;
  return html`<svg width="${grid.width}" height="${grid.height}" viewBox="0 0 ${grid.width} ${grid.height}" role="img" aria-label="${label}" ${geometry}>
${rowLabels(map, grid)}${columnLabels(map, grid)}
${cells(map, grid, scaleAt)}
${drawPoints(map, grid)}
${key}
</svg>`;
}

function gridOf({ rows, columns, points }: HeatMap): Grid {
  const left = Math.max(48, Math.ceil(longest(rows) * CHARACTER) + 14);
  const numbers = points === undefined && columns.length <= 16;
  const fitting = Math.floor((MAP_WIDTH - left) / Math.max(1, columns.length));
  const cellWidth =
    points !== undefined
      ? planeCell(PLANE.width, columns)
      : numbers
        ? Math.min(84, Math.max(48, fitting))
        : Math.min(32, Math.max(3, fitting));
  const cellHeight = points !== undefined ? planeCell(PLANE.height, rows) : numbers ? 22 : rows.length <= 40 ? 16 : 11;
  const room = Math.floor((cellWidth * columnStep(columns, cellWidth) - 2) / CHARACTER);
  const broken = columns.map((label) => breakWords(label, room));
  const slanted = longest(broken.flat()) > room;
  const heads = slanted ? columns.map((label) => [shorten(label, LONGEST_LABEL)]) : broken;
  const lines = heads.reduce((most, head) => Math.max(most, head.length), 1);
  const top = 30 + (slanted ? Math.ceil(longest(columns) * CHARACTER * 0.64) + 10 : lines * LINE);
  const overhang = slanted ? Math.ceil(longest(columns) * CHARACTER * 0.77) : 12;
  return {
    ...{ left, top, cellWidth, cellHeight, numbers, heads, slanted },
    gap: cellWidth >= 8 && points === undefined ? 1 : 0,
    width: Math.max(left + columns.length * cellWidth + overhang, left + 260),
    height: top + rows.length * cellHeight + LEGEND_HEIGHT,
  };
}

/** Size of a cell of a plane, pixels: the plane keeps its size, whatever it is divided into. */
function planeCell(extent: number, cells: readonly string[]): number {
  return Math.max(4, Math.min(64, Math.floor(extent / Math.max(1, cells.length))));
}

function longest(labels: readonly string[]): number {
  return labels.reduce((most, label) => Math.max(most, Math.min(LONGEST_LABEL, label.length)), 0);
}

/**
 * Every how many columns there is a label: all of a few, of hundreds those 8, 16 or 32 apart, as experts are
 * counted.
 */
function columnStep(columns: readonly string[], cellWidth: number): number {
  if (columns.length <= 16) return 1;
  return [1, 2, 4, 8, 16, 32, 64, 128].find((step) => step * cellWidth >= 30) ?? 256;
}

function rowLabels({ rows, axes }: HeatMap, grid: Grid): Markup[] {
  const step = grid.cellHeight >= 14 ? 1 : 2;
  const labels = rows.map((label, r) => {
    if (r % step !== 0) return null;
    const y = coordinate(grid.top + (r + 0.5) * grid.cellHeight + 3.5);
    return html`<text class="label end" x="${grid.left - 8}" y="${y}">${shorten(label, LONGEST_LABEL)}</text>\n`;
  });
  return [
    html`<text class="axis end" x="${grid.left - 8}" y="${grid.top - 8}">${axes.row}</text>\n`,
    ...labels.filter((label) => label !== null),
  ];
}

function columnLabels({ columns, axes }: HeatMap, grid: Grid): Markup[] {
  const step = columnStep(columns, grid.cellWidth);
  const labels = grid.heads.flatMap((lines, c) => {
    if (c % step !== 0) return [];
    const x = coordinate(grid.left + (c + 0.5) * grid.cellWidth);
    if (grid.slanted) return html`<text class="label" transform="translate(${x} ${grid.top - 8}) rotate(-40)">${lines[0]}</text>\n`;
    return lines.map(
      (line, i) => html`<text class="label middle" x="${x}" y="${grid.top - 8 - (lines.length - 1 - i) * LINE}">${line}</text>\n`,
    );
  });
  return [html`<text class="axis" x="${grid.left}" y="12">${axes.column}</text>\n`, ...labels];
}

/** Text in lines of at most `most` characters, as far as its words allow. */
function breakWords(text: string, most: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const joined = `${lines.at(-1)} ${word}`;
    if (lines.length > 0 && joined.length <= most) lines[lines.length - 1] = joined;
    else lines.push(word);
  }
  return lines;
}

function cells(map: HeatMap, grid: Grid, scaleAt: (column: number) => Scale): Markup {
  const shades: string[][] = Array.from({ length: SHADES }, () => []);
  const broken: string[] = [];
  const numbers: string[] = [];
  const width = grid.cellWidth - grid.gap;
  const height = grid.cellHeight - grid.gap;
  map.values.forEach((row, r) => {
    row.forEach((value, c) => {
      if (value === null) return;
      const [x, y] = [grid.left + c * grid.cellWidth, grid.top + r * grid.cellHeight];
      const weakFirst = shadeOf(scaleAt(c), value);
      const shade = !Number.isFinite(value) ? null : map.strongest === 'low' ? SHADES - 1 - weakFirst : weakFirst;
      (shade === null ? broken : shades[shade]!).push(`M${x} ${y}h${width}v${height}h-${width}z`);
      if (!grid.numbers) return;
      const tone = shade === null ? 'on-broken' : shade < FIRST_STRONG_SHADE ? 'on-weak' : 'on-strong';
      numbers.push(
        `<text class="${tone}" x="${coordinate(x + width / 2)}" y="${coordinate(y + height / 2 + 3.5)}">${formatNumber(value)}</text>`,
      );
    });
  });
  const outlines = (map.marks ?? []).map(({ row, column }) => {
    const [x, y] = [grid.left + column * grid.cellWidth, grid.top + row * grid.cellHeight];
    return `M${x - 1} ${y - 1}h${width + 2}v${height + 2}h-${width + 2}z`;
  });
  const paths = shades.map((path, shade) => (path.length === 0 ? '' : `<path class="s${shade}" d="${path.join('')}"/>`));
  return trusted(
    [
      `<g class="cells">${paths.join('')}${broken.length === 0 ? '' : `<path class="broken" d="${broken.join('')}"/>`}</g>`,
      numbers.length === 0 ? '' : `<g class="numbers">${numbers.join('')}</g>`,
      outlines.length === 0 ? '' : `<path class="halo" d="${outlines.join('')}"/><path class="mark" d="${outlines.join('')}"/>`,
    ].join('\n'),
  );
}

/** Each with a ring in the colour of the page, so that it is seen on every shade. */
function drawPoints({ points = [] }: HeatMap, grid: Grid): Markup[] {
  const ordered = [...points].sort((p, q) => Number(p.marked ?? false) - Number(q.marked ?? false));
  return ordered.map(({ row, column, note, marked }) => {
    const [x, y] = [grid.left + (column + 0.5) * grid.cellWidth, grid.top + (row + 0.5) * grid.cellHeight];
    const shape = html`cx="${coordinate(x)}" cy="${coordinate(y)}" r="${marked ? 6.5 : 4}"`;
    return html`<circle class="point ${marked ? 'marked' : ''}" ${shape}><title>${note}</title></circle>\n`;
  });
}

/** Width of a shade in a legend. */
const SWATCH = 14;

function swatches(grid: Grid): { readonly drawn: Markup; readonly y: number; readonly end: number } {
  const y = grid.height - LEGEND_HEIGHT + 16;
  const all = Array.from(
    { length: SHADES },
    (_, i) => `<rect class="s${i}" x="${grid.left + i * SWATCH}" y="${y}" width="${SWATCH}" height="8"/>`,
  );
  return { drawn: trusted(all.join('')), y, end: grid.left + SHADES * SWATCH };
}

/** Of columns with a scale each there are no numbers that hold for all. */
function legendApart({ strongest, axes }: HeatMap, grid: Grid): Markup {
  const { drawn, y, end } = swatches(grid);
  const [weak, strong] = strongest === 'low' ? ['highest', 'lowest'] : ['lowest', 'highest'];
  return html`<g class="legend">${drawn}
<text class="label" x="${grid.left}" y="${y + 22}">${weak}</text>
<text class="label end" x="${end}" y="${y + 22}">${strong}</text>
<text class="label" x="${end + 10}" y="${y + 8}">of its ${axes.column}</text></g>`;
}

function legend({ strongest }: HeatMap, grid: Grid, scale: Scale): Markup {
  const { drawn, y, end } = swatches(grid);
  const middle = scale.log ? Math.sqrt(scale.from * scale.to) : (scale.from + scale.to) / 2;
  const [weak, strong] = strongest === 'low' ? [scale.to, scale.from] : [scale.from, scale.to];
  // Of values that hardly differ all digits that tell them apart.
  const digits = Math.max(
    2,
    Math.min(6, 2 + Math.ceil(Math.log10(Math.max(Math.abs(scale.from), Math.abs(scale.to)) / (scale.to - scale.from)))),
  );
  return html`<g class="legend">${drawn}
<text class="label" x="${grid.left}" y="${y + 22}">${formatNumber(weak, digits)}</text>
<text class="label middle" x="${(grid.left + end) / 2}" y="${y + 22}">${formatNumber(middle, digits)}</text>
<text class="label end" x="${end}" y="${y + 22}">${formatNumber(strong, digits)}</text>
${scale.log ? html`<text class="label" x="${end + 10}" y="${y + 8}">logarithmic</text>` : null}</g>`;
}

/**
 * Rows and cells as in the map, so that the page's script finds the value under the pointer by its indices.
 * End tags that HTML does not need are left out.
 */
function valueTable({ rows, columns, axes, values, marks = [], points = [] }: HeatMap): Markup {
  const marked = new Set(marks.map(({ row, column }) => row * columns.length + column));
  const notes = new Map<number, string>();
  for (const { row, column, note } of [...marks, ...points]) {
    const cell = Math.round(row) * columns.length + Math.round(column);
    notes.set(cell, notes.has(cell) ? `${notes.get(cell)}; ${note}` : note);
  }
  const body = values.map((row, r) => {
    const data = row.map((value, c) => {
      const cell = r * columns.length + c;
      const text = value === null ? '' : formatNumber(value, 4);
      if (!notes.has(cell)) return trusted(`<td>${text}`);
      return html`<td${marked.has(cell) ? html` class="marked"` : null} data-note="${notes.get(cell)}">${text}`;
    });
    return html`<tr><th scope="row">${rows[r]}${data}\n`;
  });
  const head = columns.map((label) => html`<th scope="col">${label}`);
  return html`<table class="numbers"><thead><tr><th scope="col">${axes.row} \\ ${axes.column}${head}</thead><tbody>\n${body}</tbody></table>`;
}

function* finiteValues(values: HeatMap['values']): Generator<number> {
  for (const row of values) for (const value of row) if (value !== null && Number.isFinite(value)) yield value;
}
