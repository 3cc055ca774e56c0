import { formatStep } from '../../render/format.ts';
import { gainText } from '../optimise/words.ts';
import { scoreText } from '../study/words.ts';
import { shapeOf } from './conclude.ts';
import type { GridReference, GridScores, ScoredOutput } from './types.ts';

/** Words that the page of a grid's scores and its text in the terminal share. */

/** An output or reference in a table: its score, or why there is none. */
export function armScoreText({ score, stderr, trial }: Pick<ScoredOutput, 'score' | 'stderr' | 'trial'>): string {
  return score === null ? (trial === null ? 'not scored' : 'failed') : scoreText(score, stderr);
}

export function overText(difference: { readonly gain: number; readonly error: number | null } | null): string {
  return difference === null ? '–' : gainText(difference.gain, difference.error);
}

/** Where a window ends. */
export function endText({ axes }: Pick<ScoredOutput, 'axes'>): string {
  return `step ${formatStep(Number(axes.endpoint))}`;
}

/** What an output is beside its place and window: `wsm, decay linear, stride 2, reverse`. */
export function shapeText({ axes, name, control }: Pick<ScoredOutput, 'axes' | 'name' | 'control'>): string {
  const { stride = 1, reverse, scramble } = axes;
  return [
    shapeOf({ axes, name, control, recipe: '' }),
    ...(stride === 1 ? [] : [`stride ${stride}`]),
    ...(reverse ? ['reverse'] : []),
    ...(scramble === undefined ? [] : [`scramble ${scramble}`]),
  ].join(', ');
}

/** What `(earlier)` beside a place means. */
export const EARLIER = '(earlier): scored before, and no part of the grid as it is asked now';

/** Whether another pipeline scored it: nothing was spent here. */
export function wasGiven({ seconds, trials }: Pick<GridScores, 'seconds' | 'trials'>): boolean {
  return trials.length > 0 && seconds.merging === 0 && seconds.evaluating === 0;
}

/** A row of the table of scores: a window at an endpoint, with what it is compared with and each of its shapes. */
export interface WindowRow {
  readonly end: string;
  readonly endpoint: number;
  /** Nothing of it is asked for now. */
  readonly earlier: boolean;
  readonly window: string;
  readonly newest: GridReference | undefined;
  readonly mean: GridReference | undefined;
  /** By shape. */
  readonly outputs: ReadonlyMap<string, ScoredOutput>;
}

/** Scores by window, shape and endpoint, newest endpoint first. */
export function windowRows({ outputs, references }: Pick<GridScores, 'outputs' | 'references'>): readonly WindowRow[] {
  const rows = new Map<string, WindowRow & { readonly outputs: Map<string, ScoredOutput> }>();
  for (const output of outputs.toSorted((a, b) => Number(b.axes.endpoint) - Number(a.axes.endpoint))) {
    const [endpoint, window] = [Number(output.axes.endpoint), String(output.axes.window)];
    const key = `${endpoint} ${window}`;
    const beside = (kind: GridReference['kind']) =>
      references.find((one) => one.kind === kind && one.endpoint === endpoint && (one.window === null || one.window === window));
    const row = rows.get(key) ?? {
      end: endText(output),
      endpoint,
      earlier: true,
      window,
      newest: beside('newest'),
      mean: beside('mean'),
      outputs: new Map(),
    };
    row.outputs.set(shapeText(output), output);
    rows.set(key, { ...row, earlier: row.earlier && output.earlier === true });
  }
  return [...rows.values()];
}
