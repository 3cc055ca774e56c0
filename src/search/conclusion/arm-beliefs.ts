import { dot } from '../../base/numbers/matrix.ts';
import type { Axis, Point } from '../gaussian-process/cube.ts';
import { invertSymmetric } from '../gaussian-process/linear-algebra.ts';
import type { Joint } from '../gaussian-process/posterior.ts';
import { medianOf } from '../gaussian-process/warp.ts';

/**
 * Spreads of the true differences between arms that are looked at, in standard errors of an observed one, and
 * correlations of two arms that differ in one axis as far as it goes. Ours.
 */
const SPREADS = [0, 0.5, 1, 2, 4, 8, 20, 60, 200];
const CORRELATIONS = [0, 0.5];
/**
 * Standard deviations of what sets one arm apart from all others, in the same unit; that there is such an arm
 * is as likely as that there is none. Ours: without it one good arm of 24 is pulled half of its way to the
 * others.
 */
const APART = [3, 12];
const LOG_EVEN = Math.log(0.5);
/** Of a variance, so that the matrix of arms that answer alike has an inverse. */
const RIDGE = 1e-9;
/** Weight below which a reading changes no digit that is shown. */
const NEGLIGIBLE = 1e-9;

/** One of several normal distributions. */
export interface NormalPart {
  /** Weights of all parts add to 1. */
  readonly weight: number;
  readonly mean: number;
  readonly std: number;
}

/** What is believed of the true differences. */
export interface ArmBeliefs {
  /** Expected true differences, had the observed ones been `at + t · direction`: a function of t. */
  along(at: Float64Array, direction: Float64Array): (t: number) => Float64Array;
  /** Mean and covariance of all true differences together. */
  moments(observed: Float64Array): Joint;
  /** Distribution of target · true differences: a function of the target. */
  mixture(observed: Float64Array): (target: Float64Array) => readonly NormalPart[];
}

/** Universal kriging under one value of the hyperparameters. */
interface Reading {
  /** Log of its prior and of what its likelihood has besides the residual. */
  readonly logWeight: number;
  /** P = K⁻¹ − K⁻¹X(X′K⁻¹X)⁻¹X′K⁻¹, with x′Px the quadratic form of the residual; [size x size]. */
  readonly precision: Float64Array;
  readonly apart: readonly Apart[];
}

/** One arm set apart, by one size: a change of the reading by a matrix of rank one. */
interface Apart {
  readonly arm: number;
  /** Log of its prior, and of what the determinant changes by. */
  readonly logWeight: number;
  /** v / (1 + v P_jj). */
  readonly factor: number;
}

/**
 * The model of a grid. Observed differences of arms from a reference are x ~ N(δ, Σ); true ones are
 * δ ~ N(μ1, τ²C), C = Π over axes of r^distance, so that neighbours differ less, and as likely as not one arm
 * is apart from that, better or worse, by a normal difference of its own. μ has a flat prior, and so has each
 * further reference. τ (half-Cauchy, in middle standard errors), r, which arm is apart and how far are
 * integrated out over a grid by the restricted likelihood, since few arms tell them badly, and the likeliest
 * values alone would be too sure.
 *
 * @param covariance Σ [size x size], of arms first, then of further references
 * @param points places of the arms along the axes
 */
export function armBeliefs(covariance: Float64Array, points: readonly Point[], axes: readonly Axis[]): ArmBeliefs {
  const arms = points.length;
  const size = Math.sqrt(covariance.length);
  const unit = medianOf(points.map((_, i) => covariance[i * size + i]!));
  const noise = covariance.map((value, at) => (at % (size + 1) === 0 ? value + RIDGE * unit : value));
  const readings = SPREADS.flatMap((spread, s) => {
    const width = (SPREADS[Math.min(s + 1, SPREADS.length - 1)]! - SPREADS[Math.max(0, s - 1)]!) / 2;
    const correlations = spread === 0 || axes.length === 0 ? [0] : CORRELATIONS;
    const logPrior = Math.log(width / (1 + spread * spread) / correlations.length);
    return correlations.map((r) => {
      const prior = alongAxes(points, axes, r);
      const sum = noise.slice();
      for (let i = 0; i < arms; i++)
        for (let j = 0; j < arms; j++) sum[i * size + j] = sum[i * size + j]! + spread * spread * unit * prior[i * arms + j]!;
      return readingOf(sum, size, arms, logPrior, unit);
    });
  });
  const lineOf = (at: Float64Array, direction: Float64Array): Line[] =>
    readings.map(({ precision }) => {
      const [pa, pd] = [times(precision, at), times(precision, direction)];
      return { pa, pd, aa: dot(at, pa), ad: dot(at, pd), dd: dot(direction, pd) };
    });
  return {
    along(at, direction) {
      const line = lineOf(at, direction);
      return (t) => {
        const weights = weightsAt(readings, line, t);
        const residual = new Float64Array(size);
        readings.forEach(({ precision, apart }, r) => {
          const { alone, each, all } = weights[r]!;
          if (all < NEGLIGIBLE) return;
          const { pa, pd } = line[r]!;
          // What sets an arm apart is no part of the residual.
          const free = new Float64Array(size);
          if (all > alone + NEGLIGIBLE) {
            for (let a = 0; a < each.length; a++) {
              const { arm, factor } = apart[a]!;
              free[arm]! += each[a]! * factor * (pa[arm]! + t * pd[arm]!);
            }
          }
          for (let i = 0; i < size; i++) residual[i] = residual[i]! + all * (pa[i]! + t * pd[i]!) - dot(precision, free, i * size, 0, size);
        });
        const pulled = times(noise, residual);
        return at.map((value, i) => value + t * direction[i]! - pulled[i]!);
      };
    },
    moments(observed) {
      const line = lineOf(observed, new Float64Array(size));
      const mean = new Float64Array(size);
      const squares = new Float64Array(size * size);
      const add = (weight: number, at: Float64Array, covariance: Float64Array, direction: Float64Array | null, more: number) => {
        if (weight < NEGLIGIBLE) return;
        for (let i = 0; i < size; i++) {
          mean[i] = mean[i]! + weight * at[i]!;
          for (let j = 0; j < size; j++) {
            const own = covariance[i * size + j]! + at[i]! * at[j]! + (direction === null ? 0 : more * direction[i]! * direction[j]!);
            squares[i * size + j] = squares[i * size + j]! + weight * own;
          }
        }
      };
      weightsAt(readings, line, 0).forEach(({ alone, each, all }, r) => {
        if (all < NEGLIGIBLE) return;
        const { precision, apart } = readings[r]!;
        const { pa } = line[r]!;
        const columns = Array.from({ length: size }, (_, j) => times(noise, precision.subarray(j * size, (j + 1) * size)));
        // Σ − ΣPΣ, column by column of ΣP.
        const covariance = noise.map((value, k) => {
          const [i, j] = [Math.floor(k / size), k % size];
          return value - columns.reduce((sum, column, c) => sum + column[i]! * noise[c * size + j]!, 0);
        });
        const moved = times(noise, pa);
        // As changes of what was observed, so that squares of large values do not cancel.
        const at = moved.map((value) => -value);
        add(alone, at, covariance, null, 0);
        apart.forEach(({ arm, factor }, a) => {
          const step = columns[arm]!;
          add(
            each[a]!,
            at.map((value, i) => value + factor * pa[arm]! * step[i]!),
            covariance,
            step,
            factor,
          );
        });
      });
      return {
        mean: mean.map((value, i) => value + observed[i]!),
        covariance: squares.map((value, k) => value - mean[Math.floor(k / size)]! * mean[k % size]!),
      };
    },
    mixture(observed) {
      const line = lineOf(observed, new Float64Array(size));
      const weights = weightsAt(readings, line, 0);
      return (target) => {
        const noiseOfTarget = times(noise, target);
        return weights.flatMap(({ alone, each, all }, r): NormalPart[] => {
          if (all < NEGLIGIBLE) return [];
          const { precision, apart } = readings[r]!;
          const { pa } = line[r]!;
          const mean = dot(target, observed) - dot(noiseOfTarget, pa);
          const reach = times(precision, noiseOfTarget);
          const variance = dot(target, noiseOfTarget) - dot(noiseOfTarget, reach);
          const part = (weight: number, shift: number, more: number) => ({
            weight,
            mean: mean + shift,
            std: Math.sqrt(Math.max(0, variance + more)),
          });
          return [
            part(alone, 0, 0),
            ...apart.map(({ arm, factor }, a) => part(each[a]!, factor * reach[arm]! * pa[arm]!, factor * reach[arm]! ** 2)),
          ].filter(({ weight }) => weight >= NEGLIGIBLE);
        });
      };
    },
  };
}

/** Of at + t · direction under each reading: P at, P direction, and the terms of the residual's form in t. */
interface Line {
  readonly pa: Float64Array;
  readonly pd: Float64Array;
  readonly aa: number;
  readonly ad: number;
  readonly dd: number;
}

/** How likely a reading is: without an arm apart, with each, and altogether. */
interface Likely {
  alone: number;
  readonly each: Float64Array;
  all: number;
}

/** How likely each reading is at t of a line. In loops, as intervals ask for it at a hundred places. */
function weightsAt(readings: readonly Reading[], line: readonly Line[], t: number): readonly Readonly<Likely>[] {
  let most = Number.NEGATIVE_INFINITY;
  const weights = readings.map(({ logWeight, apart }, r): Likely => {
    const { pa, pd, aa, ad, dd } = line[r]!;
    const base = logWeight - 0.5 * (aa + 2 * t * ad + t * t * dd);
    const each = new Float64Array(apart.length);
    most = Math.max(most, base + LOG_EVEN);
    for (let a = 0; a < each.length; a++) {
      const { arm, factor, logWeight: own } = apart[a]!;
      const residual = pa[arm]! + t * pd[arm]!;
      const log = base + own + 0.5 * factor * residual * residual;
      each[a] = log;
      if (log > most) most = log;
    }
    return { alone: base + LOG_EVEN, each, all: 0 };
  });
  let total = 0;
  for (const of of weights) {
    of.alone = Math.exp(of.alone - most);
    of.all = of.alone;
    for (let a = 0; a < of.each.length; a++) of.all += of.each[a] = Math.exp(of.each[a]! - most);
    total += of.all;
  }
  for (const of of weights) {
    of.alone /= total;
    of.all /= total;
    for (let a = 0; a < of.each.length; a++) of.each[a]! /= total;
  }
  return weights;
}

/** Correlations of arms by how far apart they are along the axes: any two words of a choice are 1 apart. */
function alongAxes(points: readonly Point[], axes: readonly Axis[], r: number): Float64Array {
  const size = points.length;
  return Float64Array.from({ length: size * size }, (_, at) => {
    const [i, j] = [Math.floor(at / size), at % size];
    const apart = axes.reduce((sum, { kind }, a) => {
      const [own, other] = [points[i]![a]!, points[j]![a]!];
      return sum + (kind === 'choice' ? Number(own !== other) : Math.abs(own - other));
    }, 0);
    // Without axes nothing says which arms are alike.
    return i === j ? 1 : axes.length === 0 || (r === 0 && apart === 0) ? 0 : r ** apart;
  });
}

/** @param sum K = Σ + τ²C, overwritten */
function readingOf(sum: Float64Array, size: number, arms: number, logPrior: number, unit: number): Reading {
  const logDeterminant = invertSymmetric(sum, size);
  mirror(sum, size);
  // Fixed effects X: the common mean of all arms, and each further reference.
  const effects = 1 + size - arms;
  const columns = Array.from({ length: effects }, (_, e) =>
    times(
      sum,
      Float64Array.from({ length: size }, (_, i) => effectOf(i, e, arms)),
    ),
  );
  const information = Float64Array.from({ length: effects * effects }, (_, at) => {
    const column = columns[at % effects]!;
    return column.reduce((all, value, i) => all + effectOf(i, Math.floor(at / effects), arms) * value, 0);
  });
  const logInformation = invertSymmetric(information, effects);
  mirror(information, effects);
  const precision = sum.slice();
  columns.forEach((a, e) => {
    columns.forEach((b, f) => {
      for (let i = 0; i < size; i++)
        for (let j = 0; j < size; j++) precision[i * size + j] = precision[i * size + j]! - information[e * effects + f]! * a[i]! * b[j]!;
    });
  });
  const apart = APART.flatMap((wide) =>
    Array.from({ length: arms }, (_, arm): Apart => {
      const variance = wide * wide * unit;
      const inflated = 1 + variance * precision[arm * size + arm]!;
      return { arm, logWeight: LOG_EVEN - Math.log(arms * APART.length) - 0.5 * Math.log(inflated), factor: variance / inflated };
    }),
  );
  return { logWeight: logPrior - 0.5 * (logDeterminant + logInformation), precision, apart };
}

function effectOf(row: number, effect: number, arms: number): number {
  return Number(effect === 0 ? row < arms : row === arms + effect - 1);
}

function mirror(matrix: Float64Array, size: number): void {
  for (let i = 0; i < size; i++) for (let j = 0; j < i; j++) matrix[j * size + i] = matrix[i * size + j]!;
}

function times(matrix: Float64Array, x: Float64Array): Float64Array {
  const product = new Float64Array(x.length);
  for (let i = 0; i < x.length; i++) product[i] = dot(matrix, x, i * x.length, 0, x.length);
  return product;
}
