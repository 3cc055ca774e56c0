import { directionOf } from '../../checkpoints/results/goal.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import type { Axis, Point } from '../gaussian-process/cube.ts';
import type { Prediction } from '../gaussian-process/posterior.ts';
import type { Params } from '../space/types.ts';
import type { ScoredTrial } from '../study/types.ts';
import { allEqual, noDifferences } from './alike.ts';
import { spaceBeliefs, spreadBeliefs } from './beliefs.ts';
import { boundedRecipes } from './bounded.ts';
import { type NoiseKind, repeatSpread } from './difference.ts';
import { driftOf } from './drift.ts';
import { CLAIM_PROBABILITY, headline, unfounded } from './headline.ts';
import { recommended } from './measured.ts';
import { type RecipeScores, recipesOf } from './recipes.ts';
import { betterReference } from './reference.ts';
import { boundedText, driftText, noDifferencesText, overruledText, referenceFirstText, referenceText, tooGoodText } from './text.ts';
import type { Baseline, Conclusion, NoiseStd, Validation } from './types.ts';
import type { KnownNoise, ValidationScores } from './validate.ts';

export interface ConclusionInput {
  readonly goal: Goal;
  readonly noise: NoiseKind;
  readonly seed: number;
  readonly trials: readonly ScoredTrial[];
  /** Null where recipes lie in no space (soups), and each stands for itself. */
  readonly space: { readonly axes: readonly Axis[]; encode(params: Params): Point | null } | null;
  readonly baselines: readonly Pick<Baseline, 'name' | 'label' | 'trial'>[];
  readonly validation?: ValidationScores | undefined;
  /** The line that makes the mean of the last of the run. */
  readonly referenceCommand?: string | undefined;
}

export interface Concluded {
  readonly conclusion: Conclusion;
  /**
   * Id of the best recipe's first trial: of the highest mean of what is believed of its score, not of the
   * highest score; null where no trial has a score.
   */
  readonly best: number | null;
  /**
   * By trial id, of the score without noise in its own units; empty where nothing is known of the noise, and
   * without trials whose scores are bounded (see `boundedRecipes`).
   */
  readonly posterior: ReadonlyMap<number, { readonly mean: number; readonly std: number }>;
  readonly noiseStd: NoiseStd | null;
  /** Nothing that was tried is known to differ: scores are the very same, or alike within the noise. */
  readonly flat: boolean;
  /** Null without one, and where the best or every baseline has no score on the second set. */
  readonly validation: Validation | null;
  /** Of any points of the space, in the score's own units; null where too few were scored. */
  readonly predict: ((points: readonly Point[]) => Prediction) | null;
}

/**
 * What a search found, and how sure that is.
 *
 * The best recipe is the one of highest posterior mean, baselines included but for the mean of the last of
 * the run, of which the text says where it scored better still, first where that is beyond the noise. Its
 * gain is the difference of posterior means to the better of the baselines newest, uniform and best single;
 * never the best observed score, which is best partly by luck. But no recipe is the best that scored worse
 * itself, beyond the noise, than a baseline did: then the next one is. Scores far below the others' are
 * bounded first, so that the model tells the better ones apart. What the interval covers is written at {@link
 * compare}. A gain is claimed where the probability of being better than all those baselines is at least
 * {@link CLAIM_PROBABILITY}, the 95 % interval lies above 0, and, for unpaired scores of a known standard
 * error, the gain is above what can be judged. With a validation all of this is about the second set instead:
 * its interval must lie above 0.
 *
 * Same input, same answer.
 */
export function conclude(input: ConclusionInput): Concluded {
  const { goal, noise, seed, space, baselines } = input;
  const { sign } = directionOf(goal);
  const scoredRecipes = recipesOf(input.trials, space === null ? null : (params) => space.encode(params), goal);
  if (scoredRecipes.length === 0) {
    const conclusion = unfounded('No trial has a score: nothing can be concluded.');
    return { conclusion, best: null, posterior: new Map(), noiseStd: null, flat: false, validation: null, predict: null };
  }
  const placed = baselines.flatMap((baseline) => {
    const index = scoredRecipes.findIndex(({ trials }) => trials.some(({ id }) => id === baseline.trial));
    return index < 0 ? [] : [{ ...baseline, index }];
  });
  const rivals = placed.filter(({ name }) => name !== 'sma').map(({ index }) => index);
  const { recipes, lifted, tooGood, lowered } = boundedRecipes(scoredRecipes, rivals);
  const repeats = repeatSpread(scoredRecipes);
  // Of equal scores a model would learn nothing but its own prior, in units that it has from nowhere.
  const equal = allEqual(recipes);
  const beliefs = equal
    ? null
    : ((space === null ? null : spaceBeliefs(recipes, space.axes, noise, seed)) ?? spreadBeliefs(recipes, noise, repeatSpread(recipes)));
  const means = beliefs?.marginals ?? null;
  const believed = means?.mean ?? recipes.map(({ values }) => values.reduce((sum, value) => sum + value, 0) / values.length);
  // The mean of the last of the run is there to be compared with: it may be of checkpoints that the search
  // was not given.
  const isReference = ({ trials }: RecipeScores) => trials.every(({ kind }) => kind === 'sma');
  const own = recipes.flatMap((recipe, i) => (isReference(recipe) ? [] : [i]));
  const candidates = own.length === 0 ? recipes.map((_, i) => i) : own;
  const known = { measured: repeats === null ? null : Math.sqrt(repeats.variance), learned: beliefs?.learnedNoise ?? null };
  const { best, overruled } = recommended(scoredRecipes, believed, candidates, placed, {
    noise,
    noiseStd: known.learned ?? known.measured,
  });
  const predict = beliefs?.predict ?? null;
  const said = headline({
    goal,
    noise,
    seed,
    recipes,
    beliefs,
    best,
    baselines: placed,
    known,
    inSpace: space !== null,
    scores: input.validation ?? null,
  });
  const reference = placed.find(({ index }) => index !== best && isReference(recipes[index]!));
  const better =
    reference === undefined
      ? null
      : betterReference(scoredRecipes, best, reference, { goal, noise, noiseStd: known.learned ?? known.measured });
  const command = input.referenceCommand;
  const shown = better === null ? null : { ...better, ...(command === undefined ? {} : { command }) };
  const alike = space === null ? null : noDifferences(recipes, beliefs, space.axes.length, rivals);
  const newest = placed.find(({ name }) => name === 'newest');
  const drift = newest === undefined ? null : driftOf(recipes, newest.index, space?.axes ?? null, { noise, seed });
  const idOf = (index: number) => recipes[index]!.trials[0]!.id;
  const against = placed.find(({ name }) => name === (said.conclusion.against === 'single' ? 'best single' : said.conclusion.against));
  const farOf = (index: number) => ({ trial: idOf(index), score: scored(scoredRecipes[index]!).score });
  const takenFor = () => {
    if (lowered.length > 0) return beliefs === null ? 'as it is' : lowered.includes(best) ? 'as the best' : 'as another';
    const isCheckpoint = (i: number) => recipes[i]!.trials.some(({ kind }) => kind === 'newest' || kind === 'single');
    const others = recipes.some((_, i) => !tooGood.includes(i) && isCheckpoint(i));
    return tooGood.every(isCheckpoint) && !others ? 'beside merges' : 'as it is';
  };
  const sentences = [
    ...(shown?.beyondNoise ? [referenceFirstText(reference!.label, shown, idOf(best), scored(recipes[best]!).score)] : []),
    ...(tooGood.length === 0 ? [] : [tooGoodText(tooGood.map(farOf), takenFor())]),
    said.conclusion.text,
    ...(overruled === null
      ? []
      : [
          overruledText(
            idOf(overruled.recipe),
            scored(recipes[overruled.recipe]!),
            overruled.baseline.label,
            scored(recipes[overruled.baseline.index]!),
          ),
        ]),
    ...(alike === null || alike.most === 0 ? [] : [noDifferencesText(alike)]),
    ...(drift === null ? [] : [driftText(drift)]),
    ...(lifted.length === 0
      ? []
      : [
          boundedText(
            lifted.map(farOf),
            beliefs?.predict != null,
            against !== undefined && lifted.includes(against.index) ? against.label : null,
          ),
        ]),
    ...(shown === null || shown.beyondNoise ? [] : [referenceText(reference!.label, shown)]),
  ];
  return {
    ...said,
    conclusion: {
      ...said.conclusion,
      text: sentences.join(' '),
      ...(lifted.length === 0 ? {} : { bounded: lifted.map(idOf) }),
      ...(tooGood.length === 0 ? {} : { tooGood: tooGood.map(idOf) }),
      ...(alike === null ? {} : { noDifferences: alike }),
      ...(shown === null ? {} : { reference: shown }),
      ...(drift === null ? {} : { drift }),
      ...(overruled === null ? {} : { overruled: idOf(overruled.recipe) }),
    },
    best: recipes[best]!.trials[0]!.id,
    posterior: new Map(
      means === null
        ? []
        : recipes.flatMap(({ trials }, i) =>
            lifted.includes(i) || lowered.includes(i)
              ? []
              : trials.map(({ id }) => [id, { mean: sign * means.mean[i]!, std: means.std[i]! }] as const),
          ),
    ),
    noiseStd: noiseOf(known),
    flat: equal || alike !== null,
    predict:
      predict === null
        ? null
        : (points) => {
            const { mean, std } = predict(points);
            return { mean: mean.map((value) => sign * value), std };
          },
  };
}

function scored({ trials }: RecipeScores) {
  return { ...trials[0]!, score: trials[0]!.score! };
}

function noiseOf({ measured, learned }: KnownNoise): NoiseStd | null {
  if (measured !== null) return { value: measured, from: 'repeats' };
  return learned === null ? null : { value: learned, from: 'model' };
}
