import { normalOf, randomOf } from '../../base/numbers/random.ts';
import { type Axis, type Point, snapPoint } from './cube.ts';
import { sobolPoints } from './sobol.ts';

/** The larger, the better; one a point. */
export type Objective = (points: readonly Point[]) => Float64Array;

export interface Valued {
  readonly point: Point;
  readonly score: number;
}

export interface MaximiseOptions {
  readonly seed: number;
  /** Points spread over the cube that are looked at first; a multiple of a power of two spreads best. */
  readonly candidates?: number;
  /** How many of the best candidates are refined. */
  readonly starts?: number;
  /** Points that are looked at whatever the seed says, such as the best ones so far. */
  readonly include?: readonly Point[];
}

/** Points of the grid on one real axis: steps of a thousandth, the corners and the middle among them. */
const GRID = 1001;
/** A cube of so many points or fewer is looked at point by point. */
const ENUMERABLE = 4096;
/** A refinement ends where its steps are shorter. */
const FINEST = 5e-4;

/**
 * The points of a cube where a score is largest, all different, best first: the head of the list is its
 * maximum, what follows gives way to it in order. One real axis is a dense grid, a small cube without real
 * axes is enumerated, others are sampled by Sobol points of which the best are refined. The same seed gives
 * the same list.
 */
export function maximise(
  score: Objective,
  axes: readonly Axis[],
  { seed, candidates = 1024, starts = 6, include = [] }: MaximiseOptions,
): readonly Valued[] {
  const seen = new Map<string, Valued>();
  const look = (points: readonly Point[]): Valued[] => {
    const fresh = new Map<string, Point>();
    const keys = points.map((point) => {
      const snapped = snapPoint(point, axes);
      const key = snapped.join();
      if (!seen.has(key)) fresh.set(key, snapped);
      return key;
    });
    const scores = fresh.size > 0 ? score([...fresh.values()]) : new Float64Array();
    for (const [i, [key, point]] of [...fresh].entries()) seen.set(key, { point, score: scores[i]! });
    return keys.map((key) => seen.get(key)!);
  };

  look(include);
  const whole = enumerate(axes);
  if (whole !== null) {
    look(whole);
  } else {
    look(sobolPoints(axes.length, candidates, seed));
    look(around(include, axes, seed));
    refine(distant(rank(seen.values()), starts), axes, look);
  }
  return rank(seen.values());
}

function rank(scored: Iterable<Valued>): Valued[] {
  return [...scored].sort((a, b) => b.score - a.score || compare(a.point, b.point));
}

/** An order of points that does not depend on how they were found. */
function compare(a: Point, b: Point): number {
  const at = a.findIndex((value, i) => value !== b[i]);
  return at < 0 ? 0 : a[at]! - b[at]!;
}

/** All points worth looking at, where they are few. */
function enumerate(axes: readonly Axis[]): Point[] | null {
  const real = axes.filter((axis) => axis.kind === 'real').length;
  const counts = axes.map((axis) => (axis.kind === 'real' ? GRID : axis.count));
  const total = counts.reduce((product, count) => product * count, 1);
  if (total > ENUMERABLE || real > 1) return null;
  return Array.from({ length: total }, (_, index) => {
    let rest = index;
    return counts.map((count) => {
      const at = rest % count;
      rest = (rest - at) / count;
      return count < 2 ? 0 : at / (count - 1);
    });
  });
}

/**
 * Points scattered around others, near and nearer: a peak that is known is narrower than Sobol points lie
 * apart.
 */
function around(points: readonly Point[], axes: readonly Axis[], seed: number): Point[] {
  const normal = normalOf(randomOf(seed, points.length));
  return points.flatMap((point) =>
    Array.from({ length: 8 }, (_, i) => axes.map((_, a) => point[a]! + (i % 2 === 0 ? 0.1 : 0.02) * normal())),
  );
}

/** The first of a list, leaving out those that lie at another one of them. */
function distant(scored: readonly Valued[], count: number): Valued[] {
  const chosen: Valued[] = [];
  for (const one of scored) {
    if (chosen.length === count) break;
    if (chosen.every(({ point }) => point.some((at, a) => Math.abs(at - one.point[a]!) > 0.05))) chosen.push(one);
  }
  return chosen;
}

/**
 * Climbs from each start: looks a step to both sides along each axis, then goes to the top of the parabola
 * along every axis at once, to the same step again (ridges that follow no axis are climbed so, Hooke and
 * Jeeves 1961) or to the best neighbour, whichever is highest. The points of all starts are scored together.
 */
function refine(starts: readonly Valued[], axes: readonly Axis[], look: (points: readonly Point[]) => Valued[]): void {
  let climbers = starts.map((best) => ({ best, step: 0.1, before: best.point }));
  while (climbers.length > 0) {
    const sides = climbers.map(({ best, step }) => neighbours(best.point, step, axes));
    const scored = look(sides.flat(2)).values();
    const nearby = sides.map((ofAxes) => ofAxes.map((points) => points.map(() => scored.next().value!)));
    const jumps = look(climbers.flatMap(({ best, before }, c) => [summit(best, nearby[c]!, axes), beyond(best.point, before)]));
    climbers = climbers
      .map((climber, c) => {
        const all = [...nearby[c]!.flat(), jumps[2 * c]!, jumps[2 * c + 1]!];
        const next = all.reduce((best, one) => (one.score > best.score ? one : best), climber.best);
        const moved = Math.max(...next.point.map((at, a) => Math.abs(at - climber.best.point[a]!)));
        return { best: next, step: moved > climber.step / 2 ? climber.step : climber.step / 4, before: climber.best.point };
      })
      .filter(({ step }) => step >= FINEST);
  }
}

/** Per axis: a step to both sides on a real one, the values next to it of levels, each value of a choice. */
function neighbours(point: Point, step: number, axes: readonly Axis[]): Point[][] {
  return axes.map((axis, a) => {
    const at = point[a]!;
    const to = (value: number) => point.with(a, value);
    if (axis.kind === 'real') return [to(Math.max(0, at - step)), to(Math.min(1, at + step))];
    const apart = axis.count < 2 ? 0 : 1 / (axis.count - 1);
    if (axis.kind === 'levels') return [to(at - Math.max(step, apart)), to(at + Math.max(step, apart))];
    return Array.from({ length: axis.count }, (_, value) => to(value * apart));
  });
}

/**
 * Every axis at the top of the parabola through a point and its neighbours along the axis, within twice their
 * distance; at the best of them elsewhere.
 */
function summit(best: Valued, nearby: readonly Valued[][], axes: readonly Axis[]): Point {
  return best.point.map((at, a) => {
    const [below, above] = nearby[a]!;
    if (axes[a]!.kind === 'real' && below !== undefined && above !== undefined) {
      const [left, right] = [below.point[a]! - at, above.point[a]! - at];
      const [down, up] = [(below.score - best.score) / left, (above.score - best.score) / right];
      const curvature = (up - down) / (right - left);
      const top = (curvature * left - down) / (2 * curvature);
      // On a bound one side is missing, and nothing here is a number.
      if (curvature < 0 && Number.isFinite(top)) return at + Math.min(2 * right, Math.max(2 * left, top));
    }
    return nearby[a]!.reduce((highest, one) => (one.score > highest.score ? one : highest), best).point[a]!;
  });
}

/** As far again in the direction of the last step. */
function beyond(point: Point, before: Point): Point {
  return point.map((at, a) => 2 * at - before[a]!);
}
