import { MergeError } from '../../base/errors.ts';
import { PARAMETERS } from './parameters.ts';
import { unevenWarnings } from './positions.ts';
import type { ScheduleMember, Weighing, WeightRequest } from './types.ts';

/**
 * Beyond the newest mean, along the line from an older mean to it: (1 + γ)·SMA_n(t) − γ·SMA_n(t − L) as one
 * row of weights. SMA_n(t) is the mean of the newest n members, SMA_n(t − L) that of the n members L places
 * before. n = 1, L = 1 is M_N + γ(M_N − M_{N−1}). Source: Extra-Merge, arXiv 2605.26484, extrapolates merged
 * checkpoints along a trajectory; its step rule was not available to us, so this natural form is ours.
 *
 * @param count number of members, at least window + lag; older ones get weight 0
 */
function extrapolate(count: number, gamma: number, window: number, lag: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => {
    const back = count - 1 - i;
    const newer = back < window ? 1 + gamma : 0;
    const older = back >= lag && back < window + lag ? gamma : 0;
    return (newer - older) / window;
  });
}

export function weighByExtrapolation(members: readonly ScheduleMember[], request: WeightRequest): Weighing {
  const gamma = request.gamma!;
  const { window = PARAMETERS.window.default, lag = PARAMETERS.lag.default } = request;
  const needed = window + lag;
  if (members.length < needed) {
    throw new MergeError(
      'E_WEIGHTS',
      `extrapolate with window ${window} and lag ${lag} needs ${needed} members, and there are ${members.length}`,
      {
        help: 'Select more checkpoints, or make the window or the lag smaller.',
      },
    );
  }
  const idle = members.length - needed;
  return {
    weights: extrapolate(members.length, gamma, window, lag),
    parameters: { gamma, window, lag },
    notes:
      idle === 0
        ? []
        : [`the oldest ${idle} of ${members.length} members take no part: window ${window} and lag ${lag} reach back ${needed}`],
    warnings: unevenWarnings(members.slice(idle), 'extrapolate'),
  };
}
