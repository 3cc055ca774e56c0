import type { Warning } from '../../../base/errors.ts';
import { MergeError } from '../../../base/errors.ts';
import { omit } from '../../../base/pick.ts';
import type { Goal } from '../../../checkpoints/results/types.ts';
import { parseDistance } from '../../../checkpoints/run/quantity.ts';
import { difference } from '../../../search/conclusion/difference.ts';
import { type BranchScore, decayed, recoveredFraction } from '../../../search/forecast/calibrate.ts';
import { type PlacedArm, recipesOfGrid, windowText } from '../../../search/grid/conclude.ts';
import type { StoredStudy } from '../../../search/study/read.ts';
import { asTrial, type StudyIdentity, spentOn, type TrialLine } from '../../../search/study/trials-file.ts';
import type { ScoredMerge, ScoredModel, WatchedEndpoint, WatchScores, WindowCalibration } from './types.ts';

export interface WatchScoresInput {
  readonly identity: StudyIdentity;
  readonly goal: Goal;
  readonly trials: readonly TrialLine[];
  readonly calibrate?: readonly BranchScore[] | undefined;
  /** Whether a conclusion is drawn: not from a moment at which somebody looks. */
  readonly isOver: boolean;
  readonly warnings?: readonly Warning[];
}

/** An arm with the trial that scored it. */
interface TriedArm {
  readonly arm: PlacedArm;
  readonly trial: TrialLine;
}

/** What the scores of a watch come to: a function of its trials. */
export function watchScores({ identity, goal, trials, calibrate = [], isOver, warnings = [] }: WatchScoresInput): WatchScores {
  const tried = triedArms(identity, trials);
  const steps = [...new Set(tried.map(({ arm }) => arm.endpoint))].sort((a, b) => a - b);
  const endpoints = steps.map((step): WatchedEndpoint => {
    const here = tried.filter(({ arm }) => arm.endpoint === step);
    const single = here.find(({ arm }) => arm.kind === 'newest') ?? null;
    const merges = here.filter(({ arm }) => arm.kind === 'output').map((merge) => scoredMerge(merge, single, goal));
    const tokens = here.find(({ arm }) => arm.tokens !== null)?.arm.tokens ?? null;
    return {
      step,
      tokens,
      logged: single?.arm.logged ?? {},
      single: single === null ? null : scoredModel(single),
      merges: merges.sort(bySize),
    };
  });
  const recipes = [...new Set(endpoints.flatMap(({ merges }) => merges.map(({ recipe }) => recipe)))];
  const calibration = calibrate.length === 0 ? [] : recipes.map((recipe) => calibrated(recipe, endpoints, calibrate, goal));
  return {
    schema: 'ckpt-merge/watch-scores',
    version: 1,
    run: identity.inputs[0]!,
    evaluator: identity.evaluator,
    metric: identity.metrics.length === 0 ? null : identity.metrics.join(' '),
    goal,
    endpoints: endpoints.map((endpoint) => ({
      ...endpoint,
      merges: endpoint.merges.map((merge) => forecast(merge, endpoint, calibration, goal)),
    })),
    calibration,
    // Without a checkpoint alone there is nothing to compare with.
    conclusion:
      isOver && endpoints.some(({ single }) => single?.score != null)
        ? recipesOfGrid(
            tried.map(({ arm }) => arm),
            goal,
          )
        : null,
    trials: trials.toSorted((a, b) => a.id - b.id).map(asTrial),
    ...spentOn(trials),
    warnings,
  };
}

/** What the trials of a watch say that is over, or is taken for over: with the conclusion. */
export function storedWatchScores({ identity, trials, goal }: Pick<StoredStudy, 'identity' | 'trials' | 'goal'>): WatchScores {
  return watchScores({ identity, trials, goal, isOver: true });
}

/** Of each model its trial: one that has a score, else the last; of a name that came again the last model. */
function triedArms({ scored = [] }: StudyIdentity, trials: readonly TrialLine[]): readonly TriedArm[] {
  const byRecipe = new Map<string, TrialLine>();
  for (const trial of trials) if (trial.score !== null || byRecipe.get(trial.recipe)?.score == null) byRecipe.set(trial.recipe, trial);
  const byName = new Map<string, TriedArm>();
  for (const arm of scored) {
    const trial = byRecipe.get(arm.recipe);
    if (trial === undefined) continue;
    const { score, stderr, items, weights } = trial;
    byName.set(arm.is[0]!.name, { trial, arm: { ...arm, score: score === null ? null : { score, stderr, items }, weights } });
  }
  return [...byName.values()];
}

function scoredModel({ arm, trial: { id, score, stderr, reason } }: TriedArm): ScoredModel {
  return { name: arm.is[0]!.name, trial: id, score, stderr, reason };
}

function scoredMerge(merge: TriedArm, single: TriedArm | null, goal: Goal): ScoredMerge {
  const { arm } = merge;
  const [first] = arm.is;
  const over = arm.score === null || single?.arm.score == null ? null : difference(arm.score, single.arm.score, goal);
  return { ...scoredModel(merge), recipe: first!.recipe, window: windowText(first!), members: arm.weights.length, over, decayed: null };
}

function bySize(a: ScoredMerge, b: ScoredMerge): number {
  const sizeOf = ({ window }: ScoredMerge) => (window === null ? 0 : parseDistance(window, 'window').value);
  return sizeOf(a) - sizeOf(b) || a.name.localeCompare(b.name);
}

/** Score of the merge of one recipe, beside the checkpoint alone, along the run. */
function pointsOf(recipe: string, endpoints: readonly WatchedEndpoint[]) {
  return endpoints.map(({ step, single, merges }) => ({
    step,
    single: single?.score ?? null,
    merged: merges.find((merge) => merge.recipe === recipe)?.score ?? null,
  }));
}

function calibrated(
  recipe: string,
  endpoints: readonly WatchedEndpoint[],
  branches: readonly BranchScore[],
  goal: Goal,
): WindowCalibration {
  try {
    return { recipe, recovered: omit(recoveredFraction(branches, pointsOf(recipe, endpoints), goal), ['warnings']), problem: null };
  } catch (error) {
    if (!(error instanceof MergeError) || error.code !== 'E_CALIBRATE') throw error;
    return { recipe, recovered: null, problem: error.message };
  }
}

function forecast(
  merge: ScoredMerge,
  { step, single }: WatchedEndpoint,
  calibration: readonly WindowCalibration[],
  goal: Goal,
): ScoredMerge {
  const recovered = calibration.find(({ recipe }) => recipe === merge.recipe)?.recovered ?? null;
  if (recovered === null) return merge;
  return { ...merge, decayed: decayed({ step, single: single?.score ?? null, merged: merge.score }, recovered, goal) };
}
