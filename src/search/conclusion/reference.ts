import type { Goal } from '../../checkpoints/results/types.ts';
import { NORMAL_95 } from '../gaussian-process/normal.ts';
import { difference, type NoiseKind } from './difference.ts';
import type { PlacedBaseline } from './headline.ts';
import { measured } from './measured.ts';
import type { RecipeScores } from './recipes.ts';
import type { BetterReference } from './types.ts';

/**
 * The mean of the last of the run, which is there to be compared with, where it scored better than the best
 * of the search; null where it did not, whatever a model believes of it: what is said is a measured score.
 *
 * @param recipes with the scores as they are @param best index of the best recipe
 * @param noiseStd noise of a score where none is stated; null where nothing is known of it: then nothing is
 *   beyond it
 */
export function betterReference(
  recipes: readonly RecipeScores[],
  best: number,
  { index }: Pick<PlacedBaseline, 'index'>,
  { goal, noise, noiseStd }: { readonly goal: Goal; readonly noise: NoiseKind; readonly noiseStd: number | null },
): BetterReference | null {
  const [own, other] = [recipes[best]!, recipes[index]!];
  const first = ({ trials }: RecipeScores) => ({ ...trials[0]!, score: trials[0]!.score! });
  const { gain, error, paired } = difference(first(other), first(own), goal);
  const [ownMean, otherMean] = [measured(own, noise, noiseStd), measured(other, noise, noiseStd)];
  if (!(gain > 0 && otherMean.mean > ownMean.mean)) return null;
  // Item by item the noise is that of the items' differences.
  const byItems = paired && error !== null;
  const deviation = byItems ? error : Math.sqrt(ownMean.variance + otherMean.variance);
  const known = byItems || noiseStd !== null || deviation > 0;
  const beyond = known && (byItems ? gain : otherMean.mean - ownMean.mean) > NORMAL_95 * deviation;
  return { trial: other.trials[0]!.id, score: other.trials[0]!.score!, gain, error, paired, beyondNoise: beyond };
}
