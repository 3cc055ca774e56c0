import { directionOf } from '../../checkpoints/results/goal.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import { NORMAL_95, normalCdf } from '../gaussian-process/normal.ts';
import { difference, pairedItems, type Scored } from './difference.ts';
import { fewItemsFactor } from './student.ts';
import type { Difference, Validation } from './types.ts';

/** Scores on a second set, of trials of the search; null where that evaluation failed. */
export interface ValidationScores {
  readonly command: string;
  readonly rows: readonly { readonly trial: number; readonly score: Scored | null }[];
}

/** A recipe in a validation: any of its trials may be the one that was scored again. */
export interface Validated extends Scored {
  /** Its trials' ids, the first one first. */
  readonly ids: readonly number[];
}

export interface ValidationResult {
  readonly validation: Validation;
  /** Index of the better baseline on the second set, in the list given. */
  readonly against: number;
  /**
   * 95 % interval of the gain on the second set, and the probability of being better than every baseline;
   * null where nothing is known of the error.
   */
  readonly interval: readonly [number, number] | null;
  readonly probability: number | null;
  /** Items by which the second set judges; null where it is unpaired. */
  readonly items: number | null;
  /** The error is that of the evaluator's noise alone: nothing is known of other items. */
  readonly onlyNoise: boolean;
  /**
   * Another recipe than the best and the baselines that scores better on the second set; null where there is
   * none.
   */
  readonly other: number | null;
  /**
   * How many recipes have the very same score on the second set, where there is no other one there; else
   * null.
   */
  readonly alike: number | null;
}

/** What is known of how two evaluations of one recipe differ, as standard deviations. */
export interface KnownNoise {
  readonly measured: number | null;
  readonly learned: number | null;
}

/**
 * The best recipe of the search against the better baseline on a second set. The best is the search's:
 * choosing among the re-scored by their scores here would be as optimistic as choosing by the first set. The
 * error is that of the paired or unpaired scores with the noise measured on repeats added; without either,
 * that of the noise of repeats alone; without these nothing is known of it.
 *
 * @param baselines at least one
 * @returns null where the best, or every baseline, has no score on the second set
 */
export function validate(
  scores: ValidationScores,
  best: Validated,
  baselines: readonly Validated[],
  goal: Goal,
  noise: KnownNoise,
): ValidationResult | null {
  const scoreOf = ({ ids }: Validated) => scores.rows.find(({ trial, score }) => score !== null && ids.includes(trial))?.score ?? null;
  const own = scoreOf(best);
  if (own === null) return null;
  const given = scores.rows.flatMap(({ score }) => (score === null ? [] : [score.score]));
  // Of equal scores the noise of another set says nothing.
  const alike = given.length > 1 && given.every((score) => score === own.score) ? given.length : null;
  const compared = baselines.flatMap((baseline, index) => {
    const score = scoreOf(baseline);
    if (score === null) return [];
    const { gain, error, paired } = difference(own, score, goal);
    const onlyNoise = error === null;
    // What a model learned of the noise is of the search's own set, and may be next to none where this one's
    // is large.
    const repeats = twice(noise.measured);
    const total = onlyNoise ? (alike === null ? repeats : null) : Math.hypot(error, repeats ?? 0);
    const wider = fewItemsFactor(pairedItems(own, score));
    return [{ index, score, onlyNoise, wider, difference: { gain, error: total, paired } satisfies Difference }];
  });
  if (compared.length === 0) return null;
  const worst = compared.reduce((least, other) => (other.difference.gain < least.difference.gain ? other : least));
  const { gain, error } = worst.difference;
  const items = pairedItems(own, worst.score);
  return {
    validation: {
      command: scores.command,
      rows: scores.rows.map(({ trial, score }) => ({ trial, score: score?.score ?? null, stderr: score?.stderr ?? null })),
      onValidation: worst.difference,
      onSearch: difference(best, baselines[worst.index]!, goal),
    },
    against: worst.index,
    interval: error === null || alike !== null ? null : [gain - NORMAL_95 * worst.wider * error, gain + NORMAL_95 * worst.wider * error],
    probability:
      alike !== null || compared.some((c) => c.difference.error === null)
        ? null
        : Math.min(...compared.map((c) => chance(c.difference, c.wider))),
    items: items === null ? null : items.reduce((sum, list) => sum + list.length, 0),
    onlyNoise: worst.onlyNoise,
    other: betterOther(scores, own, [best, ...baselines], goal),
    alike,
  };
}

/** That the true difference is positive, by a normal distribution as wide as few items make it. */
function chance({ gain, error }: Difference, wider: number): number {
  if (error === 0) return gain > 0 ? 1 : gain === 0 ? 0.5 : 0;
  return normalCdf(gain / (wider * error!));
}

/** Noise of the difference of two scores. */
function twice(std: number | null): number | null {
  return std === null ? null : Math.SQRT2 * std;
}

function betterOther(scores: ValidationScores, own: Scored, compared: readonly Validated[], goal: Goal): number | null {
  const { sign } = directionOf(goal);
  const known = compared.flatMap(({ ids }) => ids);
  const others = scores.rows.filter(({ trial, score }) => score !== null && !known.includes(trial) && sign * (score.score - own.score) > 0);
  return others.length === 0 ? null : others.reduce((a, b) => (sign * (b.score!.score - a.score!.score) > 0 ? b : a)).trial;
}
