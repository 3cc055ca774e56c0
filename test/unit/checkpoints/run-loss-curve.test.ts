import pc from 'picocolors';
import { describe, expect, it } from 'vitest';
import { lossCurve } from '../../../src/checkpoints/run/loss-curve.ts';

const plain = pc.createColors(false);
const HEIGHT = 5;
/** Room for a curve 16 columns wide beside labels of one character. */
const COLUMNS = 16 + 4;

const logOf = (losses: readonly (number | null)[], every = 1) => losses.map((loss, i) => ({ step: i * every, loss, learningRate: null }));

/** The heights that lines of blocks show, in eighths of a line. */
function heights(lines: readonly string[]): number[] {
  const rows = lines.slice(0, HEIGHT).map((line) => [...line.slice(line.indexOf('│') + 1)]);
  const width = Math.max(...rows.map((row) => row.length));
  return Array.from({ length: width }, (_, x) => rows.reduce((sum, row) => sum + ' ▁▂▃▄▅▆▇█'.indexOf(row[x] ?? ' '), 0));
}

const RAMP = Array.from({ length: 16 }, (_, i) => 1 + Math.round((39 * i) / 15));

describe('the loss curve', () => {
  it('is as high as the loss, from one eighth to the full height', () => {
    const lines = lossCurve(logOf(Array.from({ length: 16 }, (_, i) => 2 + i)), plain, { columns: COLUMNS + 1 });
    expect(heights(lines)).toEqual(RAMP);
    expect(lines[0]).toMatch(/^17 │/);
    expect(lines[4]).toMatch(/^ 2 │/);
  });

  it('crosses what was not logged in a straight line', () => {
    const lines = lossCurve([...logOf([2]), { step: 7, loss: null, learningRate: 1 }, { step: 15, loss: 5, learningRate: null }], plain, {
      columns: COLUMNS,
    });
    expect(heights(lines)).toEqual(RAMP);
  });

  it('shows the mean of what falls into one column', () => {
    const entry = (step: number, loss: number) => ({ step, loss, learningRate: null });
    const inner = Array.from({ length: 14 }, (_, i) => [entry(i + 0.8, i + 2), entry(i + 1.2, i + 4)]).flat();
    const lines = lossCurve([entry(0, 2), ...inner, entry(15, 17)], plain, { columns: COLUMNS + 1 });
    expect(heights(lines)).toEqual(RAMP);
  });

  it('marks steps below, in their columns, and names the first and the last', () => {
    const lines = lossCurve(
      logOf(
        Array.from({ length: 16 }, (_, i) => 9 - i / 2),
        100,
      ),
      plain,
      { columns: COLUMNS + 2, marks: [0, 700, 1500, 9999] },
    );
    expect(lines.slice(HEIGHT)).toEqual(['     ▴      ▴       ▴', '     step 0      1500']);
  });

  it('can begin late', () => {
    const log = [...logOf([100, 50]), ...Array.from({ length: 16 }, (_, i) => ({ step: 10 + i, loss: 1 + i, learningRate: null }))];
    const lines = lossCurve(log, plain, { columns: COLUMNS + 1, from: 10 });
    expect(heights(lines)).toEqual(RAMP);
  });

  it('is half high where nothing changes', () => {
    expect(heights(lossCurve(logOf([2, 2, 2]), plain, { columns: COLUMNS }))).toEqual(new Array(16).fill(20));
  });

  it.each([
    ['no log', [], COLUMNS],
    ['one entry', [1], COLUMNS],
    ['no losses', [null, null, null], COLUMNS],
    ['no room', [1, 2, 3], 12],
  ])('is not there with %s', (_, losses, columns) => {
    expect(lossCurve(logOf(losses), plain, { columns })).toEqual([]);
  });
});
