import { MergeError, type Warning } from '../../base/errors.ts';
import { logOfRatio, shareLost } from '../../base/numbers/elementary.ts';
import { optionName } from '../../base/option-words.ts';
import { formatQuantity, parseQuantity } from '../../checkpoints/run/quantity.ts';
import type { Quantity } from '../../checkpoints/run/types.ts';
import { PARAMETERS } from './parameters.ts';
import { measure, memberLabel, type Positions, positionsIn, unevenWarnings } from './positions.ts';
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

/**
 * α_i = 1 − (T_{i−1}/T_i)^κ with κ = ln 2 / f, which is 1 − 2^(−ln(T_i/T_{i−1}) / f), for each member after
 * the oldest: what lies between two members is averaged as if the training had been, with the factor
 * 2^(−1/(f·t)) for the average at update t, in the limit of many updates. The weights that come of it are
 * (T_i/T_N)^κ − (T_{i−1}/T_N)^κ and, of the oldest, (T_1/T_N)^κ. Source: arXiv 2602.03702 for the average in
 * training; Karras et al., arXiv 2312.02696, for the power law.
 *
 * @param positions T_i since the beginning of the training, over 0, rising
 * @param fraction f, over 0
 */
function powerLawAlphas(positions: readonly number[], fraction: number): number[] {
  return positions.slice(1).map((t, i) => shareLost(logOfRatio(positions[i]!, t) / fraction));
}

export function weighByEma(members: readonly ScheduleMember[], request: WeightRequest): Weighing {
  if (request.halfLife !== undefined) {
    const halfLife = parseQuantity(request.halfLife, optionName('halfLife'));
    const { at } = positionsIn(halfLife.unit, members, `a half-life in ${halfLife.unit}`);
    const weights = ema(halfLifeAlphas(at, halfLife.value));
    const text = formatQuantity(halfLife);
    return { weights, parameters: { halfLife: text }, warnings: oldestWarnings(members, weights, `ema with a half-life of ${text}`) };
  }
  if (request.halfLifeFraction !== undefined) return weighByPowerLaw(members, request.halfLifeFraction, request);
  const alpha = request.alpha ?? PARAMETERS.alpha.default;
  const weights = ema(new Array<number>(members.length - 1).fill(alpha));
  const warnings = [...unevenWarnings(members, 'ema with alpha'), ...oldestWarnings(members, weights, `ema with alpha = ${alpha}`)];
  return { weights, parameters: { alpha }, warnings };
}

/** Weight of the oldest member from which on it stands for much of the training that no member shows. */
const MUCH_BEFORE = 0.1;

function weighByPowerLaw(members: readonly ScheduleMember[], fraction: number, { origin: given }: WeightRequest): Weighing {
  const origin = parseQuantity(given ?? PARAMETERS.origin.default, optionName('origin'));
  const { unit, at } = since(members, origin);
  const weights = ema(powerLawAlphas(at, fraction));
  const parameters = { halfLifeFraction: fraction, ...(given === undefined ? {} : { origin: formatQuantity({ ...origin, unit }) }) };
  if (members.length === 1) return { weights, parameters };
  const [oldest, share] = [memberLabel(members[0]!), `${Number((100 * weights[0]!).toPrecision(3))} %`];
  const left = `the oldest member (${oldest}) stands for all of the training up to it, and keeps (T_1/T_N)^(ln 2/${fraction}) = ${share}`;
  if (weights[0]! <= MUCH_BEFORE) return { weights, parameters, notes: [left] };
  const message = `${left}: an average of this kind goes back further than the members do; take older ones, or a smaller ${optionName('halfLifeFraction')}`;
  return { weights, parameters, warnings: [{ code: 'W_WINDOW_SHORT', message }] };
}

/**
 * Positions since the beginning of the training: in its unit, where it is not 0, else in the best that there is.
 * @throws MergeError E_NO_POSITION where there is none, E_ORDER where they do not rise, E_OPTION where a member
 *   does not lie after the beginning
 */
function since(members: readonly ScheduleMember[], origin: Quantity): Positions {
  const fallback = members.every(({ tokens }) => tokens !== null) ? 'tokens' : 'steps';
  const wanted = origin.value === 0 ? fallback : origin.unit;
  const { at, unit } =
    (origin.value === 0 ? measure(members) : null) ?? positionsIn(wanted, members, 'a half-life that is a share of the training');
  const early = at.findIndex((t) => t <= origin.value);
  if (early < 0) return { unit, at: at.map((t) => t - origin.value) };
  const [label, where] = [memberLabel(members[early]!), formatQuantity({ value: origin.value, unit })];
  throw new MergeError(
    'E_OPTION',
    `the member ${label} does not lie after ${where}, where the training began: no share of it can be taken there`,
    {
      details: { file: members[early]!.path },
      help: `Leave it out, or say with ${optionName('origin')} at which step or token count the training began.`,
    },
  );
}

/** Times the newest's weight from which on the oldest's is more than what the start of a recursion leaves to few members. */
const MUCH = 2;

function oldestWarnings(members: readonly ScheduleMember[], weights: Float64Array, what: string): Warning[] {
  const [oldest, newest] = [weights[0]!, weights.at(-1)!];
  if (oldest <= MUCH * newest) return [];
  const message = `${what} gives the oldest of ${members.length} members (${memberLabel(members[0]!)}) ${oldest.toPrecision(3)} and the newest ${newest.toPrecision(3)}: the recursion starts with the oldest; the method ema-normalized does not`;
  return [{ code: 'W_OLDEST_HEAVIEST', message }];
}
