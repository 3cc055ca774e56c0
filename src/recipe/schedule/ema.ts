import type { Warning } from '../../base/errors.ts';
import { shareLost } from '../../base/numbers/elementary.ts';
import { optionName } from '../../base/option-words.ts';
import { formatQuantity, parseQuantity } from '../../checkpoints/run/quantity.ts';
import { PARAMETERS } from './parameters.ts';
import { memberLabel, positionsIn, unevenWarnings } from './positions.ts';
import type { ScheduleMember, Weighing, WeightRequest } from './types.ts';

/**
 * Exponential moving average by the recursion M_avg(i) = α_i·M_i + (1 − α_i)·M_avg(i−1), seeded with the
 * oldest member. α multiplies the NEW member. The weights are the recursion's own float64 values: start with
 * [1], for each newer member multiply all by (1 − α_i) and append α_i. Source: PMA, arXiv 2505.12082,
 * equation 4 (one α for all); the paper leaves M_avg(1) unsaid, M_1 is the natural reading. The oldest weighs
 * (1 − α)^(N−1), which for small α and N is the largest weight of all: {@link oldestWarnings} says so.
 *
 * @param alphas of the members after the oldest, each in [0, 1]
 */
export function ema(alphas: readonly number[]): Float64Array {
  const weights = new Float64Array(alphas.length + 1);
  weights[0] = 1;
  for (const [i, alpha] of alphas.entries()) {
    for (let j = 0; j <= i; j++) weights[j]! *= 1 - alpha;
    weights[i + 1] = alpha;
  }
  return weights;
}

/**
 * α_i = 1 − 2^(−(T_i − T_{i−1})/H) for each member after the oldest: an old member loses half its weight over
 * every distance H, whatever lies between.
 *
 * @param positions T_i, rising
 * @param halfLife H, over 0, in the unit of the positions
 */
function halfLifeAlphas(positions: readonly number[], halfLife: number): number[] {
  return positions.slice(1).map((t, i) => shareLost((t - positions[i]!) / halfLife));
}

export function weighByEma(members: readonly ScheduleMember[], request: WeightRequest): Weighing {
  if (request.halfLife !== undefined) {
    const halfLife = parseQuantity(request.halfLife, optionName('halfLife'));
    const { at } = positionsIn(halfLife.unit, members, `a half-life in ${halfLife.unit}`);
    const weights = ema(halfLifeAlphas(at, halfLife.value));
    const text = formatQuantity(halfLife);
    return { weights, parameters: { halfLife: text }, warnings: oldestWarnings(members, weights, `ema with a half-life of ${text}`) };
  }
  const alpha = request.alpha ?? PARAMETERS.alpha.default;
  const weights = ema(new Array<number>(members.length - 1).fill(alpha));
  const warnings = [...unevenWarnings(members, 'ema with alpha'), ...oldestWarnings(members, weights, `ema with alpha = ${alpha}`)];
  return { weights, parameters: { alpha }, warnings };
}

/** Times the newest's weight from which on the oldest's is more than what the start of a recursion leaves to few members. */
const MUCH = 2;

function oldestWarnings(members: readonly ScheduleMember[], weights: Float64Array, what: string): Warning[] {
  const [oldest, newest] = [weights[0]!, weights.at(-1)!];
  if (oldest <= MUCH * newest) return [];
  const message = `${what} gives the oldest of ${members.length} members (${memberLabel(members[0]!)}) ${oldest.toPrecision(3)} and the newest ${newest.toPrecision(3)}: the recursion starts with the oldest; the method ema-normalized does not`;
  return [{ code: 'W_OLDEST_HEAVIEST', message }];
}
