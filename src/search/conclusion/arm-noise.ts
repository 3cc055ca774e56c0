import { medianOf } from '../gaussian-process/warp.ts';
import { covarianceOfMeans, pairedItems, type Scored } from './difference.ts';
import { shrunkCovarianceOfMeans, varianceFreedom } from './shrunk-covariance.ts';
import { freedomFactor } from './student.ts';

/** How differences of several scores from one err together, because the items are these and not others. */
export interface ItemNoise {
  /** [others x others], wider where few items vary. */
  readonly covariance: Float64Array;
  readonly items: number;
}

/**
 * @param others at least one
 * @returns null where they are not all of the same items, or no item tells any of them from the base, or one is as
 *   far off as no number can say
 */
export function itemNoise(base: Scored, others: readonly Scored[]): ItemNoise | null {
  const paired = others.map((other) => pairedItems(base, other));
  if (!paired.every((list) => list !== null)) return null;
  const { lists, unit } = inUnits(paired);
  const varied = lists.filter((list) => covarianceOfMeans(list, list) > 0);
  if (varied.length === 0) return null;
  const size = others.length;
  const covariance = new Float64Array(size * size);
  const [tasks] = varied;
  tasks!.forEach((_, task) => {
    shrunkCovarianceOfMeans(lists.map((list) => list[task]!)).forEach((value, at) => {
      covariance[at] = covariance[at]! + value;
    });
  });
  const wider = freedomFactor(medianOf(varied.map(varianceFreedom))) ** 2;
  const inScores = covariance.map((value) => value * wider * unit * unit);
  if (!inScores.every(Number.isFinite)) return null;
  return { covariance: inScores, items: tasks!.reduce((sum, { length }) => sum + length, 0) };
}

/** Differences of at most 2 in size, in a unit by which nothing is rounded: fourth powers of others may not be numbers. */
function inUnits(lists: readonly (readonly Float64Array[])[]): { lists: readonly (readonly Float64Array[])[]; unit: number } {
  let most = 0;
  for (const list of lists) for (const values of list) for (const value of values) most = Math.max(most, Math.abs(value));
  const unit = most === 0 ? 1 : 2 ** Math.floor(Math.log2(most));
  return { lists: lists.map((list) => list.map((values) => values.map((value) => value / unit))), unit };
}
