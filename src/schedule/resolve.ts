import { MergeError, type Warning } from '../errors.ts';
import { DEFAULT_ALPHA, SCHEDULES, scheduleByName } from './registry.ts';
import type { ResolvedWeights, WeightRequest } from './types.ts';

/** Sums closer to 1 than this count as 1, everywhere. */
export const WEIGHT_SUM_TOLERANCE = 1e-9;

/**
 * The effective float64 weights of `count` members. Named schedules are used exactly as their formula gives them and never renormalised; explicit
 * weights as given (negative and extrapolating allowed), with a warning when they do not sum to 1.
 *
 * @throws MergeError E_OPTION for an unknown method, α outside (0, 1] or contradicting options; E_WEIGHTS for a wrong number of weights, a weight
 *   that is not finite, all zero, or a sum of 0 with `normalize`.
 */
export function resolveWeights(count: number, request: WeightRequest): ResolvedWeights {
  if (request.weights !== undefined) return explicitWeights(count, request.weights, request);
  const name = request.method ?? 'sma';
  const schedule = scheduleByName(name);
  if (schedule === undefined) {
    throw new MergeError('E_OPTION', `there is no method "${name}"`, {
      help: `The methods are ${SCHEDULES.map((s) => s.name).join(', ')}.`,
    });
  }
  const usesAlpha = schedule.parameters.includes('alpha');
  if (request.alpha !== undefined && !usesAlpha) {
    throw new MergeError('E_OPTION', `alpha has no meaning for method ${name}`, { help: 'Leave it out, or use --method ema.' });
  }
  if (request.normalize) {
    throw new MergeError('E_OPTION', `normalize is for explicit weights; ${name} is used exactly as its formula gives it`, {
      help: 'Leave out --normalize.',
    });
  }
  const alpha = request.alpha ?? DEFAULT_ALPHA;
  if (!(alpha > 0 && alpha <= 1)) throw new MergeError('E_OPTION', `alpha must be in (0, 1], not ${alpha}`);
  const weights = schedule.weights(count, { alpha });
  const warnings: Warning[] = [];
  if (schedule.ordered && weights[0]! > weights[count - 1]! + WEIGHT_SUM_TOLERANCE) {
    warnings.push({
      code: 'W_OLDEST_HEAVIEST',
      message: `${name} gives the oldest member ${weights[0]} and the newest ${weights[count - 1]}: with alpha = ${alpha} and ${count} members the seed of the recursion dominates`,
    });
  }
  return { method: name, parameters: usesAlpha ? { alpha } : {}, normalized: false, weights, sum: sum(weights), notes: [], warnings };
}

function explicitWeights(count: number, given: readonly number[], request: WeightRequest): ResolvedWeights {
  if (request.method !== undefined || request.alpha !== undefined) {
    throw new MergeError('E_OPTION', 'explicit weights and a method cannot be used together', { help: 'Give one or the other.' });
  }
  if (given.length !== count)
    throw new MergeError('E_WEIGHTS', `${given.length} weights for ${count} inputs`, { help: 'Give one weight per input.' });
  for (const [i, w] of given.entries()) {
    if (!Number.isFinite(w)) throw new MergeError('E_WEIGHTS', `weight ${i + 1} is ${w}; weights must be finite numbers`);
  }
  if (given.every((w) => w === 0))
    throw new MergeError('E_WEIGHTS', 'all weights are zero', { help: 'Give at least one member a weight.' });
  let weights = Float64Array.from(given);
  if (request.normalize) {
    const total = sum(weights);
    weights = weights.map((w) => w / total);
    if (!weights.every(Number.isFinite)) {
      throw new MergeError('E_WEIGHTS', `the weights sum to ${total}, so they cannot be normalized`, { help: 'Leave out --normalize.' });
    }
  }
  const total = sum(weights);
  const warnings: Warning[] = [];
  if (Math.abs(total - 1) > WEIGHT_SUM_TOLERANCE) {
    warnings.push({
      code: 'W_WEIGHT_SUM',
      message: `the weights sum to ${total}, not 1; they are used as given (--normalize divides by the sum)`,
    });
  }
  return { method: 'weights', parameters: {}, normalized: request.normalize === true, weights, sum: total, notes: [], warnings };
}

function sum(weights: Float64Array): number {
  return weights.reduce((a, b) => a + b, 0);
}
