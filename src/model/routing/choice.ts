import { MergeError } from '../../base/errors.ts';
import { linear } from '../../base/numbers/matrix.ts';
import { choose, groupScores, scoresOf, selectionScores, topK, withinGroups } from './route.ts';
import type { Estimate, LayerChoice, Load, MemberChoice, RouterInputs, RouterWeights, RoutingFunction } from './types.ts';

/** What a router makes of the inputs. */
export interface RouterLogits {
  /** [T x E], with the learned bias where there is one. */
  readonly logits: Float64Array;
  /** [E] */
  readonly correctionBias: Float64Array | null;
}

/**
 * Logits of a router for all inputs: T·E·H multiplications, about 1.8 thousand million a second of one core.
 */
export function routerLogits({ data, tokens, width }: RouterInputs, { rows, logitBias, correctionBias }: RouterWeights): RouterLogits {
  const experts = rows.length / width;
  const logits = linear(data, tokens, { rows: experts, columns: width, data: rows });
  if (logitBias !== null) for (let i = 0; i < logits.length; i++) logits[i]! += logitBias[i % experts]!;
  return { logits, correctionBias };
}

/**
 * What a router averaged with `weights` would give: logits are linear in the router, so that they average as
 * its weights do (but for the rounding of the averaged router to its dtype). Biases are averaged alike.
 */
export function averagedLogits(members: readonly RouterLogits[], weights: ArrayLike<number>): RouterLogits {
  const sum = (arrays: readonly Float64Array[]) => {
    const out = new Float64Array(arrays[0]!.length);
    for (const [m, array] of arrays.entries()) for (let i = 0; i < out.length; i++) out[i]! += weights[m]! * array[i]!;
    return out;
  };
  const biases = members.map((m) => m.correctionBias).filter((bias) => bias !== null);
  return { logits: sum(members.map((m) => m.logits)), correctionBias: biases.length === members.length ? sum(biases) : null };
}

/**
 * Whether the averaged router of one layer chooses the experts that each member's router chooses, on the same
 * inputs.
 *
 * @param experts E @param members their logits on these inputs, by {@link routerLogits} @param weights one a
 *   member, of the average
 * @throws MergeError E_CONFIG_TENSORS where the groups that the configuration names do not divide the experts
 */
export function layerChoice(
  fn: RoutingFunction,
  layer: number,
  experts: number,
  inputs: Pick<RouterInputs, 'tokens' | 'synthetic'>,
  members: readonly RouterLogits[],
  weights: ArrayLike<number>,
): LayerChoice {
  const { tokens, synthetic } = inputs;
  if (fn.groups !== null && experts % fn.groups.count !== 0) {
    const message = `config.json names ${fn.groups.count} groups of experts, into which the ${experts} of layer ${layer} cannot be divided`;
    throw new MergeError('E_CONFIG_TENSORS', message);
  }
  const averaged = look(fn, averagedLogits(members, weights), experts);
  return {
    layer,
    tokens,
    synthetic,
    members: members.map((member) => compare(fn, averaged, look(fn, member, experts), experts, synthetic)),
    load: synthetic ? null : loadOf(averaged.chosen, experts),
  };
}

/** A router's view of the inputs. */
interface View {
  /** [T x k], best first. */
  readonly chosen: Int32Array;
  /** [T x E] */
  readonly scores: Float64Array;
  /** [T x E] what experts are ranked by, groups aside. */
  readonly ranks: Float64Array;
}

function look(fn: RoutingFunction, { logits, correctionBias }: RouterLogits, experts: number): View {
  const scores = scoresOf(fn, logits, experts);
  const ranks = selectionScores(fn, scores, correctionBias);
  return { chosen: choose(fn, ranks, experts), scores, ranks };
}

function compare(fn: RoutingFunction, averaged: View, member: View, experts: number, synthetic: boolean): MemberChoice {
  const k = Math.min(fn.topK, experts);
  const tokens = member.chosen.length / k;
  const overlap = new Float64Array(tokens);
  const top1 = new Float64Array(tokens);
  const mass = new Float64Array(tokens);
  let flippable = 0;
  for (let t = 0; t < tokens; t++) {
    const own = member.chosen.subarray(t * k, (t + 1) * k);
    const other = averaged.chosen.subarray(t * k, (t + 1) * k);
    const scores = averaged.scores.subarray(t * experts, (t + 1) * experts);
    let total = 0;
    for (const s of scores) total += s;
    let common = 0;
    for (const e of own) {
      if (other.includes(e)) common++;
      mass[t]! += scores[e]! / total;
    }
    overlap[t] = common / k;
    top1[t] = own[0] === other[0] ? 1 : 0;
    const row = (ranks: Float64Array) => ranks.subarray(t * experts, (t + 1) * experts);
    if (canFlip(fn, row(member.ranks), row(averaged.ranks))) flippable++;
  }
  return {
    overlap: estimate(overlap),
    top1: estimate(top1),
    mass: estimate(mass),
    flippable: flippable / tokens,
    load: synthetic ? null : loadOf(member.chosen, experts),
  };
}

/**
 * Whether changes as large as the largest of this token's could change the choice: exchange the last expert
 * chosen and the first that was not, or two groups.
 * @param before [E] ranks of the experts @param after what became of them
 */
function canFlip(fn: RoutingFunction, before: Float64Array, after: Float64Array): boolean {
  let change = 0;
  for (let e = 0; e < before.length; e++) change = Math.max(change, Math.abs(after[e]! - before[e]!));
  const groups = groupScores(fn, before);
  // A group's score is one expert's, or the sum of two.
  const ofGroup = fn.groups?.by === 'max' ? change : 2 * change;
  return lead(withinGroups(fn, before), fn.topK) < 2 * change || (groups !== null && lead(groups, fn.groups!.kept) < 2 * ofGroup);
}

/** By how much the k-th largest value leads the next. */
function lead(values: Float64Array, k: number): number {
  if (k >= values.length) return Number.POSITIVE_INFINITY;
  const best = new Int32Array(k + 1);
  topK(values, best);
  return values[best[k - 1]!]! - values[best[k]!]!;
}

/** How a choice spreads over experts. @param chosen [T x k] */
export function loadOf(chosen: Int32Array, experts: number): Load {
  const counts = new Float64Array(experts);
  for (const e of chosen) counts[e]!++;
  const shares = counts.map((count) => count / chosen.length);
  const entropy = shares.reduce((sum, p) => (p > 0 ? sum - p * Math.log(p) : sum), 0);
  return {
    maxOverMean: shares.reduce((a, b) => Math.max(a, b)) * experts,
    entropy: experts === 1 ? 1 : entropy / Math.log(experts),
    dead: counts.filter((count) => count === 0).length,
  };
}

/** Tokens of one text are not independent of each other, so that a true error may be larger. */
function estimate(values: Float64Array): Estimate {
  const n = values.length;
  const mean = values.reduce((sum, v) => sum + v, 0) / n;
  const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  return { mean, standardError: n > 1 ? Math.sqrt(squares / (n - 1) / n) : 0 };
}
