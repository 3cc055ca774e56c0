import type { ScheduleContext, ScheduleMember } from '../schedule/types.ts';
import { pairwise } from './pairwise.ts';
import { refuseSpace, type SpaceProblem } from './problems.ts';
import { scheduleSpace } from './schedule.ts';
import type { ScheduleRequest } from './schedule-parameters.ts';
import type { Space } from './types.ts';
import { weightsSpace } from './weights.ts';

/** Spaces that can be asked for by name alone. */
export const SPACE_NAMES = ['pairwise', 'weights', 'schedule'] as const;

/** A search space as a file or a program asks for it. Of a schedule that says nothing of its parameters, those of `defaultSchedule` are searched. */
export interface SpaceRequest extends ScheduleRequest {
  readonly space: (typeof SPACE_NAMES)[number];
  /** pairwise: least weight of the newer checkpoint, in [0, 1); 0.5 when absent. */
  readonly alpha?: number | undefined;
  /** pairwise, weights: roles or groups of roles, as in policies, with weights of their own. */
  readonly separate?: readonly string[] | undefined;
}

/**
 * The space that is asked for over a pool of checkpoints.
 *
 * @param members the pool, oldest first
 * @param refuse what becomes of the problems of the request, when there are any: E_SPACE where nothing else is said
 * @throws MergeError E_SPACE; for a schedule also what `scheduleSpace` throws
 */
export async function spaceOf(
  request: SpaceRequest,
  members: readonly ScheduleMember[],
  context: ScheduleContext = {},
  refuse: (problems: readonly SpaceProblem[]) => void = refuseSpace,
): Promise<Space> {
  // The schema library takes longer to load than all the rest of the command.
  const { requestProblems } = await import('./check.ts');
  refuse(requestProblems(request, members.length));
  const { space, alpha, separate, ...schedule } = request;
  if (space === 'pairwise') return pairwise(members, { alpha, separate });
  if (space === 'weights') return weightsSpace(members, { separate });
  return scheduleSpace(members, Object.keys(schedule).length === 0 ? undefined : schedule, context);
}
