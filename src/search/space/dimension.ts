import type { Axis } from '../gaussian-process/cube.ts';
import type { ParamValue, SpaceParameter } from './types.ts';

/** A parameter and the axis of the unit cube on which it lies. */
export interface Dimension {
  readonly parameter: SpaceParameter;
  readonly axis: Axis;
  /** The value at a coordinate in [0, 1]; of levels and choices, the nearest. */
  at(coordinate: number): ParamValue;
  /** The coordinate of a value of the right type; null where it lies outside. */
  place(value: ParamValue): number | null;
}

/**
 * A real number in [low, high]; evenly over its logarithm with `log`, for which low is over 0. Both bounds
 * are met exactly.
 */
export function realDimension(name: string, low: number, high: number, log = false): Dimension {
  const [from, to] = log ? [Math.log(low), Math.log(high)] : [low, high];
  return {
    parameter: { name, kind: 'real', low, high, ...(log ? { log } : {}) },
    axis: { kind: 'real' },
    at: (coordinate) => {
      if (coordinate <= 0) return low;
      if (coordinate >= 1) return high;
      const value = from + coordinate * (to - from);
      return clamp(log ? Math.exp(value) : value, low, high);
    },
    place: (value) => {
      if (!(Number(value) >= low && Number(value) <= high)) return null;
      return clamp(((log ? Math.log(Number(value)) : Number(value)) - from) / (to - from), 0, 1);
    },
  };
}

/** A whole number in [low, high], low below high. */
export function integerDimension(name: string, low: number, high: number): Dimension {
  const count = high - low + 1;
  return {
    parameter: { name, kind: 'integer', low, high },
    axis: { kind: 'levels', count },
    at: (coordinate) => low + nearestLevel(coordinate, count),
    place: (value) => (Number(value) >= low && Number(value) <= high ? (Number(value) - low) / (high - low) : null),
  };
}

/** One of at least two values: numbers are levels in rising order, words a choice without order. */
export function listDimension(name: string, given: readonly ParamValue[]): Dimension {
  const ordered = given.every((value) => typeof value === 'number');
  const values = ordered ? given.toSorted((a, b) => Number(a) - Number(b)) : given;
  const count = values.length;
  return {
    parameter: { name, kind: 'choice', values },
    axis: { kind: ordered ? 'levels' : 'choice', count },
    at: (coordinate) => values[nearestLevel(coordinate, count)]!,
    place: (value) => {
      const level = values.indexOf(value);
      return level < 0 ? null : level / (count - 1);
    },
  };
}

/** The level nearest to a coordinate: level k of `count` lies at k / (count − 1), see {@link Axis}. */
function nearestLevel(coordinate: number, count: number): number {
  return Math.round(clamp(coordinate, 0, 1) * (count - 1));
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
