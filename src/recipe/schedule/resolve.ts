import { MergeError } from '../../base/errors.ts';
import { refuse } from '../../base/problems.ts';
import { requestProblems } from './check.ts';
import { scramble } from './control.ts';
import { sumOf, weighAsGiven } from './explicit.ts';
import { parameterLabel } from './parameters.ts';
import { scheduleByName } from './registry.ts';
import type { ParameterValue, ResolvedWeights, ScheduleContext, ScheduleMember, Weighing, WeightRequest } from './types.ts';

/**
 * The effective float64 weights of members (oldest first, at least one). Named schedules are used exactly as
 * their formula gives them and never renormalised; explicit weights as given, see {@link weighAsGiven}. Reads
 * the files that the request names, nothing else.
 *
 * @throws MergeError E_OPTION for what {@link requestProblems} finds, all of it in `details.conflicts`;
 *   E_WEIGHTS for weights that do not fit the members or too few members; E_ORDER for siblings, members at
 *   one position or positions that do not rise, E_NO_POSITION for unknown ones, where the schedule depends on
 *   them; E_DECAY, E_NOT_FOUND, E_NOT_READABLE for a list of factors or a curve.
 */
export async function resolveWeights(
  members: readonly ScheduleMember[],
  request: WeightRequest,
  context: ScheduleContext = {},
): Promise<ResolvedWeights> {
  refuse(requestProblems(request), { several: (count) => `${count} things are wrong with the weights asked for` });
  const weighing = await weigh(members, request, context);
  const { reverse, scramble: seed } = request;
  const parameters: Record<string, ParameterValue> = {};
  const decided = { ...weighing.parameters, ...(reverse ? { reverse } : {}), ...(seed === undefined ? {} : { scramble: seed }) };
  for (const [name, value] of Object.entries(decided)) parameters[parameterLabel(name)] = value;
  const control = reverse ? 'in reverse order' : seed === undefined ? null : `in an order that seed ${seed} decides`;
  const weights = reverse ? weighing.weights.toReversed() : seed === undefined ? weighing.weights : scramble(weighing.weights, seed);
  const warnings = weighing.warnings ?? [];
  return {
    method: request.weights === undefined ? (request.method ?? 'sma') : 'weights',
    parameters,
    normalized: request.normalize === true,
    weights,
    sum: sumOf(weights),
    // What a schedule says of its members' weights is about other members in a control experiment.
    notes: control === null ? (weighing.notes ?? []) : [`control experiment: the weights are ${control}`],
    warnings: control === null ? warnings : warnings.filter((w) => w.code !== 'W_OLDEST_HEAVIEST'),
  };
}

function weigh(members: readonly ScheduleMember[], request: WeightRequest, context: ScheduleContext): Weighing | Promise<Weighing> {
  if (request.weights !== undefined) return weighAsGiven(members.length, request.weights, request);
  const schedule = scheduleByName(request.method ?? 'sma')!;
  if (schedule.ordered && members.length > 1) {
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
    if (a === undefined || a.step === null || a.step !== b.step || a.tokens !== b.tokens) continue;
    throw new MergeError('E_ORDER', `${a.path} and ${b.path} are both step ${a.step}, and ${method} depends on the order`, {
      details: { file: b.path },
    });
  }
}
