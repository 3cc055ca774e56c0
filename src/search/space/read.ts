import { MergeError } from '../../base/errors.ts';
import { readYamlText } from '../../recipe/file/read.ts';
import type { ScheduleContext, ScheduleMember } from '../../recipe/schedule/types.ts';
import type { Space } from './types.ts';

/**
 * Reads a file that describes a search space: YAML 1.2, of which JSON is a part.
 *
 * @param members the pool, oldest first
 * @throws MergeError E_SPACE with every problem in `details.conflicts`, each with line, column and the line
 *   itself; E_NOT_FOUND, E_NOT_READABLE
 */
export async function readSpace(path: string, members: readonly ScheduleMember[], context: ScheduleContext = {}): Promise<Space> {
  const text = await readYamlText(path, (what) => notSpace(path, what));
  const { parseSpace } = await import('./parse.ts');
  return parseSpace(path, text, members, context);
}

function notSpace(path: string, what: string): MergeError {
  return new MergeError('E_SPACE', `${path} ${what}, so it describes no search space`, {
    details: { file: path },
    help: 'A search space is a YAML file with `space` and `parameters`: see docs/search.md. Without one: --space schedule.',
  });
}
