import { shareLost } from '../../base/numbers/elementary.ts';
import { PARAMETERS } from '../../recipe/schedule/parameters.ts';
import { resolveWeights } from '../../recipe/schedule/resolve.ts';
import type { DecayName, ScheduleContext, ScheduleMember, ScheduleName, WeightRequest } from '../../recipe/schedule/types.ts';
import { parameterOf, SCHEDULE_PARAMETER_NAMES, type Settings } from './schedule-parameters.ts';

/** How many members there are to take from a pool. */
export function available(pool: number, { skip = 0, spacing = 1 }: Settings): number {
  return Math.max(0, Math.floor((pool - Number(skip) - 1) / Number(spacing)) + 1);
}

/**
 * The weights of a schedule over a pool of checkpoints, 0 for those that take no part: to the last bit those
 * of `merge average` for the members that `window`, `spacing` and `skip` choose. Where there are fewer
 * members than the window asks for, it is all there are, as with --last.
 *
 * @param pool oldest first
 * @param settings that have been checked; those of other methods are passed over
 * @throws MergeError as {@link resolveWeights} does
 */
export async function scheduleWeights(
  pool: readonly ScheduleMember[],
  settings: Settings,
  context: ScheduleContext,
): Promise<readonly number[]> {
  const there = available(pool.length, settings);
  const method = (settings.method ?? 'sma') as ScheduleName;
  const lag = method === 'extrapolate' ? Number(settings.lag ?? PARAMETERS.lag.default) : 0;
  const window = Math.max(1, Math.min(Number(settings.window ?? there), there - lag));
  const { skip = 0, spacing = 1 } = settings;
  const chosen = Array.from(
    { length: Math.min(there, window + lag) },
    (_, i) => pool.length - 1 - Number(skip) - i * Number(spacing),
  ).reverse();
  const request = { method, ...ownParameters(method, settings), ...(method === 'extrapolate' ? { window, lag } : {}) };
  const { weights } = await resolveWeights(
    chosen.map((index) => pool[index]!),
    request,
    context,
  );
  const row = new Array<number>(pool.length).fill(0);
  for (const [i, index] of chosen.entries()) row[index] = weights[i]!;
  return row;
}

function ownParameters(method: ScheduleName, settings: Settings): WeightRequest {
  const own = Object.fromEntries(
    SCHEDULE_PARAMETER_NAMES.flatMap((name) => (parameterOf(name).methods.includes(method) ? [[name, settings[name]]] : [])),
  ) as Settings;
  const { alpha, 'half-life': halfLife, 'half-life-fraction': halfLifeFraction, origin, decay, 'decay-floor': floor, gamma } = own;
  return {
    // The same share for every member: a half-life as schedules take it is of whole checkpoints.
    ...(halfLife === undefined ? {} : { alpha: shareLost(1 / Number(halfLife)) }),
    ...(halfLifeFraction === undefined ? {} : { halfLifeFraction: Number(halfLifeFraction) }),
    ...(halfLifeFraction === undefined || origin === undefined ? {} : { origin }),
    ...(alpha === undefined ? {} : { alpha: Number(alpha) }),
    ...(decay === undefined ? {} : { decay: decay as DecayName }),
    ...(floor === undefined ? {} : { decayFloor: Number(floor) }),
    ...(gamma === undefined ? {} : { gamma: Number(gamma) }),
  };
}
