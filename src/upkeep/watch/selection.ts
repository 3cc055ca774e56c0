import { MergeError } from '../../base/errors.ts';
import { comparePositions, countsAnew } from '../../checkpoints/run/position.ts';
import type { Quantity, Run, RunCheckpoint } from '../../checkpoints/run/types.ts';
import { selectMembers } from '../../recipe/select/select.ts';
import type { Selected } from '../../recipe/select/types.ts';
import type { WatchOptions } from './types.ts';

/** Members of a window. */
const WATCHED_WINDOW = 10;
/** A merge of one is a copy. */
const LEAST_MEMBERS = 2;

/** The window that ends at a checkpoint, or why there is none. */
export type Window =
  | { readonly selected: Selected }
  /** `isYoung`: the run has too few checkpoints yet. */
  | { readonly reason: string; readonly isYoung: boolean };

/** How many members the windows of a watch have, smallest first. */
export function windowSizes({ windows, select }: Pick<WatchOptions, 'windows' | 'select'>): readonly number[] {
  return windows === undefined ? [select?.last ?? WATCHED_WINDOW] : [...windows].sort((a, b) => a - b);
}

/**
 * Selects the window of so many members that ends at a checkpoint of the run.
 * @throws MergeError where the selection cannot be made in any run like this one (exit code 2): no tokens for
 *   a spacing in tokens
 */
export function windowAt({ select = {} }: WatchOptions, run: Run, end: string, last: number): Window {
  const { minMembers, ...selection } = select;
  const least = Math.min(minMembers ?? LEAST_MEMBERS, last);
  const index = run.checkpoints.findIndex(({ name }) => name === end);
  let selected: Selected;
  try {
    // What is newer than the window is another window's.
    const broken = run.broken.filter((lost) => comparePositions(lost, run.checkpoints[index]!) < 0);
    // A window of a young run is short, and that is no fault.
    const checkpoints = run.checkpoints.slice(0, index + 1);
    selected = selectMembers([{ ...run, checkpoints, broken }], { ...selection, last }, { exact: false });
  } catch (error) {
    if (!(error instanceof MergeError) || error.exitCode === 2) throw error;
    return { reason: error.message, isYoung: false };
  }
  const { members } = selected;
  if (members.at(-1)?.name !== end) return { reason: 'the selection leaves it out', isYoung: false };
  if (members.length < least) return { reason: `its window has ${members.length} of at least ${least} members`, isYoung: true };
  return { selected };
}

/**
 * Index of the first checkpoint that a window of now or later may need: everything before the window of the
 * oldest one that still needs a round (else of the newest) can go, once that window is full.
 */
export function firstNeeded(options: WatchOptions, run: Run, needsRound: (name: string) => boolean): number {
  const { checkpoints } = run;
  const next = checkpoints.findIndex(({ name }) => needsRound(name));
  const end = next < 0 ? checkpoints.length - 1 : next;
  if (end < 0 || options.accumulate !== undefined) return Math.max(end, 0);
  const last = windowSizes(options).at(-1)!;
  const window = windowAt(options, run, checkpoints[end]!.name, last);
  if ('reason' in window || window.selected.members.length < last) return 0;
  const oldest = window.selected.members[0]!.name;
  return checkpoints.findIndex(({ name }) => name === oldest);
}

/** How far apart two checkpoints are in the unit of a quantity; null where one has no such position. */
export function distance(
  older: Pick<RunCheckpoint, 'step' | 'tokens'>,
  newer: Pick<RunCheckpoint, 'epoch' | 'step' | 'tokens'>,
  { unit }: Pick<Quantity, 'unit'>,
  checkpoints: number,
): number | null {
  if (unit === 'checkpoints') return checkpoints;
  const key = unit === 'tokens' ? 'tokens' : 'step';
  const [from, to] = [older[key], newer[key]];
  return from === null || to === null || (key === 'step' && countsAnew(newer)) ? null : to - from;
}
