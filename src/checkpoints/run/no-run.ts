import { basename, dirname, resolve } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import type { Listing } from './candidates.ts';
import type { Excluded } from './types.ts';

/**
 * Why there is no run here: what was found instead, and where one may be.
 * @param inner a folder in it that is a run, or null
 */
export function noRun(path: string, { isCheckpoint, names }: Listing, excluded: readonly Excluded[], inner: string | null): MergeError {
  const fail = (problem: string, help?: string) =>
    new MergeError('E_NO_RUN', `${path}: ${problem}`, { details: { file: path, excluded }, ...(help !== undefined && { help }) });
  if (excluded.length > 0) {
    const reasons = [...new Set(excluded.map(({ reason }) => reason))];
    const shown = excluded.slice(0, 5).map((left) => `  ${basename(left.path)}: ${left.reason}`);
    const more = excluded.length > shown.length ? [`  and ${excluded.length - shown.length} more`] : [];
    const help = 'Wait for a save to end, or mend what is named; the folder to name is the one that holds the step folders.';
    return reasons.length === 1
      ? fail(
          `none of its checkpoints can be used; ${excluded.length === 1 ? basename(excluded[0]!.path) : `all ${excluded.length}`}: ${reasons[0]}`,
          help,
        )
      : fail(`none of its ${excluded.length} checkpoints can be used:\n${[...shown, ...more].join('\n')}`, help);
  }
  if (isCheckpoint)
    return fail('is a checkpoint itself, not the folder of a run', `Name the folder that holds its checkpoints: ${dirname(resolve(path))}`);
  if (inner !== null) return fail('holds no checkpoints', `Its folder ${basename(inner)} does: name ${inner}`);
  if (names.length === 0) return fail('the folder is empty');
  const listed = names.slice(0, 5).join(', ') + (names.length > 5 ? ` and ${names.length - 5} more` : '');
  return fail(`holds no folder or file that is named by a step; it holds ${listed}`);
}
