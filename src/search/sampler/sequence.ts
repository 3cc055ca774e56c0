import { randomOf } from '../../base/numbers/random.ts';
import { type Axis, type Point, snapPoint } from '../gaussian-process/cube.ts';
import { sobolPoints } from '../gaussian-process/sobol.ts';
import { cells, freshPoints } from './fresh.ts';
import type { Sampler } from './types.ts';

/** Independent points, evenly distributed over the cube. */
export function randomSampler(axes: readonly Axis[], seed: number): Sampler {
  return sequenceSampler('random', axes, (first) => randomSequence(axes, seed, first));
}

/** Quasi-random points: they cover the cube more evenly than random ones, whatever the number of trials. */
export function sobolSampler(axes: readonly Axis[], seed: number): Sampler {
  return sequenceSampler('sobol', axes, (first) => sobolSequence(axes, seed, first, REACH));
}

function* randomSequence(axes: readonly Axis[], seed: number, first: number): Generator<Point> {
  for (let index = first; index < first + REACH; index++) {
    const random = randomOf(seed, index);
    yield snapPoint(
      axes.map(() => random()),
      axes,
    );
  }
}

/**
 * `count` elements of the scrambled Sobol sequence of a seed from number `first` on, at the values of their
 * axes.
 */
export function sobolSequence(axes: readonly Axis[], seed: number, first: number, count: number): Point[] {
  return sobolPoints(axes.length, count, seed, first).map((point) => snapPoint(point, axes));
}

/** Elements that are looked at for new ones: only a space nearly used up has none among so many. */
const REACH = 1024;

/**
 * Proposes the elements of a sequence from the one whose number is the count of proposals so far; those tried
 * before are passed over. What the sequence misses of a finite cube comes in order.
 */
function sequenceSampler(by: string, axes: readonly Axis[], from: (first: number) => Iterable<Point>): Sampler {
  return {
    async propose(history, count) {
      const next = await freshPoints(from(history.proposed), history, count);
      const rest = next.length < count ? await freshPoints(cells(axes), history, count - next.length, next) : [];
      return [...next, ...rest].map((point) => ({ point, by }));
    },
    ahead: () => Number.POSITIVE_INFINITY,
  };
}
