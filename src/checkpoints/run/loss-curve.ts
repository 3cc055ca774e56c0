import type { Colors } from '../../render/colors.ts';
import { formatStep } from '../../render/format.ts';
import type { LogEntry } from '../types.ts';

export interface CurveOptions {
  /** Width of everything, in columns. */
  readonly columns: number;
  /** First and last step that are drawn; the whole log where absent. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  /** Steps that get a mark below the curve. */
  readonly marks?: readonly number[] | undefined;
}

const HEIGHT = 5;
const WIDEST = 72;
/** Fewer columns than this show nothing. */
const NARROWEST = 16;
const EIGHTHS = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const;

/**
 * The logged loss as lines of blocks, lowest and highest beside them; none where there are fewer than two
 * losses or no room.
 */
export function lossCurve(log: readonly LogEntry[], colors: Colors, options: CurveOptions): string[] {
  const { columns, from = Number.NEGATIVE_INFINITY, to = Number.POSITIVE_INFINITY, marks = [] } = options;
  const points = log.flatMap(({ step, loss }) =>
    loss !== null && Number.isFinite(loss) && step >= from && step <= to ? [{ step, loss }] : [],
  );
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined || first.step === last.step) return [];
  const labels = extremes(points.map(({ loss }) => loss)).map((loss) => Number(loss.toPrecision(4)).toString());
  const gutter = Math.max(...labels.map((label) => label.length));
  const width = Math.min(WIDEST, columns - gutter - 3);
  if (width < NARROWEST) return [];

  const columnOf = (step: number) => Math.round(((step - first.step) / (last.step - first.step)) * (width - 1));
  const values = filled(points, columnOf, width);
  const [low, high] = extremes(values) as [number, number];
  // The lowest still has a block, so that a gap in the curve can only be a gap.
  const levels = values.map((value) => (high === low ? HEIGHT * 4 : 1 + Math.round(((value - low) / (high - low)) * (HEIGHT * 8 - 1))));
  const rows = Array.from({ length: HEIGHT }, (_, row) => {
    const below = (HEIGHT - 1 - row) * 8;
    const blocks = levels.map((level) => EIGHTHS[Math.max(0, Math.min(8, level - below))]).join('');
    const label = row === 0 ? labels[1]! : row === HEIGHT - 1 ? labels[0]! : '';
    return `${label.padStart(gutter)} ${colors.dim('│')}${colors.cyan(blocks.trimEnd())}`;
  });
  const marked = new Set(marks.filter((step) => step >= first.step && step <= last.step).map(columnOf));
  const indent = ' '.repeat(gutter + 2);
  if (marked.size > 0)
    rows.push(
      indent +
        Array.from({ length: width }, (_, i) => (marked.has(i) ? '▴' : ' '))
          .join('')
          .trimEnd(),
    );
  const [start, end] = [`step ${formatStep(first.step)}`, formatStep(last.step)];
  rows.push(indent + start + end.padStart(width - start.length));
  return rows;
}

/** One value a column: the mean of what was logged there, and a straight line where nothing was. */
function filled(
  points: readonly { readonly step: number; readonly loss: number }[],
  columnOf: (step: number) => number,
  width: number,
): number[] {
  const sums = new Float64Array(width);
  const counts = new Int32Array(width);
  for (const { step, loss } of points) {
    sums[columnOf(step)]! += loss;
    counts[columnOf(step)]!++;
  }
  const values = Array.from(sums, (sum, i) => sum / counts[i]!);
  let known = 0;
  for (let i = 1; i < width; i++) {
    if (counts[i] === 0) continue;
    for (let j = known + 1; j < i; j++) values[j] = values[known]! + ((values[i]! - values[known]!) * (j - known)) / (i - known);
    known = i;
  }
  return values;
}

function extremes(values: readonly number[]): [low: number, high: number] {
  return [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
}
