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
 * @returns null where they are not all of the same items, or no item tells any of them from the base
 */
export function itemNoise(base: Scored, others: readonly Scored[]): ItemNoise | null {
  const lists = others.map((other) => pairedItems(base, other));
  if (!lists.every((list) => list !== null)) return null;
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
  return { covariance: covariance.map((value) => value * wider), items: tasks!.reduce((sum, { length }) => sum + length, 0) };
}
