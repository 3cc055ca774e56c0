import type { Axis, Point } from '../gp/types.ts';
import { randomOf } from '../random.ts';
import { cellCount, cells, roundPoint } from './cube.ts';
import { sobolPoints } from './sobol.ts';
import type { Proposal, Sampler } from './types.ts';

/** Independent points, evenly distributed over the cube. */
export function randomSampler(axes: readonly Axis[], seed: number): Sampler {
  return sequenceSampler('random', axes, (index) => {
    const random = randomOf(seed, index);
    return axes.map(() => random());
  });
}

/** Quasi-random points: they cover the cube more evenly than random ones, whatever the number of trials. */
export function sobolSampler(axes: readonly Axis[], seed: number): Sampler {
  return sequenceSampler('sobol', axes, (index) => sobolPoints(axes.length, 1, seed, index)[0]!);
}

/** Elements of a sequence in a row that were all tried before it counts as used up. */
const MISSES = 1024;

/**
 * Proposes the elements of an endless sequence of points, from the one whose number is the count of proposals so far; those tried before are passed over. What the
 * sequence misses of a finite cube is listed.
 *
 * @param at element `index` of the sequence; equal for equal indices
 */
function sequenceSampler(by: string, axes: readonly Axis[], at: (index: number) => Point): Sampler {
  return {
    async propose(history, count) {
      const found = new Map<string, Proposal>();
      const offer = (point: Point): boolean => {
        const fresh = !found.has(point.join()) && !history.isTaken(point);
        if (fresh) found.set(point.join(), { point, by });
        return fresh;
      };
      for (let index = history.proposed, misses = 0; found.size < count && misses < MISSES; index++) {
        misses = offer(roundPoint(at(index), axes)) ? 0 : misses + 1;
      }
      if (found.size < count && cellCount(axes) < Number.POSITIVE_INFINITY) {
        for (const point of cells(axes)) if (offer(point) && found.size === count) break;
      }
      return [...found.values()];
    },
  };
}
