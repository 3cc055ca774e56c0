import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { barChart } from '../../../src/render/html/bar-chart.ts';
import { type HeatMap, heatMap } from '../../../src/render/html/heat-map.ts';
import { lineChart } from '../../../src/render/html/line-chart.ts';
import { axisScale, FIRST_STRONG_SHADE, SHADES, scaleOf, shadeOf, ticks } from '../../../src/render/html/scale.ts';

const MAP: HeatMap = {
  title: 'Map',
  rows: ['0', '1', '2'],
  columns: ['a', 'b'],
  axes: { row: 'layer', column: 'role' },
  values: [
    [1, 2],
    [null, Number.NaN],
    [4, 8],
  ],
};

describe('scales', () => {
  it('shade by value, or by its logarithm; what cannot be shown has the weakest shade', () => {
    const linear = scaleOf([0, 5, 10, Number.NaN, Number.POSITIVE_INFINITY]);
    expect([linear.from, linear.to]).toEqual([0, 10]);
    expect([0, 4.9, 10].map((value) => shadeOf(linear, value))).toEqual([0, 5, SHADES - 1]);
    const log = scaleOf([0, 0.001, 1000], { log: true });
    expect([log.from, log.to]).toEqual([0.001, 1000]);
    expect([0, 0.001, 1.001, 1000].map((value) => shadeOf(log, value))).toEqual([0, 0, SHADES / 2, SHADES - 1]);
  });

  it('hold where there is nothing, and where all is equal', () => {
    expect(scaleOf([]).at(0.5)).toBe(0.5);
    expect(scaleOf([3, 3]).at(3)).toBe(0.5);
    expect(axisScale([3]).at(3)).toBeCloseTo(0.5);
    expect(axisScale([0, 0]).at(0)).toBeGreaterThanOrEqual(0);
  });

  it('of axes have room, but none across zero', () => {
    const near = axisScale([0.01, 1]);
    expect([near.from, near.to]).toEqual([0, 1.0495]);
    expect(axisScale([-1, 1]).from).toBeCloseTo(-1.1);
  });

  it.each([
    [[0, 1], 5, [0, 0.2, 0.4, 0.6, 0.8, 1]],
    [[1.175, 1.189], 6, [1.176, 1.178, 1.18, 1.182, 1.184, 1.186, 1.188]],
    [[-3, 3], 3, [-2, 0, 2]],
    [[5000, 6000], 5, [5000, 5200, 5400, 5600, 5800, 6000]],
    [[7, 7], 5, [7]],
  ])('ticks of %j, about %i, are %j', ([from, to], count, expected) => {
    expect(ticks(scaleOf([from!, to!]), count)).toEqual(expected);
  });

  it('ticks of a long logarithmic scale are powers of ten', () => {
    expect(ticks(scaleOf([0.00002, 3], { log: true }), 6)).toEqual([1e-4, 1e-3, 1e-2, 0.1, 1]);
    expect(ticks(scaleOf([1e-12, 1], { log: true }), 5)).toEqual([1e-12, 1e-9, 1e-6, 1e-3, 1]);
  });
});

describe('a heat map', () => {
  const text = heatMap(MAP).markup.text;

  it('draws a cell for every value, at the place that it tells the script, broken ones apart', () => {
    const geometry = Object.fromEntries([...text.matchAll(/data-([a-z-]+)="(\d+)"/g)].map(([, name, value]) => [name, Number(value)]));
    const drawn = [...text.matchAll(/<path class="(s\d+|broken)" d="([^"]+)"/g)].flatMap(([, shade, path]) =>
      [...path!.matchAll(/M(\d+) (\d+)h/g)].map(([, x, y]) => {
        const column = (Number(x) - geometry.left!) / geometry['cell-width']!;
        const row = (Number(y) - geometry.top!) / geometry['cell-height']!;
        return [row, column, shade];
      }),
    );
    expect(drawn.sort()).toEqual([
      [0, 0, 's0'],
      [0, 1, `s${Math.floor((1 / 7) * SHADES)}`],
      [1, 1, 'broken'],
      [2, 0, `s${Math.floor((3 / 7) * SHADES)}`],
      [2, 1, `s${SHADES - 1}`],
    ]);
  });

  it('has the same values in its table, row by row, and an empty cell where there is none', () => {
    const [, body] = /<tbody>([\s\S]*)<\/tbody>/.exec(text)!;
    const rows = body!.trim().split('\n');
    expect(rows).toEqual(['<tr><th scope="row">0<td>1<td>2', '<tr><th scope="row">1<td><td>NaN', '<tr><th scope="row">2<td>4<td>8']);
  });

  it('writes numbers into cells of few columns, and none into those of many', () => {
    expect(text).toContain('>NaN</text>');
    const columns = Array.from({ length: 256 }, (_, i) => String(i));
    const wide = heatMap({ ...MAP, rows: ['0'], columns, values: [columns.map(Number)] }).markup.text;
    expect(wide).not.toContain('class="numbers"><text');
    const labels = [...wide.matchAll(/<text class="label middle"[^>]*>([^<]*)</g)].map(([, label]) => label);
    expect(labels.slice(0, 3)).toEqual(['0', '8', '16']);
  });

  it('spans what it is told to include', () => {
    const shades = (map: HeatMap): string[] => [...heatMap(map).markup.text.matchAll(/<path class="s(\d+)"/g)].map(([, shade]) => shade!);
    const close = { ...MAP, rows: ['0'], values: [[0.94, 0.96]] };
    expect(shades(close)).toEqual(['0', '11']);
    expect(shades({ ...close, include: [0, 1] })).toEqual(['11']);
  });

  it('outlines what is marked and says why', () => {
    const marked = heatMap({ ...MAP, marks: [{ row: 2, column: 1, note: 'far & away' }] }).markup.text;
    expect(marked).toContain('class="mark"');
    expect(marked).toContain('<td class="marked" data-note="far &amp; away">8');
  });

  it('of no rows, of nothing but NaN, and of equal values are still drawings', () => {
    for (const values of [[], [[Number.NaN, null]], [[2, 2]]]) {
      const drawn = heatMap({ ...MAP, rows: values.map((_, i) => String(i)), values }).markup.text;
      expect(drawn).not.toMatch(/[" (-]NaN|undefined|Infinity/);
    }
  });
});

describe('a line chart', () => {
  const points = [
    { x: 0, y: 1, error: 0.5 },
    { x: 1, y: Number.NaN },
    { x: 2, y: 3 },
    { x: 3, y: 2 },
  ];
  const chart = { title: 'Lines', x: { label: 'step' }, y: { label: 'loss' }, series: [{ label: 'one', points }] };

  it('breaks its line at what is no number, and has error bars where there are errors', () => {
    const text = lineChart(chart).markup.text;
    const [, line] = /<path class="line" d="([^"]+)"/.exec(text)!;
    expect(line!.replace(/[\d. ]+/g, '')).toBe('MML');
    expect(text.match(/<circle cx="[^"]+" cy="[^"]+" r="3"\/>/g)).toHaveLength(3 + 1);
    expect(text.match(/class="error"/g)).toHaveLength(1);
    expect(text).not.toMatch(/="[^"]*(NaN|Infinity)[^"]*"(?=[^>]*\/>)/);
  });

  it('has exact numbers and the place of each row in its table, and series that lack an x have an empty cell', () => {
    const other = { label: 'two', draw: 'points' as const, points: [{ x: 2, y: 1 / 3 }] };
    const text = lineChart({ ...chart, series: [...chart.series, other] }).markup.text;
    const [, left] = /<tr><th scope="row" data-v="2" data-x="([\d.]+)">2<td data-v="3">3<td data-v="0.3333333333333333">0.333333/.exec(
      text,
    )!;
    expect(text).toContain(`<circle cx="${left}"`);
    expect(text).toMatch(/<tr><th scope="row" data-v="0" data-x="[\d.]+">0<td data-v="1">1.00 ± 0.50<td>/);
    expect(text).toContain('data-draw="points" data-colour="1">two');
    const sum = lineChart({ ...chart, series: [{ label: 'one', points: [{ x: 0.1 + 0.2, y: 1 }] }] }).markup.text;
    expect(sum).toContain('>0.3<td');
  });

  it('on a logarithmic axis ends error bars that reach below zero at the bottom', () => {
    const log = lineChart({
      ...chart,
      y: { label: 'loss', log: true },
      series: [
        {
          label: 'one',
          points: [
            { x: 0, y: 1, error: 2 },
            { x: 1, y: 10 },
          ],
        },
      ],
    });
    expect(log.markup.text).toMatch(/class="error" d="M[\d.]+ [\d.]+V280/);
  });
});

describe('bars', () => {
  const bars = [
    { label: 'a', value: 1.18, error: 0.005 },
    { label: 'b', value: 1.27 },
  ];
  const widths = (text: string): number[] =>
    [...text.matchAll(/<rect x="[^"]+" y="[^"]+" width="([^"]+)"/g)].map(([, width]) => Number(width));

  it('start at zero: their lengths are as their values', () => {
    const [a, b] = widths(barChart({ title: 'Bars', label: 'loss', bars }).markup.text);
    expect(b! / a!).toBeCloseTo(1.27 / 1.18, 2);
  });

  it('are points where the axis does not start at zero', () => {
    const text = barChart({ title: 'Points', label: 'loss', bars, draw: 'points' }).markup.text;
    expect(widths(text)).toEqual([]);
    const [a, b] = [...text.matchAll(/<circle cx="([\d.]+)"/g)].map(([, x]) => Number(x));
    expect(b! - a!).toBeGreaterThan(200);
    expect(text).toContain('1.1800 ± 0.0050');
  });

  it('of one value, of NaN and of negative values are still drawings', () => {
    for (const value of [0, 5, -3, Number.NaN]) {
      expect(barChart({ title: 'One', label: 'x', bars: [{ label: 'only', value }] }).markup.text).not.toMatch(
        /="[^"]*(NaN|Infinity)[^"]*"/,
      );
    }
  });
});

describe('the stylesheet', () => {
  const css = readFileSync('src/render/html/assets/report.css', 'utf8');
  const [light, dark] = css.split('@media screen and (prefers-color-scheme: dark)');
  const variables = (text: string): Map<string, string> =>
    new Map([...text.matchAll(/--([\w-]+): (#\w{6})/g)].map(([, name, value]) => [name!, value!]));
  const luminance = (colour: string): number => {
    const [r, g, b] = [1, 3, 5]
      .map((at) => Number.parseInt(colour.slice(at, at + 2), 16) / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  const contrast = (a: string, b: string): number =>
    (Math.max(luminance(a), luminance(b)) + 0.05) / (Math.min(luminance(a), luminance(b)) + 0.05);

  it.each([
    ['light', variables(light!)],
    ['dark', variables(dark!)],
  ])('has numbers readable on each shade, shades in order, and lines that stand out, in the %s', (_, colours) => {
    for (let shade = 0; shade < SHADES; shade++) {
      const ink = colours.get(shade < FIRST_STRONG_SHADE ? 'on-weak' : 'on-strong')!;
      expect(contrast(colours.get(`s${shade}`)!, ink), `shade ${shade}`).toBeGreaterThanOrEqual(4.5);
      if (shade > 0)
        expect(contrast(colours.get(`s${shade}`)!, colours.get('paper')!)).toBeGreaterThan(
          contrast(colours.get(`s${shade - 1}`)!, colours.get('paper')!),
        );
    }
    expect(contrast(colours.get('broken')!, colours.get('on-broken')!)).toBeGreaterThanOrEqual(4.5);
    for (let line = 0; line < 6; line++) expect(contrast(colours.get(`c${line}`)!, colours.get('paper')!)).toBeGreaterThanOrEqual(3);
  });
});
