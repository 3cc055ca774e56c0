import { normalOf, randomOf } from '../../base/numbers/random.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import { covarianceRoot } from '../gaussian-process/linear-algebra.ts';
import { NORMAL_95 } from '../gaussian-process/normal.ts';
import type { Joint } from '../gaussian-process/posterior.ts';
import type { Beliefs } from './beliefs.ts';
import { covarianceOfMeans, difference, type NoiseKind, pairedItems } from './difference.ts';
import type { RecipeScores } from './recipes.ts';
import { fewItemsFactor } from './student.ts';

/** What the error of a gain rests on, besides the noise of evaluations: see {@link compare}. */
export type Coverage =
  | { readonly kind: 'paired'; readonly items: number }
  | { readonly kind: 'independent' }
  /** `resolution`: smallest difference that 95 % of the differences of two equal models stay below. */
  | { readonly kind: 'unpaired'; readonly resolution: number }
  | { readonly kind: 'unknown' };

export interface Comparison {
  /** That the recipe is better than all opponents. */
  readonly probability: number;
  /** Over the better opponent, and its 95 % interval. */
  readonly gain: number;
  readonly interval: readonly [number, number];
  /** Index of that opponent in the list of recipes. */
  readonly against: number;
  readonly coverage: Coverage;
}

const DRAWS = 8192;
/**
 * By how much the interval of a model of the space is wider than its draws: a model pulls the best towards the rest, so that
 * more true gains lie above the draws than should. Ours, chosen on the problems of `bench/regret.js` and on first figures of the
 * five shapes of `bench/coverage.js`.
 */
const WIDER = 1.1;
/** Of a variance, what is rounding of the matrix's own entries. */
const ROUNDING = 1e-12;

/**
 * How much better a recipe is than others, by joint draws of all their true scores. The spread of the draws
 * has up to three parts:
 *
 * - noise of evaluations and doubt about the shape of the score over the space, from the beliefs;
 * - of `paired` coverage, the choice of items: the covariance of the differences of item scores, added whole,
 *   and wider where there are few items ({@link fewItemsFactor}). Trials do not average it out, since all of
 *   them are scored on the same items. So the interval is for other items of the same kind as well. The noise
 *   that the items hold themselves is then counted twice, to the safe side;
 * - of `independent` coverage, the choice of items is in the noise of evaluations, as the evaluator states
 *   it.
 *
 * Of a model of the space the interval is {@link WIDER} than the draws; the probability is theirs.
 *
 * `unpaired` and `unknown` coverage leave the choice of items out: the interval is for this evaluation set
 * alone, and for unpaired scores `resolution` says below which size a gain on it means nothing for other
 * items.
 *
 * @param best index of the recipe @param opponents indices of at least one other
 */
export function compare(
  beliefs: Beliefs,
  recipes: readonly RecipeScores[],
  best: number,
  opponents: readonly number[],
  { goal, noise, seed }: { readonly goal: Goal; readonly noise: NoiseKind; readonly seed: number },
): Comparison {
  const count = opponents.length;
  const lists = opponents.map((i) => pairedItems(recipes[best]!.trials[0]!, recipes[i]!.trials[0]!));
  const byItems = Float64Array.from({ length: count * count }, (_, at) => {
    const [a, b] = [lists[Math.floor(at / count)]!, lists[at % count]!];
    return beliefs.coversItems || noise === 'independent' || a === null || b === null
      ? 0
      : covarianceOfMeans(a, b) * fewItemsFactor(a) * fewItemsFactor(b);
  });
  const readings = beliefs.joints([best, ...opponents]).map((joint) => differencesOf(joint, byItems));
  const means = opponents.map((_, k) => readings.reduce((sum, { mean }) => sum + mean[k]!, 0) / readings.length);
  // The opponent with the highest mean is the one with the smallest difference.
  const better = means.indexOf(Math.min(...means));

  const normal = normalOf(randomOf(seed, 0x636f6d70));
  const draws = Math.ceil(DRAWS / readings.length);
  const gains = new Float64Array(draws * readings.length);
  let wins = 0;
  readings.forEach(({ mean, covariance }, r) => {
    const root = covarianceRoot(covariance, count, ROUNDING);
    for (let d = 0; d < draws; d++) {
      const z = Float64Array.from({ length: count }, normal);
      const drawn = means.map(
        (_, k) => mean[k]! + root.slice(k * count, (k + 1) * count).reduce((sum, factor, j) => sum + factor * z[j]!, 0),
      );
      const least = Math.min(...drawn);
      wins += least > 0 ? 1 : least === 0 ? 0.5 : 0;
      gains[r * draws + d] = drawn[better]!;
    }
  });
  gains.sort();
  const against = opponents[better]!;
  const gain = means[better]!;
  const widened = (drawn: number) => gain + (beliefs.predict === null ? 1 : WIDER) * (drawn - gain);
  return {
    probability: wins / gains.length,
    gain,
    interval: [widened(gains[Math.floor(0.025 * gains.length)]!), widened(gains[Math.ceil(0.975 * gains.length) - 1]!)],
    against,
    coverage: coverageOf(recipes[best]!, recipes[against]!, goal, noise),
  };
}

/** What is known of other items from the scores of two recipes. */
function coverageOf(a: RecipeScores, b: RecipeScores, goal: Goal, noise: NoiseKind): Coverage {
  const [first, second] = [a.trials[0]!, b.trials[0]!];
  if (noise === 'independent') return first.stderr === null || second.stderr === null ? { kind: 'unknown' } : { kind: 'independent' };
  const lists = pairedItems(first, second);
  if (lists !== null) return { kind: 'paired', items: lists.reduce((sum, list) => sum + list.length, 0) };
  const { error } = difference(first, second, goal);
  return error === null ? { kind: 'unknown' } : { kind: 'unpaired', resolution: NORMAL_95 * error };
}

/** Of the first recipe's score less each of the others', with a covariance added. */
function differencesOf({ mean, covariance }: Joint, added: Float64Array): Joint {
  const size = mean.length;
  const count = size - 1;
  const at = (i: number, j: number) => covariance[i * size + j]!;
  return {
    mean: Float64Array.from({ length: count }, (_, k) => mean[0]! - mean[k + 1]!),
    covariance: Float64Array.from({ length: count * count }, (_, k) => {
      const [i, j] = [Math.floor(k / count) + 1, (k % count) + 1];
      return at(0, 0) - at(0, j) - at(i, 0) + at(i, j) + added[k]!;
    }),
  };
}
