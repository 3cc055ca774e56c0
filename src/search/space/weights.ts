import { optionWith, worded } from '../../base/option-words.ts';
import type { Problem } from '../../base/problems.ts';
import { emaNormalized } from '../../recipe/schedule/ema-normalized.ts';
import type { ScheduleMember } from '../../recipe/schedule/types.ts';
import { wma } from '../../recipe/schedule/wma.ts';
import { normalCdf, normalQuantile } from '../gaussian-process/normal.ts';
import type { Dimension } from './dimension.ts';
import { refuseSpace } from './problems.ts';
import { separateProblems } from './roles.ts';
import { separateSpace } from './separate.ts';
import type { Space } from './types.ts';

/** Members beyond which raw weights are too many numbers for the few scores that a search can pay. */
export const MOST_WEIGHTED = 8;

/**
 * Standard deviation of each coordinate under the prior, and how many of them a coordinate goes to either
 * side: both ours. Two members' weights then differ by a factor of 5 as a rule, and each of the newest two
 * can come to over 0.99, the oldest of eight to 0.87.
 */
const SIGMA = 1.2;
const REACH = 3;

const TAIL = normalCdf(-REACH);

export interface WeightsOptions {
  /** Roles, or groups of roles as in policies, with weights of their own. */
  readonly separate?: readonly string[] | undefined;
}

/**
 * All weights over 0 that sum to 1, by isometric log-ratios of the members from the newest back: `ilr-1` is
 * of the newest two. A coordinate of the cube is the quantile of a normal distribution around 0, cut off at
 * three standard deviations: most of the cube is near the mean of all members, and its centre is exactly 1/N
 * each.
 *
 * @param members 2 to {@link MOST_WEIGHTED}, oldest first
 * @throws MergeError E_SPACE for more or fewer members, what is no role
 */
export function weightsSpace(members: readonly ScheduleMember[], options: WeightsOptions = {}): Space {
  refuseSpace(weightsProblems(members.length, options));
  const dimensions = (prefix: string) => members.slice(1).map((_, i) => quantileDimension(`${prefix}ilr-${i + 1}`));
  const values = (weights: readonly number[]) => (weights.every((weight) => weight > 0) ? ilr(weights.toReversed()) : null);
  const pointOf = (weights: Iterable<number>) => {
    const coordinates = values([...weights])!.map((z) => place(z));
    return coordinates.every((coordinate) => coordinate !== null) ? [coordinates] : [];
  };
  const centre = members.slice(1).map(() => 0.5);
  return separateSpace({
    name: 'weights',
    members,
    separate: options.separate ?? [],
    dimensions,
    weights: (z) => ilrInverse(z).reverse(),
    values,
    // The mean of all, and two that lean to the newest.
    initial: [centre, ...pointOf(wma(members.length)), ...pointOf(emaNormalized(members.length, 0.5))],
  });
}

/** What is wrong with a space of weights over so many members. */
export function weightsProblems(members: number, { separate = [] }: WeightsOptions): Problem[] {
  const problems = separateProblems(separate);
  const count = members === 1 ? 'is 1 checkpoint' : `are ${members} checkpoints`;
  if (members < 2) problems.push({ path: ['space'], message: `weights are of at least two checkpoints, and there ${count}` });
  if (members > MOST_WEIGHTED) {
    const message = worded`raw weights are of at most ${MOST_WEIGHTED} checkpoints, and there ${count}: take fewer (--last ${MOST_WEIGHTED}), or search ${optionWith('space', 'schedule')}, whose parameters do not grow with their number`;
    problems.push({ path: ['space'], message });
  }
  return problems;
}

/** An isometric log-ratio under its prior. */
export function quantileDimension(name: string): Dimension {
  return {
    parameter: { name, kind: 'real', low: -REACH * SIGMA, high: REACH * SIGMA },
    axis: { kind: 'real' },
    at: valueAt,
    place: (value) => place(Number(value)),
  };
}

/** From the middle outwards, so that both halves are the same to the last bit and 1/2 is exactly 0. */
function valueAt(coordinate: number): number {
  const off = Math.min(1, Math.abs(2 * coordinate - 1));
  if (off === 0) return 0;
  const z = off === 1 ? REACH * SIGMA : Math.min(REACH * SIGMA, -SIGMA * normalQuantile(0.5 - off * (0.5 - TAIL)));
  return coordinate < 0.5 ? -z : z;
}

function place(z: number): number | null {
  const size = Math.abs(z);
  if (!(size <= REACH * SIGMA)) return null;
  const off = Math.min(1, (0.5 - normalCdf(-size / SIGMA)) / (0.5 - TAIL));
  return 0.5 + Math.sign(z) * 0.5 * off;
}

/**
 * Coordinates of weights that are all over 0 and sum to 1: isometric log-ratios (Egozcue, Pawlowsky-Glahn,
 * Mateu-Figueras and Barceló-Vidal 2003, "Isometric logratio transformations for compositional data
 * analysis", Mathematical Geology 35, 279-300) in the Helmert basis
 *
 *     z_i = sqrt(i / (i + 1)) · ln( g(w_1 … w_i) / w_{i+1} )        i = 1 … N − 1, g the geometric mean
 *
 * Distances between points are those of the logarithms of weights; the origin is 1/N for all.
 */

/** The N − 1 coordinates of N weights over 0, whatever their sum. */
export function ilr(weights: readonly number[]): number[] {
  const logs = weights.map(Math.log);
  let sum = logs[0]!;
  return logs.slice(1).map((log, k) => {
    const i = k + 1;
    const z = Math.sqrt(i / (i + 1)) * (sum / i - log);
    sum += log;
    return z;
  });
}

/** The N weights of N − 1 coordinates; exactly 1/N each at the origin, and their sum within rounding of 1. */
export function ilrInverse(z: readonly number[]): number[] {
  const logs = Array.from({ length: z.length + 1 }, (_, member) =>
    z.reduce((log, value, k) => {
      const i = k + 1;
      if (member < i) return log + value / Math.sqrt(i * (i + 1));
      return member === i ? log - value * Math.sqrt(i / (i + 1)) : log;
    }, 0),
  );
  // Less the largest, so that no exponential overflows.
  const largest = Math.max(...logs);
  const shares = logs.map((log) => Math.exp(log - largest));
  const total = shares.reduce((sum, share) => sum + share, 0);
  return shares.map((share) => share / total);
}
