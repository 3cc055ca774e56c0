import type { Problem } from '../../base/problems.ts';
import type { ScheduleContext, ScheduleMember } from '../../recipe/schedule/types.ts';
import { pairwise } from './pairwise.ts';
import { refuseSpace } from './problems.ts';
import type { SpaceRequest } from './request.ts';
import { scheduleSpace } from './schedule.ts';
import type { Space } from './types.ts';
import { weightsSpace } from './weights.ts';

/**
 * The space that is asked for over a pool of checkpoints.
 *
 * @param members the pool, oldest first
 * @param refuse what becomes of the problems of the request, when there are any: E_SPACE where nothing else
 *   is said
 * @throws MergeError E_SPACE; for a schedule also what `scheduleSpace` throws
 */
export async function spaceOf(
  request: SpaceRequest,
  members: readonly ScheduleMember[],
  context: ScheduleContext = {},
  refuse: (problems: readonly Problem[]) => void = refuseSpace,
): Promise<Space> {
  // The schema library takes longer to load than all the rest of the command.
  const { spaceProblems } = await import('./check.ts');
  refuse(spaceProblems(request, members.length, { inFile: refuse !== refuseSpace }));
  const { space, alpha, separate, ...schedule } = request;
  if (space === 'pairwise') return pairwise(members, { alpha, separate });
  if (space === 'weights') return weightsSpace(members, { separate });
  return scheduleSpace(members, Object.keys(schedule).length === 0 ? undefined : schedule, context);
}
