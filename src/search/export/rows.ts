import { shortDigest } from '../../base/short-digest.ts';
import { UNSAID } from '../../checkpoints/results/goal.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import { difference } from '../conclusion/difference.ts';
import type { Difference } from '../conclusion/types.ts';
import { type StoredTrials, type StudiedArm, storedGoal, type TrialLine } from '../study/trials-file.ts';
import { KIND_WORDS, paramsText } from '../study/words.ts';

/** A trial as logs and dashboards have it: one row, and nothing in it that another row would change but `gain`. */
export interface ScoreRow {
  /** Of the study: rows of two studies are told apart by it. */
  readonly study: string;
  readonly trial: number;
  /** As in `trials.jsonl`: `single`, `output`, `trial` … */
  readonly kind: string;
  /** Of a grid or a watch as these name it (`step6000-w5ckpt-sma`), else the parameters of the trial. */
  readonly name: string;
  /** What is the same along the run: `w5ckpt-sma`, `single`; of a search the kind of trial. */
  readonly series: string;
  /** Where along the run it ends; null where nothing says it. */
  readonly step: number | null;
  readonly tokens: number | null;
  readonly status: TrialLine['status'];
  readonly score: number | null;
  readonly stderr: number | null;
  /** How much better it is than the checkpoint alone at its end, positive is better, and the standard error of that. */
  readonly gain: number | null;
  readonly gainError: number | null;
  /** Every metric that the evaluator reported. */
  readonly metrics: Readonly<Record<string, number>>;
  readonly reason: string | null;
  /** Members by their own names, with their weights. */
  readonly weights: readonly { readonly name: string; readonly step: number | null; readonly weight: number }[];
  /** Of the evaluation, and of the merge. */
  readonly seconds: number;
  readonly mergeSeconds: number;
  readonly cost: number | null;
  /** ISO time at which it ended. */
  readonly time: string;
}

/** What a study is known by in logs: its first trial, which never changes. */
export function studyId({ identity, trials }: StoredTrials): string {
  const [first] = trials;
  return shortDigest(JSON.stringify([identity.kind, first?.id, first?.recipe, first?.time]));
}

/** A row for each trial, in the order in which they ended. */
export function scoreRows(stored: StoredTrials): readonly ScoreRow[] {
  const study = studyId(stored);
  const goal = storedGoal(stored) ?? UNSAID;
  const places = placesOf(stored);
  const singles = new Map<number, TrialLine>();
  for (const trial of stored.trials) {
    const { series, step } = places(trial);
    if (series === ALONE && step !== null && trial.score !== null) singles.set(step, trial);
  }
  return stored.trials.map((trial) => {
    const place = places(trial);
    const single = place.step === null ? undefined : singles.get(place.step);
    const gain = single === undefined ? null : gainOver(trial, single, place.series, goal);
    return { study, ...rowOf(trial, place), gain: gain?.gain ?? null, gainError: gain?.error ?? null };
  });
}

/** Series of the checkpoint alone. */
export const ALONE = 'single';

/** How much better a trial is than the checkpoint alone at its end; null where it is that, or has no score. */
export function gainOver(trial: TrialLine, single: TrialLine, series: string, goal: Goal): Difference | null {
  if (series === ALONE || trial.score === null || single.score === null) return null;
  const scored = ({ score, stderr, items }: TrialLine) => ({ score: score!, stderr, items });
  return difference(scored(trial), scored(single), goal);
}

export interface RowPlace {
  readonly name: string;
  readonly series: string;
  readonly step: number | null;
  readonly tokens: number | null;
}

/** Where along the run a trial stands, and in which series. */
export function placesOf({ identity }: StoredTrials): (trial: TrialLine) => RowPlace {
  const arms = new Map<string, StudiedArm[]>();
  for (const arm of identity.scored ?? []) arms.set(arm.recipe, [...(arms.get(arm.recipe) ?? []), arm]);
  const tokensOf = new Map(identity.members.map(({ step, tokens }) => [step, tokens]));
  const isAlong = identity.kind === 'grid' || identity.kind === 'watch' || identity.kind === 'forecast';
  return (trial) => {
    const own = arms.get(trial.recipe) ?? [];
    const arm = own.find(({ kind }) => kind === (trial.kind === 'single' ? 'newest' : trial.kind)) ?? own[0];
    if (arm !== undefined) {
      const [first] = arm.is;
      const series = arm.kind === 'newest' ? ALONE : arm.kind === 'mean' ? `mean-${first!.recipe}` : first!.recipe;
      return { name: first!.name, series, step: arm.endpoint, tokens: arm.tokens };
    }
    // Without arms: a search counts its trials, a forecast goes along the run.
    const last = trial.weights.reduce((a, b) => ((b.step ?? -1) > (a.step ?? -1) ? b : a), trial.weights[0]!);
    const params = paramsText(trial.params);
    const step = last.step;
    return {
      name: params === '' ? KIND_WORDS[trial.kind] : params,
      series: isAlong && trial.kind === 'single' ? ALONE : trial.kind,
      step,
      tokens: step === null ? null : (tokensOf.get(step) ?? null),
    };
  };
}

function rowOf(trial: TrialLine, place: RowPlace): Omit<ScoreRow, 'study' | 'gain' | 'gainError'> {
  const { id, kind, status, score, stderr, metrics, reason, weights, seconds, mergeSeconds, cost, time } = trial;
  return {
    trial: id,
    kind,
    ...place,
    status,
    score,
    stderr,
    metrics,
    reason,
    weights: weights.map(({ path, step, weight }) => ({ name: path.split('/').at(-1)!, step, weight })),
    ...{ seconds, mergeSeconds, cost, time },
  };
}
