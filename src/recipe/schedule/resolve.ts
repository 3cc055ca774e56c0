import { MergeError, type Warning } from '../../base/errors.ts';
import { splitMix64 } from '../../base/numbers/random.ts';
import { optionName } from '../../base/option-words.ts';
import { refuse } from '../../base/problems.ts';
import { weightProblems } from './check.ts';
import { methodByName } from './methods.ts';
import { parameterLabel } from './parameters.ts';
import type { ParameterValue, ResolvedWeights, ScheduleContext, ScheduleMember, Weighing, WeightRequest } from './types.ts';

/** Sums closer to 1 than this count as 1, everywhere. */
const WEIGHT_SUM_TOLERANCE = 1e-9;

/**
 * The effective float64 weights of members (oldest first, at least one). Named schedules are used exactly as
 * their formula gives them and never renormalised; explicit weights as given, see {@link weighAsGiven}. Reads
 * the files that the request names, nothing else.
 *
 * @throws MergeError E_OPTION for what {@link weightProblems} finds, all of it in `details.conflicts`;
 *   E_WEIGHTS for weights that do not fit the members or too few members; E_ORDER for siblings, members at
 *   one position or positions that do not rise, E_NO_POSITION for unknown ones, where the schedule depends on
 *   them; E_DECAY, E_NOT_FOUND, E_NOT_READABLE for a list of factors or a curve.
 */
export async function resolveWeights(
  members: readonly ScheduleMember[],
  request: WeightRequest,
  context: ScheduleContext = {},
): Promise<ResolvedWeights> {
  refuse(weightProblems(request), { several: (count) => `${count} things are wrong with the weights asked for` });
  const weighing = await weigh(members, request, context);
  const { reverse, scramble: seed } = request;
  const parameters: Record<string, ParameterValue> = {};
  const decided = { ...weighing.parameters, ...(reverse ? { reverse } : {}), ...(seed === undefined ? {} : { scramble: seed }) };
  for (const [name, value] of Object.entries(decided)) parameters[parameterLabel(name)] = value;
  const control = reverse ? 'in reverse order' : seed === undefined ? null : `in an order that seed ${seed} decides`;
  const weights = reverse ? weighing.weights.toReversed() : seed === undefined ? weighing.weights : scramble(weighing.weights, seed);
  const said = weighing.warnings ?? [];
  // What a schedule says of its members' weights is about other members in a control experiment.
  const warnings = control === null ? [...said] : said.filter((w) => w.code !== 'W_OLDEST_HEAVIEST');
  if (control !== null && members.length > 1 && weights.every((weight, i) => weight === weighing.weights[i])) {
    const given = optionName(reverse ? 'reverse' : 'scramble');
    const message = `${given} changes nothing: the weights of the ${members.length} members are the same ${control}`;
    warnings.push({ code: 'W_NO_EFFECT', message });
  }
  return {
    method: request.weights === undefined ? (request.method ?? 'sma') : 'weights',
    parameters,
    normalized: request.normalize === true,
    weights,
    sum: sumOf(weights),
    notes: control === null ? (weighing.notes ?? []) : [`control experiment: the weights are ${control}`],
    warnings,
  };
}

function weigh(members: readonly ScheduleMember[], request: WeightRequest, context: ScheduleContext): Weighing | Promise<Weighing> {
  if (request.weights !== undefined) return weighAsGiven(members.length, request.weights, request);
  const schedule = methodByName(request.method ?? 'sma')!;
  if (schedule.needs.positions !== undefined && members.length > 1) {
    if (context.siblings) {
      throw new MergeError(
        'E_ORDER',
        `${schedule.name} depends on the order of the members, and these are siblings: none is older than another`,
        {
          help: 'Use sma or explicit weights.',
        },
      );
    }
    checkDistinct(members, schedule.name);
  }
  return schedule.weigh(members, request, context);
}

function checkDistinct(members: readonly ScheduleMember[], method: string): void {
  for (const [i, b] of members.entries()) {
    const a = members[i - 1];
    if (a === undefined || a.step === null || a.step !== b.step || a.epoch !== b.epoch || a.tokens !== b.tokens) continue;
    throw new MergeError('E_ORDER', `${a.path} and ${b.path} are both step ${a.step}, and ${method} depends on the order`, {
      details: { file: b.path },
    });
  }
}

/**
 * Explicit weights, used as given (negative and extrapolating allowed) or, with `normalize`, divided by their
 * sum; a warning when they do not sum to 1.
 *
 * @throws MergeError E_WEIGHTS for a wrong number of weights, a weight that is not finite, all zero, or a sum
 *   of 0 with `normalize`
 */
function weighAsGiven(count: number, given: readonly number[], { normalize }: WeightRequest): Weighing {
  if (given.length !== count)
    throw new MergeError('E_WEIGHTS', `${given.length} weights for ${count} inputs`, { help: 'Give one weight per input.' });
  for (const [i, w] of given.entries()) {
    if (!Number.isFinite(w)) throw new MergeError('E_WEIGHTS', `weight ${i + 1} is ${w}; weights must be finite numbers`);
  }
  if (given.every((w) => w === 0))
    throw new MergeError('E_WEIGHTS', 'all weights are zero', { help: 'Give at least one member a weight.' });
  let weights = Float64Array.from(given);
  if (normalize) {
    const total = sumOf(weights);
    weights = weights.map((w) => w / total);
    if (!weights.every(Number.isFinite)) {
      throw new MergeError('E_WEIGHTS', `the weights sum to ${total}, so they cannot be normalized`, { help: 'Leave out --normalize.' });
    }
  }
  const total = sumOf(weights);
  if (Math.abs(total - 1) <= WEIGHT_SUM_TOLERANCE) return { weights };
  const message = `the weights sum to ${total}, not 1; they are used as given (${optionName('normalize')} divides by the sum)`;
  const warnings: Warning[] = [{ code: 'W_WEIGHT_SUM', message }];
  return { weights, warnings };
}

function sumOf(weights: Float64Array): number {
  return weights.reduce((a, b) => a + b, 0);
}

/**
 * Weights in an order that a seed decides, for control experiments: Fisher–Yates from the last place down,
 * place i changed with place ⌊r mod (i + 1)⌋, r the numbers of SplitMix64 (Steele, Lea and Flood, OOPSLA
 * 2014) started at the seed. The order is the same for ever.
 *
 * @param seed integer from 0 to 2^53 − 1
 */
export function scramble(weights: Float64Array, seed: number): Float64Array {
  const next = splitMix64(seed);
  const scrambled = weights.slice();
  for (let i = scrambled.length - 1; i > 0; i--) {
    const j = Number(next() % BigInt(i + 1));
    [scrambled[i], scrambled[j]] = [scrambled[j]!, scrambled[i]!];
  }
  return scrambled;
}
