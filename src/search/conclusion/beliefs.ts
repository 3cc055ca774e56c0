import type { Axis, Point } from '../gaussian-process/cube.ts';
import type { Joint, Prediction } from '../gaussian-process/posterior.ts';
import type { Process } from '../gaussian-process/process.ts';
import { fitSamples } from '../gaussian-process/samples.ts';
import { armBeliefs } from './arm-beliefs.ts';
import { itemNoise } from './arm-noise.ts';
import { meanValue } from './bounded.ts';
import { covarianceOfMeans, type NoiseKind, pairedItems, type RepeatSpread, repeatSpread, statedVariances } from './difference.ts';
import type { RecipeScores } from './recipes.ts';

/** What is known of the true scores of recipes; larger is better. */
export interface Beliefs {
  /**
   * Of some recipes together, [recipes] and [recipes x recipes]: one normal distribution for each of several
   * equally likely readings of the same scores, which differ in how much of them is noise.
   * @param indices in the list of recipes
   */
  joints(indices: readonly number[]): readonly Joint[];
  /** Of each recipe by itself, over all readings. */
  readonly marginals: Prediction;
  /** Standard deviation of a score by noise, as a mean over the readings; null where it was not learned. */
  readonly learnedNoise: number | null;
  /** The variances hold that of drawing the items, too. */
  readonly coversItems: boolean;
  /** Of any points of the space, over all readings; null where there is no model of the space. */
  readonly predict: ((points: readonly Point[]) => Prediction) | null;
}

/** Points below which no process is fitted: two scores show neither noise nor shape. */
const FEWEST_POINTS = 3;
/** Repeats outside the space from which on their spread counts as noise of the scores inside, too. Ours. */
const ENOUGH_REPEATS = 3;
/**
 * Readings of few scores, so that a probability of 0.95 can be told from one of 0.9; of many, which differ
 * less and cost more. Ours.
 */
const READINGS = { few: 32, many: 16 };
const MANY = 64;

/**
 * Beliefs by a Gaussian process over the points of the space, under several draws of its hyperparameters: of
 * few noisy scores nobody can say how much of their spread is noise, and the one likeliest answer would be
 * too sure. Recipes outside the space stand alone, each on its own scores with the process's noise.
 *
 * @returns null with fewer than three different points
 */
export function spaceBeliefs(recipes: readonly RecipeScores[], axes: readonly Axis[], noise: NoiseKind, seed: number): Beliefs | null {
  const inside = recipes.filter(({ point }) => point !== null);
  if (new Set(inside.map(({ point }) => point!.join())).size < FEWEST_POINTS) return null;
  // Repeats inside are for the process to learn from. Of those outside it is told; what it learns then comes
  // on top, so that noise is rather over- than underrated.
  const outside = repeatSpread(recipes.filter(({ point }) => point === null));
  const told = outside !== null && outside.freedom >= ENOUGH_REPEATS ? outside.variance : null;
  const observations = {
    points: inside.flatMap(({ point, values }) => values.map(() => point!)),
    values: inside.flatMap(({ values }) => values),
    variances: inside.flatMap((recipe) => statedVariances(recipe, noise).map((stated) => stated ?? told)),
  };
  const readings = fitSamples(observations, axes, { count: observations.values.length > MANY ? READINGS.many : READINGS.few, seed });
  const noises = readings.map(({ hyper, standard }) => (told ?? 0) + hyper.noise * standard.scale ** 2);
  const places = recipes.flatMap(({ point }, i) => (point === null ? [] : [i]));
  const marginal = (process: Process, noiseVariance: number): Prediction => {
    const alone = recipes.map((recipe) => ownMean(recipe, noiseVariance, noise));
    const [mean, std] = [Float64Array.from(alone, (of) => of.mean), Float64Array.from(alone, (of) => Math.sqrt(of.variance))];
    const predicted = process.predict(inside.map(({ point }) => point!));
    places.forEach((i, a) => {
      mean[i] = predicted.mean[a]!;
      std[i] = predicted.std[a]!;
    });
    return { mean, std };
  };
  return {
    joints: (indices) => {
      const of = indices.map((i) => recipes[i]!);
      return readings.map((process, r) => jointOf(of, process, noises[r]!, noise));
    },
    marginals: mixture(readings.map((process, r) => marginal(process, noises[r]!))),
    learnedNoise: Math.sqrt(noises.reduce((sum, variance) => sum + variance, 0) / noises.length),
    coversItems: false,
    predict: (points) => mixture(readings.map((process) => process.predict(points))),
  };
}

/**
 * Beliefs without a space of recipes that were scored on the same items: the model of a grid
 * ({@link armBeliefs}) without axes, of differences from the first recipe, whose own score has no part in what is
 * believed of them. Repeats add their noise to that of the items.
 *
 * @returns null where items are not the same, tell nothing apart, or are so large that sums of their squares
 *   are no numbers; or there is a single recipe
 */
function itemBeliefs(recipes: readonly RecipeScores[], repeats: RepeatSpread | null): Beliefs | null {
  const [base, ...others] = recipes;
  if (base === undefined || others.length === 0) return null;
  const noise = itemNoise(
    base.trials[0]!,
    others.map(({ trials }) => trials[0]!),
  );
  if (noise === null) return null;
  const repeated = ({ values }: RecipeScores) => (repeats?.variance ?? 0) / values.length;
  const size = others.length;
  const covariance = noise.covariance.map(
    (value, at) => value + repeated(base) + (at % (size + 1) === 0 ? repeated(others[at % size]!) : 0),
  );
  const observed = Float64Array.from(others, ({ values }) => meanValue(values) - meanValue(base.values));
  const places = others.map(() => []);
  const differences = armBeliefs(covariance, places, []).moments(observed);
  if (![...differences.mean, ...differences.covariance].every(Number.isFinite)) return null;
  // Of all recipes, the first at 0.
  const count = recipes.length;
  const mean = Float64Array.from({ length: count }, (_, i) => (i === 0 ? 0 : differences.mean[i - 1]!));
  const at = (i: number, j: number) => (i === 0 || j === 0 ? 0 : differences.covariance[(i - 1) * size + j - 1]!);
  const overall = recipes.reduce((sum, { values }) => sum + meanValue(values) / count, 0);
  const middle = mean.reduce((sum, value) => sum + value / count, 0);
  const indices = [...recipes.keys()];
  const inCommon = indices.map((i) => indices.reduce((sum, j) => sum + at(i, j) / count, 0));
  const ofMiddle = inCommon.reduce((sum, value) => sum + value / count, 0);
  return {
    joints: (chosen) => [
      {
        mean: Float64Array.from(chosen, (i) => mean[i]!),
        covariance: Float64Array.from({ length: chosen.length ** 2 }, (_, k) =>
          at(chosen[Math.floor(k / chosen.length)]!, chosen[k % chosen.length]!),
        ),
      },
    ],
    // Around the mean of all recipes: what is common to them is not known from their differences.
    marginals: {
      mean: mean.map((value) => overall + value - middle),
      std: mean.map((_, i) => Math.sqrt(Math.max(0, at(i, i) - 2 * inCommon[i]! + ofMiddle))),
    },
    learnedNoise: null,
    coversItems: true,
    predict: null,
  };
}

/**
 * Beliefs without a space: recipes as draws of one normal distribution, pulled to their common mean by as
 * much as noise explains their spread (empirical Bayes with the moment estimate of the spread: Morris 1983,
 * eq. 1.12 without its correction for few recipes). The noise is that of repeats, of drawing the items, and
 * what the evaluator states of each score. Of recipes on the same items, drawn once for all, {@link itemBeliefs}
 * knows more.
 *
 * @returns null where nothing is known of the noise, there is a single recipe, or squares of the scores are no
 *   numbers
 */
export function spreadBeliefs(recipes: readonly RecipeScores[], noise: NoiseKind, repeats: RepeatSpread | null): Beliefs | null {
  const byItem = noise === 'shared' ? itemBeliefs(recipes, repeats) : null;
  if (byItem !== null) return byItem;
  const items = itemVariance(recipes);
  if (recipes.length < 2) return null;
  const stated = recipes.map((recipe) => statedVariances(recipe, noise));
  if (repeats === null && items === null && stated.flat().some((variance) => variance === null)) return null;
  const alone = recipes.map((recipe, i) => {
    const known = stated[i]!.map((variance) => Math.max(repeats?.variance ?? 0, variance ?? 0));
    const { mean, variance } = weighted(recipe.values, known);
    return { mean, variance: variance + (items ?? 0) };
  });
  const count = alone.length;
  const centre = alone.reduce((sum, { mean }) => sum + mean, 0) / count;
  const found = alone.reduce((sum, { mean }) => sum + (mean - centre) ** 2, 0) / (count - 1);
  const spread = Math.max(0, found - alone.reduce((sum, { variance }) => sum + variance, 0) / count);
  const pulled = alone.map(({ mean, variance }) => {
    const kept = spread + variance === 0 ? 1 : spread / (spread + variance);
    return { mean: centre + kept * (mean - centre), variance: kept * variance };
  });
  if (!pulled.every(({ mean, variance }) => Number.isFinite(mean + variance))) return null;
  return {
    joints: (indices) => [
      {
        mean: Float64Array.from(indices, (i) => pulled[i]!.mean),
        covariance: Float64Array.from({ length: indices.length ** 2 }, (_, at) => {
          const row = Math.floor(at / indices.length);
          return row === at % indices.length ? pulled[indices[row]!]!.variance : 0;
        }),
      },
    ],
    marginals: {
      mean: Float64Array.from(pulled, ({ mean }) => mean),
      std: Float64Array.from(pulled, ({ variance }) => Math.sqrt(variance)),
    },
    learnedNoise: null,
    coversItems: items !== null,
    predict: null,
  };
}

function jointOf(recipes: readonly RecipeScores[], process: Process, noiseVariance: number, noise: NoiseKind): Joint {
  const size = recipes.length;
  const mean = new Float64Array(size);
  const covariance = new Float64Array(size * size);
  const places = recipes.flatMap(({ point }, i) => (point === null ? [] : [i]));
  const inside = process.joint(places.map((i) => recipes[i]!.point!));
  places.forEach((i, a) => {
    mean[i] = inside.mean[a]!;
    places.forEach((j, b) => {
      covariance[i * size + j] = inside.covariance[a * places.length + b]!;
    });
  });
  recipes.forEach((recipe, i) => {
    if (recipe.point !== null) return;
    const alone = ownMean(recipe, noiseVariance, noise);
    mean[i] = alone.mean;
    covariance[i * size + i] = alone.variance;
  });
  return { mean, covariance };
}

/**
 * What a recipe's scores say of it by themselves. @param noiseVariance of each score, besides what the
 * evaluator states
 */
function ownMean(recipe: RecipeScores, noiseVariance: number, noise: NoiseKind): { mean: number; variance: number } {
  return weighted(
    recipe.values,
    statedVariances(recipe, noise).map((stated) => noiseVariance + (stated ?? 0)),
  );
}

/** Mean of values by the inverse of their variances, and the variance of that mean. */
function weighted(values: readonly number[], variances: readonly number[]): { mean: number; variance: number } {
  const least = Math.min(...variances);
  // Relative to the least, so that values without noise need no division by 0: they alone count.
  const weights = variances.map((variance) => (variance === least ? 1 : least / variance));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const mean = values.reduce((sum, value, i) => sum + weights[i]! * value, 0) / total;
  return { mean, variance: least / total };
}

/**
 * Variance of a recipe's score by which items were drawn, less what is common to all recipes; null where they
 * are not of the same items.
 */
function itemVariance(recipes: readonly RecipeScores[]): number | null {
  const differences = recipes.map(({ trials }) => pairedItems(trials[0]!, recipes[0]!.trials[0]!));
  if (!differences.every((lists) => lists !== null)) return null;
  const centre = differences[0]!.map((list, l) =>
    list.map((_, i) => differences.reduce((sum, lists) => sum + lists[l]![i]!, 0) / recipes.length),
  );
  const total = differences.reduce((sum, lists) => {
    const own = lists.map((list, l) => list.map((value, i) => value - centre[l]![i]!));
    return sum + covarianceOfMeans(own, own);
  }, 0);
  return total / Math.max(1, recipes.length - 1);
}

/** Mean and standard deviation of equally likely normal distributions, place by place. */
function mixture(parts: readonly Prediction[]): Prediction {
  const count = parts.length;
  const size = parts[0]!.mean.length;
  const mean = Float64Array.from({ length: size }, (_, i) => parts.reduce((sum, part) => sum + part.mean[i]! / count, 0));
  const std = mean.map((centre, i) =>
    Math.sqrt(parts.reduce((sum, part) => sum + (part.std[i]! ** 2 + (part.mean[i]! - centre) ** 2) / count, 0)),
  );
  return { mean, std };
}
