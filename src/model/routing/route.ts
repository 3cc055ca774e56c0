import type { Routes, RoutingFunction } from './types.ts';

/**
 * Chooses and weighs experts for T tokens, in float64. Of equal scores the lower expert wins; a NaN loses to
 * everything.
 *
 * @param logits [T x E] W x, with the learned bias where there is one
 * @param experts E
 * @param correctionBias [E], added to the scores for the choice; none where absent
 * @returns k experts a token, best first; fewer experts than k are all chosen
 */
export function route(fn: RoutingFunction, logits: Float64Array, experts: number, correctionBias: Float64Array | null = null): Routes {
  const scores = scoresOf(fn, logits, experts);
  const chosen = choose(fn, selectionScores(fn, scores, correctionBias), experts);
  const weights = new Float64Array(chosen.length);
  const tokens = logits.length / experts;
  const k = chosen.length / tokens;
  for (let t = 0; t < tokens; t++) {
    const row = chosen.subarray(t * k, (t + 1) * k);
    const weight = weights.subarray(t * k, (t + 1) * k);
    if (fn.sparseMixer !== null) sparseMixer(logits.subarray(t * experts, (t + 1) * experts), row, weight, fn.sparseMixer);
    else weigh(fn, scores.subarray(t * experts, (t + 1) * experts), row, weight);
  }
  return { experts: chosen, weights };
}

/** [T x k] the experts that are chosen, best first. @param ranks [T x E] by {@link selectionScores} */
export function choose(fn: RoutingFunction, ranks: Float64Array, experts: number): Int32Array {
  const tokens = ranks.length / experts;
  const k = Math.min(fn.topK, experts);
  const chosen = new Int32Array(tokens * k);
  for (let t = 0; t < tokens; t++) {
    topK(withinGroups(fn, ranks.subarray(t * experts, (t + 1) * experts)), chosen.subarray(t * k, (t + 1) * k));
  }
  return chosen;
}

/** [T x E] scores of logits, before any bias. */
export function scoresOf({ score }: RoutingFunction, logits: Float64Array, experts: number): Float64Array {
  if (score === 'sigmoid') return logits.map((z) => 1 / (1 + Math.exp(-z)));
  // softplus(z) = ln(1 + e^z), without overflow.
  if (score === 'sqrtsoftplus') return logits.map((z) => Math.sqrt(Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)))));
  const scores = logits.slice();
  for (let start = 0; start < scores.length; start += experts) softmax(scores.subarray(start, start + experts));
  return scores;
}

/** [T x E] what experts are ranked by, groups aside: scores with the correction bias. */
export function selectionScores(fn: RoutingFunction, scores: Float64Array, correctionBias: Float64Array | null): Float64Array {
  if (!fn.selectionBias || correctionBias === null) return scores;
  return scores.map((s, i) => s + correctionBias[i % correctionBias.length]!);
}

/** [groups] by which the groups of one token are ranked; null where there are none. @param ranks [E] */
export function groupScores({ groups }: RoutingFunction, ranks: Float64Array): Float64Array | null {
  if (groups === null) return null;
  const size = ranks.length / groups.count;
  const best = new Int32Array(Math.min(groups.by === 'max' ? 1 : 2, size));
  return Float64Array.from({ length: groups.count }, (_, g) => {
    const group = ranks.subarray(g * size, (g + 1) * size);
    topK(group, best);
    return best.reduce((sum, e) => sum + group[e]!, 0);
  });
}

/**
 * The ranks of one token's experts, -Infinity for those outside the groups that are kept. @param ranks [E]
 */
export function withinGroups(fn: RoutingFunction, ranks: Float64Array): Float64Array {
  const scores = groupScores(fn, ranks);
  if (scores === null) return ranks;
  const kept = new Int32Array(fn.groups!.kept);
  topK(scores, kept);
  const size = ranks.length / scores.length;
  return ranks.map((rank, e) => (kept.includes(Math.floor(e / size)) ? rank : Number.NEGATIVE_INFINITY));
}

/** Writes the indices of the largest values, largest first. Insertion into a short list: k is far below E. */
export function topK(values: Float64Array, into: Int32Array): void {
  let filled = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (filled === into.length && !beats(value, values[into[filled - 1]!]!)) continue;
    let at = filled < into.length ? filled++ : filled - 1;
    for (; at > 0 && beats(value, values[into[at - 1]!]!); at--) into[at] = into[at - 1]!;
    into[at] = i;
  }
}

function beats(a: number, b: number): boolean {
  return a > b || (Number.isNaN(b) && !Number.isNaN(a));
}

function weigh({ renormalise, epsilon, scaling }: RoutingFunction, scores: Float64Array, chosen: Int32Array, weights: Float64Array): void {
  chosen.forEach((e, i) => {
    weights[i] = scores[e]!;
  });
  const divisor = renormalise ? weights.reduce((sum, w) => sum + w, 0) + epsilon : 1;
  weights.forEach((w, i) => {
    weights[i] = (w / divisor) * scaling;
  });
}

/**
 * SparseMixer at inference (arXiv:2409.12136; Liu et al., "GRIN: GRadient-INformed MoE", section 2.2): the
 * experts are the two of the largest logits; each one's weight is a softmax over the logits not chosen before
 * it that lie within 2·jitter of its own, relative to the larger of both.
 */
function sparseMixer(logits: Float64Array, chosen: Int32Array, weights: Float64Array, jitter: number): void {
  chosen.forEach((e, i) => {
    const top = logits[e]!;
    let sum = 0;
    logits.forEach((z, other) => {
      if (chosen.subarray(0, i).includes(other)) return;
      if ((top - z) / Math.max(Math.abs(z), top) <= 2 * jitter) sum += Math.exp(z - top);
    });
    weights[i] = 1 / sum;
  });
}

function softmax(x: Float64Array): void {
  const max = x.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i] = Math.exp(x[i]! - max);
  for (let i = 0; i < x.length; i++) x[i]! /= sum;
}
