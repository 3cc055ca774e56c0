import { worded } from '../../base/option-words.ts';
import { inRange } from '../../recipe/schedule/parameters.ts';
import { formatNumber } from '../../render/numbers.ts';
import { hasEffect, isScheduleParameter, parameterOf, type ScheduleParameterName } from '../space/schedule-parameters.ts';
import type { Params, ParamValue, Space, SpaceParameter } from '../space/types.ts';
import type { OnBound } from './types.ts';

/** Share of a real axis that counts as its end: closer than any sampler tells apart. */
const END = 0.01;

/**
 * Parameters whose best value lies on a bound of the space, so that a better one may lie beyond it, each with
 * what to do. Where nothing lies beyond (a window of all checkpoints, none left out, a λ of 1 but for
 * extrapolation) the text says what that means instead.
 *
 * @param params of the best recipe; null for one outside the space
 */
export function boundsOf(space: Pick<Space, 'name' | 'axes' | 'parameters' | 'members' | 'encode'>, params: Params | null): OnBound[] {
  const point = params === null ? null : space.encode(params);
  if (params === null || point === null) return [];
  return space.parameters.flatMap((parameter, i): OnBound[] => {
    const axis = space.axes[i]!;
    // Words have no order, and two values no inside.
    if (axis.kind === 'choice' || (axis.kind === 'levels' && axis.count < 3)) return [];
    const end = axis.kind === 'real' ? END : 0;
    const side = point[i]! <= end ? 'low' : point[i]! >= 1 - end ? 'high' : null;
    if (side === null) return [];
    if (!hasEffect(parameter.name, params)) return [];
    const advice = adviceOf(space, parameter, side);
    return advice === null
      ? []
      : [{ parameter: parameter.name, side, text: `${stands(parameter, params[parameter.name]!, side)}: ${advice}` }];
  });
}

function stands({ name, values, low, high }: SpaceParameter, value: ParamValue, side: OnBound['side']): string {
  const bound = side === 'low' ? (low ?? values![0]!) : (high ?? values!.at(-1)!);
  const shown = typeof value === 'number' ? formatNumber(value, 3) : value;
  const end = `the ${side === 'low' ? 'smallest' : 'largest'} that was searched`;
  if (value === bound) return `${name} = ${shown} is ${end}`;
  return `${name} = ${shown} lies next to ${end} (${typeof bound === 'number' ? formatNumber(bound, 3) : bound})`;
}

/** What to do about it; null where nothing needs to be said. */
function adviceOf(space: Pick<Space, 'name' | 'members'>, parameter: SpaceParameter, side: OnBound['side']): string | null {
  const name = parameter.name.slice(parameter.name.lastIndexOf('.') + 1);
  if (space.name === 'weights') return 'the best leans on few of the checkpoints; search again without those that weigh next to nothing.';
  if (name === 'lambda') return side === 'high' ? BEYOND_NEWEST : lambdaAdvice(parameter.low!);
  if (space.name !== 'schedule' || !isScheduleParameter(name)) return null;
  return scheduleAdvice(name, parameter, side, space.members.length);
}

const BEYOND_NEWEST =
  'the newer checkpoint alone. What lies beyond it is extrapolation (`merge average --method extrapolate`), which this search does not try.';

function lambdaAdvice(alpha: number): string {
  if (alpha === 0) return 'the older checkpoint alone, so that the newer one adds nothing. Look at what happened between the two.';
  return worded`search again with --alpha ${Math.max(0, Math.round((alpha - 0.2) * 10) / 10)}.`;
}

function scheduleAdvice(
  name: ScheduleParameterName,
  { kind, low, high, values }: SpaceParameter,
  side: OnBound['side'],
  members: number,
): string | null {
  if (name === 'window' && side === 'high' && (high ?? Number(values!.at(-1))) >= members) {
    return `all ${members} checkpoints of the search. Give it older ones as well.`;
  }
  if (name === 'window' && side === 'low' && (low ?? values![0]) === 1)
    return 'a single checkpoint. Merging more of this run does not help.';
  const bound = side === 'low' ? (low ?? Number(values![0])) : (high ?? Number(values!.at(-1)));
  const { range = {}, kind: natural } = parameterOf(name);
  const step = natural === 'integer' ? 1 : Number.EPSILON * Math.max(1, Math.abs(bound));
  // Beyond a natural limit (no checkpoint left out, every one taken, an alpha of 1) there is nothing to widen
  // to.
  if (!inRange(side === 'low' ? bound - step : bound + step, range)) return null;
  if (kind === 'choice') return `add ${side === 'low' ? 'smaller' : 'larger'} values to its list.`;
  return `search again with ${side === 'low' ? 'a smaller `from`' : 'a larger `to`'}.`;
}
