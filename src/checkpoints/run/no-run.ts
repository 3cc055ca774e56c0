import { basename, dirname, resolve } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { snapshotHelp } from '../not-a-checkpoint.ts';
import type { Listing } from './candidates.ts';
import { mayBeSaving, NO_STEP } from './reasons.ts';
import type { Excluded } from './types.ts';

/**
 * What to do about checkpoints that cannot be used. Of several that are not there in full at most one is
 * being saved.
 */
function mendHelp(excluded: readonly Excluded[]): string {
  const saving = excluded.filter(({ reason }) => mayBeSaving(reason)).length;
  return saving === 1 ? 'Wait for its save to end, or mend what is named' : 'Mend what is named';
}

/** What to do where checkpoints are named after a pattern that is not known: `llama-step20`, `epoch_3`. */
function unknownNames(path: string, excluded: readonly Excluded[]): string {
  const names = excluded.map((left) => basename(left.path)).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const first = names.slice(0, 2).map((name) => `${path}/${name}`);
  return `Name the checkpoints one by one, oldest first (${first.join(' ')}${names.length > 2 ? ' …' : ''}), or give them names such as checkpoint-100.`;
}

/**
 * Why there is no run here: what was found instead, and where one may be.
 * @param runs folders in it that are runs
 */
export function noRun(
  path: string,
  { isCheckpoint, names, snapshots }: Listing,
  excluded: readonly Excluded[],
  runs: readonly string[],
): MergeError {
  const fail = (problem: string, help?: string) =>
    new MergeError('E_NO_RUN', `${path}: ${problem}`, { details: { file: path, excluded, runs }, ...(help !== undefined && { help }) });
  const unnamed = excluded.every(({ step }) => step === null);
  if (snapshots !== null && unnamed) {
    const said = excluded.map((left) => `\n  ${basename(left.path)}: ${left.reason}`).slice(0, 5);
    return fail(
      `is a model's folder in the Hub's cache, and no revision in it is named by a step${said.join('')}`,
      snapshotHelp(snapshots),
    );
  }
  if (isCheckpoint && unnamed) {
    return fail('is a checkpoint itself, not the folder of a run', `Name the folder that holds its checkpoints: ${dirname(resolve(path))}`);
  }
  if (excluded.length > 0) {
    const reasons = [...new Set(excluded.map(({ reason }) => reason))];
    const shown = excluded.slice(0, 5).map((left) => `  ${basename(left.path)}: ${left.reason}`);
    const more = excluded.length > shown.length ? [`  and ${excluded.length - shown.length} more`] : [];
    const help =
      excluded.find((left) => left.help !== undefined)?.help ??
      (excluded.every(({ reason }) => reason === NO_STEP) ? unknownNames(path, excluded) : null) ??
      `${mendHelp(excluded)}; the folder to name is the one that holds the step folders.`;
    return reasons.length === 1
      ? fail(
          `none of its checkpoints can be used; ${excluded.length === 1 ? basename(excluded[0]!.path) : `all ${excluded.length}`}: ${reasons[0]}`,
          help,
        )
      : fail(`none of its ${excluded.length} checkpoints can be used:\n${[...shown, ...more].join('\n')}`, help);
  }
  const [run] = runs;
  if (run !== undefined && runs.length === 1) return fail('holds no checkpoints', `Its folder ${basename(run)} does: name ${run}`);
  if (run !== undefined) {
    const some = runs.slice(0, 5).map((one) => basename(one));
    return fail(
      `holds no checkpoints of its own, but ${runs.length} runs: ${some.join(', ')}${runs.length > 5 ? ' …' : ''}`,
      `Name one of them, as ${run}`,
    );
  }
  if (names.length === 0) return fail('the folder is empty');
  const listed = names.slice(0, 5).join(', ') + (names.length > 5 ? ` and ${names.length - 5} more` : '');
  return fail(`holds no folder or file that is named by a step; it holds ${listed}`);
}
