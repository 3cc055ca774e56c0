import { describe, expect, it } from 'vitest';
import { barMatrix } from '../../../src/render/html/bar-matrix.ts';
import { type HeatMap, heatMap } from '../../../src/render/html/heat-map.ts';
import { type LineChart, lineChart } from '../../../src/render/html/line-chart.ts';
import { parallelChart } from '../../../src/render/html/parallel-chart.ts';

/** Places in a drawing that are no numbers. */
const BROKEN = /="[^"]*(NaN|Infinity|undefined)[^"]*"(?=[^>]*>)/;

describe('a line chart with something to compare with', () => {
  const chart: LineChart = {
    title: 'Scores',
    x: { label: 'trial' },
    y: { label: 'loss' },
    series: [
      {
        label: 'model',
        draw: 'curve',
        colour: 3,
        points: [
          { x: 0, y: 2, band: [1, 3] },
          { x: 1, y: 2.5, band: [2, 4] },
        ],
      },
      {
        label: 'best',
        draw: 'steps',
        points: [
          { x: 0, y: 2 },
          { x: 1, y: 1.5 },
        ],
      },
    ],
    levels: [{ label: 'newest', y: 3.5, error: 0.25, colour: 2 }],
    absent: { label: 'failed', xs: [0.5] },
  };
  const text = lineChart(chart).markup.text;

  it('draws the band upper side first and closes it, in the colour of its series', () => {
    const [, path] = /<path class="band c3" d="M([^"]+)z"/.exec(text)!;
    const ys = path!.split('L').map((corner) => Number(corner.split(' ')[1]));
    expect(ys).toHaveLength(4);
    // Upwards on the page is smaller: 3, 4 above, then 2, 1 below.
    expect(ys[1]).toBeLessThan(ys[0]!);
    expect(ys[0]).toBeLessThan(ys[2]!);
    expect(ys[2]).toBeLessThan(ys[3]!);
  });

  it('holds a step up to the next value', () => {
    expect(text).toMatch(/<g class="c1"><path class="line" d="M[\d.]+ [\d.]+H[\d.]+V[\d.]+"\/><\/g>/);
  });

  it('has no dots on curves and steps, a dashed line a level, a cross where something is absent, and each in the legend', () => {
    expect(text).not.toContain('<circle');
    expect(text.match(/class="line level c2" d="M64 [\d.]+H744"/g)).toHaveLength(1);
    expect(text.match(/l8 8m-8 0l8 -8/g)).toHaveLength(2);
    for (const label of ['model', 'best', 'newest', 'failed']) expect(text).toContain(`>${label}</text>`);
  });

  it('says all of it in the table, for the script and for people', () => {
    expect(text).toContain('<td data-v="2">2 (1 to 3)');
    expect(text).toMatch(/<tr><th scope="row" data-v="0.5" data-x="[\d.]+">0.5<td><td><td>yes/);
    expect(text).toContain('<tfoot>\n<tr><th scope="row" data-v="3.5" data-colour="2">newest<td>3.50 ± 0.25');
  });

  it('spans its bands and levels', () => {
    const levelAlone = lineChart({ ...chart, series: [{ label: 'one', points: [{ x: 0, y: 1 }] }] }).markup.text;
    const y = Number(/class="line level c2" d="M64 ([\d.]+)H/.exec(levelAlone)![1]);
    expect(y).toBeGreaterThan(20);
    expect(y).toBeLessThan(150);
  });

  it('with a focus keeps what lies beyond at the edge and says so; without need for one says nothing', () => {
    const points = [
      { x: 0, y: 50 },
      { x: 1, y: 1.2 },
      { x: 2, y: 1.1 },
      { x: 3, y: -9 },
    ];
    const levels = [{ label: 'far', y: 40, colour: 2 }];
    const focused = lineChart({
      ...chart,
      y: { label: 'loss', focus: [1.1, 1.2] },
      series: [{ label: 'one', points, draw: 'points' }],
      levels,
    });
    const drawn = focused.markup.text;
    expect(drawn).toContain('What lies far off stands at the edge');
    expect(drawn).not.toContain('class="line level c2" d="M64 ');
    const heights = [...drawn.matchAll(/<circle cx="[\d.]+" cy="([\d.]+)" r="3"\/>/g)].map(([, y]) => Number(y));
    // Two in the plot, far apart, and one in the legend.
    expect(heights).toHaveLength(3);
    expect(Math.abs(heights[0]! - heights[1]!)).toBeGreaterThan(200);
    expect(drawn).toMatch(/<path d="M[\d.]+ 20l4 7h-8z"\/>/);
    expect(drawn).toMatch(/<path d="M[\d.]+ 280l4 -7h-8z"\/>/);
    expect(drawn).toContain('data-v="50"');
    expect(text).not.toContain('What lies far off');
    expect(text).not.toContain('data-y-from');
  });

  it('of one point, of nothing but what is absent, and of a level alone is still a drawing', () => {
    for (const series of [[], [{ label: 'one', points: [{ x: 0, y: 1, band: [1, 1] as const }] }]]) {
      expect(lineChart({ ...chart, series }).markup.text).not.toMatch(BROKEN);
      expect(lineChart({ ...chart, series, levels: [] }).markup.text).not.toMatch(BROKEN);
    }
  });
});

describe('a map of a plane', () => {
  const map: HeatMap = {
    title: 'Plane',
    rows: ['2', '1'],
    columns: ['a', 'b', 'c'],
    axes: { row: 'window', column: 'method' },
    values: [
      [1, 2, 3],
      [4, 5, 6],
    ],
    points: [
      { row: 0, column: 1.5, note: 'trial 1', marked: true },
      { row: 1, column: 0, note: 'trial 2' },
      { row: 1, column: 0.2, note: 'trial 3' },
    ],
  };
  const text = heatMap(map).markup.text;
  const number = (name: string): number => Number(new RegExp(`data-${name}="(\\d+)"`).exec(text)![1]);

  it('has its points where they lie between the cells, the marked one last', () => {
    const drawn = [...text.matchAll(/<circle class="point (marked)?" cx="([\d.]+)" cy="([\d.]+)"/g)];
    const at = (row: number, column: number) => [
      number('left') + (column + 0.5) * number('cell-width'),
      number('top') + (row + 0.5) * number('cell-height'),
    ];
    expect(drawn.map(([, , x, y]) => [Number(x), Number(y)])).toEqual([at(1, 0), at(1, 0.2), at(0, 1.5)]);
    expect(drawn.map(([, marked]) => marked)).toEqual([undefined, undefined, 'marked']);
  });

  it('has no numbers in its cells, and tells of points at the nearest cell', () => {
    expect(text).not.toContain('class="numbers"><text');
    expect(text).toContain('<td data-note="trial 2; trial 3">4');
    expect(text).toContain('<td data-note="trial 1">3');
  });

  it('shades the lowest strongest where that is best, and turns the legend round', () => {
    const shades = (strongest: 'high' | 'low') => {
      const drawn = heatMap({ ...map, strongest, values: [[1, 2, 3]], rows: ['1'] }).markup.text;
      const cells = [...drawn.matchAll(/<path class="(s\d+)" d="M(\d+) /g)].sort((p, q) => Number(p[2]) - Number(q[2]));
      return { cells: cells.map(([, shade]) => shade), from: /class="legend">[\s\S]*?<text[^>]*>([^<]+)</.exec(drawn)![1] };
    };
    expect(shades('high')).toEqual({ cells: ['s0', 's6', 's11'], from: '1' });
    expect(shades('low')).toEqual({ cells: ['s11', 's5', 's0'], from: '3' });
  });
});

describe('parallel coordinates', () => {
  const text = parallelChart({
    title: 'All',
    of: 'trial',
    score: { label: 'loss', strongest: 'low' },
    axes: [
      { label: 'window', levels: [2, 3, 4] },
      { label: 'alpha', low: 0.01, high: 1, log: true },
      { label: 'method', levels: ['sma', 'ema'] },
    ],
    lines: [
      { label: 'trial 1', values: [2, 0.1, 'ema'], score: 1, marked: true },
      { label: 'trial 2', values: [4, null, 'sma'], score: 2 },
      { label: 'trial 3', values: [3, 1, 'wsm'], score: 3 },
    ],
  }).markup.text;
  const paths = [...text.matchAll(/<path class="thread (\w+)" d="([^"]*)"><title>([^<]*)</g)].map(([, kind, path, title]) => ({
    kind,
    path: path!,
    title,
  }));
  const heights = (path: string): number[] => [...path.matchAll(/[ML][\d.]+ ([\d.]+)/g)].map(([, y]) => Number(y));

  it('has the best on top, the others shaded by score', () => {
    expect(paths.map(({ kind }) => kind)).toEqual(['t3', 't7', 'best']);
    expect(paths.at(-1)!.title).toBe('trial 1: loss 1');
  });

  it('puts values at their place on each axis: levels evenly, a logarithmic axis by ratio', () => {
    const [window, alpha, method] = heights(paths.at(-1)!.path);
    expect(window).toBe(300);
    expect(alpha).toBe((300 + 44) / 2);
    expect(method).toBe(44);
  });

  it('breaks a line where it has no value', () => {
    expect(paths[0]!.path.replace(/[\d. ]+/g, '')).toBe('MLM');
    expect(paths[1]!.path.replace(/[\d. ]+/g, '')).toBe('MML');
  });

  it('of one line, of equal scores and of no parameter is still a drawing', () => {
    const chart = { title: 'One', of: 'trial', score: { label: 'loss', strongest: 'high' as const } };
    for (const axes of [[], [{ label: 'a' }], [{ label: 'a', levels: ['x'] }]]) {
      const lines = [1, 2].map((id) => ({ label: `trial ${id}`, values: axes.map(() => 'x'), score: 2 }));
      expect(parallelChart({ ...chart, axes, lines }).markup.text).not.toMatch(BROKEN);
    }
  });
});

describe('bars in columns', () => {
  const columns = [
    { label: 'best', marked: true, values: [-0.5, 1.5, null] },
    { label: 'mean', values: [0.5, 0.5, 0] },
  ];
  const text = barMatrix({ title: 'Weights', of: 'checkpoint', rows: ['a', 'b', 'c'], columns }).markup.text;
  const bars = [...text.matchAll(/<rect x="([\d.]+)" y="(\d+)" width="([\d.]+)"/g)].map((match) => match.slice(1).map(Number));

  it('have one scale across columns, and start at zero on both sides', () => {
    const [negative, positive, half] = bars;
    expect(positive![2]! / negative![2]!).toBeCloseTo(3, 1);
    expect(half![2]! / negative![2]!).toBeCloseTo(1, 1);
    expect(negative![0]! + negative![2]!).toBeCloseTo(positive![0]!, 0);
  });

  it('leave a place empty where there is nothing, but not where there is zero', () => {
    expect(bars).toHaveLength(5);
    expect(text).toContain('<tr><th scope="row">c<td><td>0');
  });

  it('of nothing, and of zeros, are still a drawing', () => {
    for (const values of [[], [0]]) {
      const rows = values.map(String);
      expect(barMatrix({ title: 'None', of: 'x', rows, columns: [{ label: 'one', values }] }).markup.text).not.toMatch(BROKEN);
    }
  });
});
