import type { Axis, Point } from '../gaussian-process/cube.ts';
import { NORMAL_95 } from '../gaussian-process/normal.ts';
import type { Space } from '../space/types.ts';
import type { Concluded } from './conclude.ts';
import type { PosteriorDrawing } from './types.ts';

/** Points of a curve, and along each side of a map. */
const CURVE_POINTS = 101;
const MAP_POINTS = 31;

/**
 * The model of a score over a space of one parameter, as a curve in the parameter's own values, or of two, as
 * a map.
 *
 * @param predict of `conclude`, in the score's own units
 * @returns null without a model, for one parameter that is no number, and for three or more
 */
export function posteriorDrawing(
  predict: Concluded['predict'],
  space: Pick<Space, 'axes' | 'parameters' | 'decode'>,
): PosteriorDrawing | null {
  if (predict === null) return null;
  if (space.axes.length === 1) return curve(predict, space);
  return space.axes.length === 2 ? map(predict, space) : null;
}

type Drawn = Pick<Space, 'axes' | 'parameters' | 'decode'>;

function curve(predict: NonNullable<Concluded['predict']>, { axes, parameters, decode }: Drawn): PosteriorDrawing | null {
  const { name } = parameters[0]!;
  const points = coordinates(axes[0]!, CURVE_POINTS).map((coordinate): Point => [coordinate]);
  const values = points.map((point) => decode(point)[name]!);
  if (!values.every((value) => typeof value === 'number')) return null;
  const { mean, std } = predict(points);
  return {
    kind: 'curve',
    parameter: name,
    points: values.map((x, i) => ({ x, mean: mean[i]!, low: mean[i]! - NORMAL_95 * std[i]!, high: mean[i]! + NORMAL_95 * std[i]! })),
  };
}

function map(predict: NonNullable<Concluded['predict']>, { axes, parameters, decode }: Drawn): PosteriorDrawing {
  const [x, y] = [parameters[0]!.name, parameters[1]!.name];
  const columns = coordinates(axes[0]!, MAP_POINTS);
  const rows = coordinates(axes[1]!, MAP_POINTS);
  const { mean, std } = predict(rows.flatMap((row) => columns.map((column): Point => [column, row])));
  const lines = (values: Float64Array) => rows.map((_, row) => [...values.subarray(row * columns.length, (row + 1) * columns.length)]);
  return {
    kind: 'map',
    x,
    y,
    xValues: columns.map((column) => decode([column, 0])[x]!),
    yValues: rows.map((row) => decode([0, row])[y]!),
    mean: lines(mean),
    std: lines(std),
  };
}

/** Evenly over a real axis; every value of an axis that has few, evenly chosen ones of many. */
function coordinates(axis: Axis, most: number): number[] {
  const last = axis.kind === 'real' ? most - 1 : Math.min(axis.count, most) - 1;
  const at = (i: number) => (last === 0 ? 0 : i / last);
  // Values of an axis with more levels than points are met exactly, so that no value is drawn where another
  // one's score is.
  const snapped = (coordinate: number) =>
    axis.kind === 'real' ? coordinate : Math.round(coordinate * (axis.count - 1)) / Math.max(1, axis.count - 1);
  return Array.from({ length: last + 1 }, (_, i) => snapped(at(i)));
}
