import { assignment } from './assignment.ts';
import type { PairIdentity } from './types.ts';

/**
 * What another order of experts must come to, to be believed; both hold for each cycle of the permutation on
 * its own, and by router rows and by expert weights.
 */
export const MARGIN = {
  /**
   * 1 − cosine falls at least to this part of what it is for the order as stored, and of what chance alone
   * gives ({@link nearestByChance}).
   */
  ratio: 0.5,
  /** The mean cosine rises by at least this: what bfloat16 rounds off does less. */
  gain: 0.01,
} as const;

/** Cosines so near to each other are the same. */
const TIE = 1e-3;

/**
 * Cosines of the older checkpoint's experts (first index) with the newer one's: by rows of the router, or by
 * the experts' weights.
 */
export interface Measure {
  /** [E x E] */
  readonly cosines: Float64Array;
  /** Of the vectors compared. */
  readonly width: number;
}

type Move = { readonly from: number; readonly to: number };

/**
 * Whether expert e of one checkpoint is expert e of the next, by two measures: the rows of the router and the
 * experts' own weights. A permutation of experts moves both alike.
 *
 * @param weights null where they cannot be looked at
 */
export function identityOf(router: Measure, weights: Measure | null, experts: number): PairIdentity {
  const byRouter = otherOrder(router, experts);
  const byWeights = weights === null ? [] : otherOrder(weights, experts);
  // By two assignments, as what fits best by one measure may be a tie by the other.
  const candidates = [...byRouter, ...byWeights];
  const both = weights === null ? [] : believable(believable(candidates, router, experts), weights, experts);
  const measures = weights === null ? [router] : [router, weights];
  const ties = tiesOf(measures, experts);
  const tied = new Set(ties.flat());
  const margin = { router: marginOf(router, experts, tied), weights: weights === null ? null : marginOf(weights, experts, tied) };
  const nothing = { moved: [], by: null, ties, margin };
  // In what is unrelated, some few are near to other places by chance.
  if (measures.every((measure, i) => unrelated(measure, moves([byRouter, byWeights][i]!), tied, experts)))
    return { status: 'unrelated', ...nothing };
  if (candidates.length === 0) return { status: 'same', ...nothing };
  if (both.length > 0) return { status: 'permuted', moved: moves(both), by: null, ties, margin };
  const one = byRouter.length > 0 ? byRouter : byWeights;
  return { status: 'one-sided', moved: moves(one), by: byRouter.length > 0 ? 'router' : 'weights', ties, margin };
}

/**
 * About the largest cosine of a vector with `count` that have nothing to do with it: a cap of cosine t has
 * less than (1 − t²)^((width − 1) / 2) of the sphere. Small where vectors are long, near 1 for many short
 * ones.
 */
export function nearestByChance(count: number, width: number): number {
  return width < 2 ? 1 : Math.sqrt(1 - count ** (-2 / (width - 1)));
}

/** The cycles by which the best order differs from the one stored, those that can be believed. */
function otherOrder(measure: Measure, experts: number): number[][] {
  return mayHaveMoved(measure, experts) ? believable(cycles(assignment(measure.cosines, experts)), measure, experts) : [];
}

/**
 * Whether any cycle could be believed: what a mean comes to, some expert that it is of comes to. Spares most
 * layers the assignment.
 */
function mayHaveMoved({ cosines, width }: Measure, experts: number): boolean {
  const byChance = MARGIN.ratio * (1 - nearestByChance(experts, width));
  let [nearerThanStored, nearerThanChance] = [false, false];
  for (let e = 0; e < experts; e++) {
    const asStored = MARGIN.ratio * (1 - cosines[e * experts + e]!);
    for (let f = 0; f < experts; f++) {
      if (f === e) continue;
      const distance = 1 - cosines[e * experts + f]!;
      if (distance <= asStored) nearerThanStored = true;
      if (distance <= byChance) nearerThanChance = true;
      if (nearerThanStored && nearerThanChance) return true;
    }
  }
  return false;
}

/** Most experts are no nearer to where they are, or have moved, than chance would have it. */
function unrelated({ cosines, width }: Measure, moved: readonly Move[], tied: ReadonlySet<number>, experts: number): boolean {
  const chance = nearestByChance(experts, width);
  const to = new Map(moved.map((move) => [move.from, move.to]));
  let [known, lost] = [0, 0];
  for (let e = 0; e < experts; e++) {
    if (tied.has(e)) continue;
    known++;
    if (cosines[e * experts + (to.get(e) ?? e)]! <= chance) lost++;
  }
  return 2 * lost > known;
}

/** The permutation's cycles of two experts or more, each as [e, where e goes, where that goes, …]. */
function cycles(permutation: readonly number[]): number[][] {
  const seen = new Set<number>();
  const found: number[][] = [];
  for (const start of permutation.keys()) {
    const cycle: number[] = [];
    for (let e = start; !seen.has(e); e = permutation[e]!) {
      seen.add(e);
      cycle.push(e);
    }
    if (cycle.length > 1) found.push(cycle);
  }
  return found;
}

/** Those cycles that fit better than the order as stored, and than chance, by {@link MARGIN}. */
function believable(candidates: readonly number[][], { cosines, width }: Measure, n: number): number[][] {
  const chance = nearestByChance(n, width);
  return candidates.filter((cycle) => {
    const mean = (to: (at: number) => number) => cycle.reduce((sum, e, at) => sum + cosines[e * n + to(at)]!, 0) / cycle.length;
    const stored = mean((at) => cycle[at]!);
    const moved = mean((at) => cycle[(at + 1) % cycle.length]!);
    return 1 - moved <= MARGIN.ratio * (1 - Math.max(stored, chance)) && moved - stored >= MARGIN.gain;
  });
}

/** In the order of the experts; a cycle that both measures found counts once. */
function moves(found: readonly number[][]): Move[] {
  const to = new Map(found.flatMap((cycle) => cycle.map((e, at): [number, number] => [e, cycle[(at + 1) % cycle.length]!])));
  return [...to].sort(([a], [b]) => a - b).map(([from, to]) => ({ from, to }));
}

/** Groups of experts of which any two could be exchanged without a change in any measure. */
function tiesOf(measures: readonly Measure[], n: number): number[][] {
  const near = (a: number, b: number) => Math.abs(a - b) <= TIE;
  const group = Array.from({ length: n }, (_, e) => e);
  for (let e = 0; e < n; e++) {
    for (let f = e + 1; f < n; f++) {
      const tied = measures.every(({ cosines: s }) => near(s[e * n + f]!, s[e * n + e]!) && near(s[f * n + e]!, s[f * n + f]!));
      if (tied) group[f] = Math.min(group[f]!, group[e]!);
    }
  }
  const groups = new Map<number, number[]>();
  for (const [e, first] of group.entries()) groups.set(first, [...(groups.get(first) ?? []), e]);
  return [...groups.values()].filter((members) => members.length > 1);
}

/** How much nearer the least distinct expert is to itself than to any other. */
function marginOf({ cosines }: Measure, n: number, tied: ReadonlySet<number>): number | null {
  let least: number | null = null;
  for (let e = 0; e < n; e++) {
    if (tied.has(e)) continue;
    let nearest = Number.NEGATIVE_INFINITY;
    for (let f = 0; f < n; f++) if (f !== e) nearest = Math.max(nearest, cosines[e * n + f]!);
    if (nearest > Number.NEGATIVE_INFINITY) least = Math.min(least ?? Number.POSITIVE_INFINITY, cosines[e * n + e]! - nearest);
  }
  return least;
}
