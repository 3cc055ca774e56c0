import { MergeError, type Warning } from '../../base/errors.ts';
import { worded } from '../../base/option-words.ts';
import { refuse } from '../../base/problems.ts';
import { directionOf } from '../../checkpoints/results/goal.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import type { Branch, ForecastPoint } from './types.ts';

/** A decay that was really trained: the step at which it left the run, and the score that it ended with. */
export interface BranchScore {
  readonly step: number;
  readonly score: number;
}

/** What real decays say of how much of their gain a merge shows. */
export interface Recovery {
  readonly branches: readonly Branch[];
  /** Mean of (merged - single) / (decayed - single) over the branches. */
  readonly mean: number;
  /** Standard deviation of the fractions; null for one branch, of which no spread can be seen. */
  readonly spread: number | null;
  readonly warnings: readonly Warning[];
}

type Window = Pick<ForecastPoint, 'step' | 'single' | 'merged'>;
type Stepped = { readonly step: number };
type ScoredWindow = Stepped & { readonly single: number; readonly merged: number };

/**
 * Above this a merge would be far better than training to the end: the branch belongs to another step or
 * another metric.
 */
const LARGEST_FRACTION = 1.5;

const BRANCH = /^(\d+)=([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?)$/i;

/** `--calibrate STEP=SCORE`. @throws MergeError E_CALIBRATE */
export function parseBranch(text: string): BranchScore {
  const match = BRANCH.exec(text.trim());
  const [step, score] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || !Number.isSafeInteger(step) || !Number.isFinite(score)) {
    throw new MergeError('E_CALIBRATE', worded`--calibrate ${JSON.stringify(text)} is not STEP=SCORE`, {
      help: 'Name the step at which the decay left the run and the score that it ended with, as 6000=1.142.',
    });
  }
  return { step, score };
}

/**
 * How much of a real decay's gain the merge shows, (merged - single) / (decayed - single), at the step of
 * each branch. A step that is not among the points is compared with the nearest one, at most one spacing of
 * the points away, and a warning says so.
 *
 * @param points windows along the run; those without a step or a score take no part
 * @throws MergeError E_CALIBRATE with all that is wrong: no point near a branch, a branch or a merge that is
 *   no better than the checkpoint alone (the fraction would have no meaning), a fraction of 1.5 or more,
 *   branches that disagree by more than their mean
 */
export function recoveredFraction(branches: readonly BranchScore[], points: readonly Window[], goal: Goal): Recovery {
  const windows = points.filter(isScored).sort((a, b) => a.step - b.step);
  const problems: string[] = [];
  const warnings: Warning[] = [];
  const found: Branch[] = [];
  for (const branch of branches) {
    const result = recoveredAt(branch, windows, goal);
    if (typeof result === 'string') problems.push(result);
    else {
      found.push({ ...branch, recovered: result.recovered });
      warnings.push(...result.warnings);
    }
  }
  if (branches.length === 0) problems.push('there is no branch to calibrate with');
  refuseUncalibrated(problems);
  const mean = found.reduce((sum, { recovered }) => sum + recovered, 0) / found.length;
  const spread =
    found.length === 1 ? null : Math.sqrt(found.reduce((sum, { recovered }) => sum + (recovered - mean) ** 2, 0) / (found.length - 1));
  if (spread !== null && spread >= mean) {
    const listed = found.map(({ step, recovered }) => `${recovered.toFixed(2)} at step ${step}`).join(', ');
    refuseUncalibrated([`the branches do not agree on a fraction: ${listed}`]);
  }
  return { branches: found, mean, spread, warnings };
}

/**
 * What a decay from this point would score, single + (merged - single) / fraction, were its fraction that of
 * the branches; `low` and `high` are for fractions one standard deviation above and below their mean, and
 * equal to `score` for a single branch, which has no band.
 *
 * @returns null where a score is missing, or where the merge is no better than the checkpoint alone: a
 *   fraction of nothing says nothing
 */
export function decayed(
  point: Window,
  { mean, spread }: Pick<Recovery, 'mean' | 'spread'>,
  goal: Goal,
): NonNullable<ForecastPoint['decayed']> | null {
  const { single, merged } = point;
  if (single === null || merged === null || !directionOf(goal).better(merged, single)) return null;
  const at = (fraction: number) => single + (merged - single) / fraction;
  const ends = [at(mean + (spread ?? 0)), at(mean - (spread ?? 0))] as const;
  return { score: at(mean), low: Math.min(...ends), high: Math.max(...ends) };
}

/**
 * Refuses decays that left the run nowhere near a window, before anything is scored.
 * @param ends steps of the checkpoints at which windows end, oldest first; null where unknown
 * @throws MergeError E_CALIBRATE
 */
export function checkBranches(branches: readonly BranchScore[], ends: readonly (number | null)[]): void {
  const windows = ends.flatMap((step) => (step === null ? [] : [{ step }]));
  refuseUncalibrated(branches.flatMap(({ step }) => farFrom(step, windows) ?? []));
}

/** Why a decay from this step cannot be compared with any of the windows, null where it can. */
function farFrom(step: number, windows: readonly Stepped[]): string | null {
  if (windows.length === 0) return `step ${step}: no window of the run ends at a known step`;
  const nearest = nearestTo(step, windows);
  if (Math.abs(nearest.step - step) <= spacing(windows)) return null;
  return `step ${step}: windows end at steps ${windows[0]!.step} to ${windows.at(-1)!.step}, the nearest at ${nearest.step}`;
}

function nearestTo<T extends Stepped>(step: number, windows: readonly T[]): T {
  return windows.reduce((best, window) => (Math.abs(window.step - step) < Math.abs(best.step - step) ? window : best));
}

/** The fraction at one branch, or what is wrong with it. */
function recoveredAt(
  branch: BranchScore,
  windows: readonly ScoredWindow[],
  goal: Goal,
): { recovered: number; warnings: Warning[] } | string {
  const { step, score } = branch;
  if (windows.length === 0) return `step ${step}: no window of the run has both scores`;
  const nearest = nearestTo(step, windows);
  const { single, merged } = nearest;
  const far = farFrom(step, windows);
  if (far !== null) return far;
  if (!directionOf(goal).better(score, single)) {
    return `step ${step}: the decay scores ${score}, no better than the checkpoint alone (${single}) where the goal is to ${goal}`;
  }
  if (!directionOf(goal).better(merged, single))
    return `step ${step}: the merge scores ${merged}, no better than the checkpoint alone (${single})`;
  const recovered = (merged - single) / (score - single);
  if (recovered >= LARGEST_FRACTION) {
    return `step ${step}: the merge (${merged}) would have ${recovered.toFixed(2)} times the gain of the decay (${score}) over the checkpoint alone (${single})`;
  }
  const warnings: Warning[] = [];
  if (nearest.step !== step) {
    warnings.push({
      code: 'W_CALIBRATION',
      message: `the decay from step ${step} is compared with the window that ends at step ${nearest.step}`,
    });
  }
  if (recovered > 1) {
    warnings.push({
      code: 'W_CALIBRATION',
      message: `the merge at step ${nearest.step} scores better than the decay itself (${merged} against ${score})`,
    });
  }
  return { recovered, warnings };
}

/** Median distance between neighbours; 0 for a single window. */
function spacing(windows: readonly Stepped[]): number {
  const gaps = windows.slice(1).map(({ step }, i) => step - windows[i]!.step);
  gaps.sort((a, b) => a - b);
  return gaps[Math.floor(gaps.length / 2)] ?? 0;
}

function isScored(point: Window): point is ScoredWindow {
  return point.step !== null && point.single !== null && point.merged !== null;
}

function refuseUncalibrated(problems: readonly string[]): void {
  refuse(problems, { code: 'E_CALIBRATE', lead: 'no recovered fraction: ', several: (count) => `${count} things are wrong` });
}
