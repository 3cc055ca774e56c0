import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import type { Survey } from '../../merge/grid/types.ts';
import { locate } from '../../merge/output/destination.ts';
import { refuseInsideInputs } from '../study/session.ts';
import type { ResolvedScores } from './options.ts';

/**
 * Refuses to keep scores in a save of the run, be it a member or not, in a merge of the grid, and as the run itself.
 * @throws MergeError E_OUTPUT_OVERLAPS_INPUT
 */
export async function refusePlaces(options: ResolvedScores['options'], { run, arms }: Pick<Survey, 'run' | 'arms'>): Promise<void> {
  const all = [...run.checkpoints, ...run.broken, ...arms].map(({ path }) => ({ checkpoint: { path, kind: 'folder' as const } }));
  await refuseInsideInputs(options, { all });
  const { path } = await locate(options.dir);
  if (path !== (await SYSTEM.fs.realpath(run.path).catch(() => run.path))) return;
  throw new MergeError('E_OUTPUT_OVERLAPS_INPUT', `the folder for the trials, ${options.dir}, is the run itself`, {
    details: { file: options.dir },
    help: 'Name a folder beside the run.',
  });
}
