import { RecipeSource } from '../../recipe/file/source.ts';
import type { ScheduleContext, ScheduleMember } from '../../recipe/schedule/types.ts';
import type { SpaceRequest } from './request.ts';
import { spaceOf } from './spaces.ts';
import type { Space } from './types.ts';

/**
 * The text of a file as a search space.
 * @param file its path, for messages
 * @param members the pool, oldest first
 * @throws MergeError E_SPACE
 */
export async function parseSpace(
  file: string,
  text: string,
  members: readonly ScheduleMember[],
  context: ScheduleContext = {},
): Promise<Space> {
  const source = new RecipeSource(file, text, { noun: 'search space', code: 'E_SPACE' });
  if (source.data === undefined) source.refuse();
  return spaceOf(source.data as SpaceRequest, members, context, (problems) => {
    for (const problem of problems) source.complain(problem);
    source.refuse();
  });
}
