import { cosPi } from '../../base/numbers/elementary.ts';
import { aboutQuantity } from '../../checkpoints/run/quantity.ts';
import { memberLabel, type Positions, spacing } from './positions.ts';
import type { DecayName, ScheduleMember } from './types.ts';

/** Decay shapes f(u): the factor of the learning rate when the share u in [0, 1] of the decay is over. */
export const DECAYS: Readonly<Record<DecayName, (u: number) => number>> = {
  linear: (u) => 1 - u,
  cosine: (u) => (1 + cosPi(u)) / 2,
  '1-sqrt': (u) => 1 - Math.sqrt(u),
  'minus-sqrt': (u) => 1 - Math.sqrt(u),
};

/**
 * Merge weights that a decay stands for: with updates g_1 … g_k between the members, Σ c_j·M_j = M_0 − Σ
 * w_i·g_i for c_k = w_k, c_j = w_j − w_{j+1}, c_0 = 1 − w_1. All c_j ≥ 0 and their sum is 1 where 1 ≥ w_1 ≥ …
 * ≥ w_k ≥ 0. Source: WSM, arXiv 2507.17634, theorem 3.1.
 *
 * @param factors w_1 … w_k, one a member after the oldest
 */
export function decayWeights(factors: readonly number[]): Float64Array {
  const w = [1, ...factors, 0];
  return Float64Array.from({ length: factors.length + 1 }, (_, j) => w[j]! - w[j + 1]!);
}

/** What a reader of the plan should know of weights that come from a decay. */
export function decayNotes(members: readonly ScheduleMember[], weights: Float64Array, positions: Positions | null): string[] {
  const notes: string[] = [];
  if (positions !== null && members.length > 2) {
    const { gaps, largest, even } = spacing(positions);
    const before = gaps.indexOf(largest);
    if (!even) {
      const hole = aboutQuantity({ value: largest, unit: positions.unit });
      notes.push(
        `the checkpoint before a hole carries the hole: ${memberLabel(members[before]!)} weighs ${short(weights[before]!)}, the next is ${hole} later`,
      );
    }
  }
  const heaviest = Math.max(...weights);
  if (members.length > 1 && weights[0] === heaviest && weights.some((w, i) => i > 0 && w < heaviest - 1e-9)) {
    notes.push(`the oldest member (${memberLabel(members[0]!)}) weighs most, ${short(heaviest)}: the decay falls most at its beginning`);
  }
  return notes;
}

function short(weight: number): string {
  return String(Number(weight.toPrecision(3)));
}
