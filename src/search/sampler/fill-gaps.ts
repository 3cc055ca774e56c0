import type { Axis, Point } from '../gaussian-process/types.ts';
import { freshPoints } from './fresh.ts';
import { sobolSequence } from './sequence.ts';
import type { History } from './types.ts';

/**
 * Sobol points of which one is chosen each time: enough to find every wide gap, too few to always find its
 * very middle or a corner. Ours.
 */
const CHOICE = 16;

/**
 * Points that fill what other points leave: of 16 elements of a scrambled Sobol sequence always the one
 * farthest from all tried, pending and found before. Beside points that were chosen by hand the sequence
 * alone leaves gaps wide enough for a narrow peak.
 */
export async function fillGaps(
  axes: readonly Axis[],
  seed: number,
  history: History,
  count: number,
  before: readonly Point[],
): Promise<Point[]> {
  const found: Point[] = [];
  while (found.length < count) {
    const known = [...history.observed.map(({ point }) => point), ...history.pending, ...before, ...found];
    const first = CHOICE * (history.proposed + before.length + found.length);
    const choice = sobolSequence(axes, seed, first, CHOICE).map((point) => ({ point, apart: nearest(point, known) }));
    const farthest = choice.sort((a, b) => b.apart - a.apart).map(({ point }) => point);
    const fresh = await freshPoints(farthest, history, 1, [...before, ...found]);
    if (fresh.length === 0) break;
    found.push(...fresh);
  }
  return found;
}

/** Squared distance to the nearest of them. */
function nearest(point: Point, others: readonly Point[]): number {
  return Math.min(...others.map((other) => point.reduce((sum, x, d) => sum + (x - other[d]!) ** 2, 0)));
}
