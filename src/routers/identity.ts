import type { PairIdentity } from './types.ts';

/** What another order of experts must come to, to be believed; both hold for each cycle of the permutation on its own, and by router rows and by expert weights. */
export const MARGIN = {
  /** 1 − cosine falls at least to this part of what it is for the order as stored. Noise between unrelated vectors cannot do that. */
  ratio: 0.5,
  /** The mean cosine rises by at least this: what bfloat16 rounds off does less. */
  gain: 0.01,
} as const;

/** Cosines so near to each other are the same. */
const TIE = 1e-3;

type Move = { readonly from: number; readonly to: number };

/**
 * Whether expert e of one checkpoint is expert e of the next, by two measures: the rows of the router and the experts' own weights. A permutation of
 * experts moves both alike.
 *
 * @param router [E x E] cosines of the older checkpoint's rows (first index) with the newer one's
 * @param weights the same of the experts' weights; null where they cannot be looked at
 */
export async function identityOf(router: Float64Array, weights: Float64Array | null, experts: number): Promise<PairIdentity> {
  const byRouter = believable(cycles(await assignment(router, experts)), router, experts);
  const byWeights = weights === null ? [] : believable(cycles(await assignment(weights, experts)), weights, experts);
  // By two assignments, as what fits best by one measure may be a tie by the other.
  const candidates = [...byRouter, ...byWeights];
  const both = weights === null ? [] : believable(believable(candidates, router, experts), weights, experts);
  const ties = tiesOf(weights === null ? [router] : [router, weights], experts);
  const tied = new Set(ties.flat());
  const margin = { router: marginOf(router, experts, tied), weights: weights === null ? null : marginOf(weights, experts, tied) };
  if (both.length > 0) return { status: 'permuted', moved: moves(both), by: null, ties, margin };
  if (candidates.length === 0) return { status: 'same', moved: [], by: null, ties, margin };
  const one = byRouter.length > 0 ? byRouter : byWeights;
  return { status: 'one-sided', moved: moves(one), by: byRouter.length > 0 ? 'router' : 'weights', ties, margin };
}

/**
 * The permutation of 0..n-1 with the largest sum of similarity[e, permutation[e]]; the identity where nothing has more.
 *
 * @param similarity [n x n], finite
 */
export async function assignment(similarity: Float64Array, n: number): Promise<number[]> {
  const identity = Array.from({ length: n }, (_, e) => e);
  const row = (e: number) => similarity.subarray(e * n, (e + 1) * n);
  // No assignment has more than the largest of every row.
  if (identity.every((e) => row(e).every((value) => value <= similarity[e * n + e]!))) return identity;
  // Hardly any model needs it: loaded when one does.
  const { munkres } = await import('munkres');
  const found = identity.slice();
  for (const [e, f] of munkres(identity.map((e) => Array.from(row(e), (value) => -value)))) found[e] = f;
  return found;
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

/** Those cycles that fit better than the order as stored by {@link MARGIN}. */
function believable(candidates: readonly number[][], similarity: Float64Array, n: number): number[][] {
  return candidates.filter((cycle) => {
    const mean = (to: (at: number) => number) => cycle.reduce((sum, e, at) => sum + similarity[e * n + to(at)]!, 0) / cycle.length;
    const stored = mean((at) => cycle[at]!);
    const moved = mean((at) => cycle[(at + 1) % cycle.length]!);
    return 1 - moved <= MARGIN.ratio * (1 - stored) && moved - stored >= MARGIN.gain;
  });
}

/** In the order of the experts; a cycle that both measures found counts once. */
function moves(found: readonly number[][]): Move[] {
  const to = new Map(found.flatMap((cycle) => cycle.map((e, at): [number, number] => [e, cycle[(at + 1) % cycle.length]!])));
  return [...to].sort(([a], [b]) => a - b).map(([from, to]) => ({ from, to }));
}

/** Groups of experts of which any two could be exchanged without a change in any measure. */
function tiesOf(measures: readonly Float64Array[], n: number): number[][] {
  const near = (a: number, b: number) => Math.abs(a - b) <= TIE;
  const group = Array.from({ length: n }, (_, e) => e);
  for (let e = 0; e < n; e++) {
    for (let f = e + 1; f < n; f++) {
      const tied = measures.every((s) => near(s[e * n + f]!, s[e * n + e]!) && near(s[f * n + e]!, s[f * n + f]!));
      if (tied) group[f] = Math.min(group[f]!, group[e]!);
    }
  }
  const groups = new Map<number, number[]>();
  for (const [e, first] of group.entries()) groups.set(first, [...(groups.get(first) ?? []), e]);
  return [...groups.values()].filter((members) => members.length > 1);
}

/** How much nearer the least distinct expert is to itself than to any other. */
function marginOf(similarity: Float64Array, n: number, tied: ReadonlySet<number>): number | null {
  let least: number | null = null;
  for (let e = 0; e < n; e++) {
    if (tied.has(e)) continue;
    let nearest = Number.NEGATIVE_INFINITY;
    for (let f = 0; f < n; f++) if (f !== e) nearest = Math.max(nearest, similarity[e * n + f]!);
    if (nearest > Number.NEGATIVE_INFINITY) least = Math.min(least ?? Number.POSITIVE_INFINITY, similarity[e * n + e]! - nearest);
  }
  return least;
}
