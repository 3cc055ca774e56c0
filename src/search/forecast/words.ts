import type { Goal } from '../../checkpoints/results/types.ts';
import { formatStep } from '../../render/format.ts';
import { formatNumber, plainNumber } from '../../render/numbers.ts';
import { gainText } from '../optimise/words.ts';
import { scoreText } from '../study/words.ts';
import type { ForecastDocument, ForecastPoint } from './types.ts';

/** What every forecast says of itself. */
export function estimateText(goal: Goal): string {
  return `This is an estimate of the merged score, not of a decayed one: on our runs a real decay was better each time, its score ${goal === 'minimize' ? 'lower' : 'higher'}.`;
}

/** The last window, in a sentence: what merging gives there beside the checkpoint alone. */
export function forecastHeadline({ points }: ForecastDocument): string {
  const last = points.findLast(({ difference }) => difference !== null);
  if (last === undefined) return 'No window has both a merged score and one of its newest checkpoint alone.';
  const { gain, error, paired } = last.difference!;
  const judged = error === null ? '' : ` (± ${plainNumber(error, 2)}, ${paired ? 'item by item' : 'unpaired'})`;
  const where = last.step === null ? last.path : `step ${formatStep(last.step)}`;
  const verdict = gain === 0 ? 'as much as' : `${plainNumber(Math.abs(gain), 3)} ${gain > 0 ? 'better' : 'worse'}${judged} than`;
  return `Up to ${where} the merge scores ${scoreText(last.merged, last.mergedStderr)}, ${verdict} the checkpoint alone (${scoreText(last.single, last.singleStderr)}).`;
}

/**
 * Windows from which on a score is compared with those beside it; and how many usual steps from both it lies.
 * Ours.
 */
const FEWEST_WINDOWS = 4;
const FAR = 1000;

/**
 * Scores that lie far from those before and after them, where the run goes otherwise smoothly: an evaluation
 * that went wrong, or a checkpoint that is broken; null where there are none. The first one may lie anywhere:
 * training begins far off.
 */
export function outlierText({ points }: Pick<ForecastDocument, 'points'>): string | null {
  const found = (['single', 'merged'] as const).flatMap((line) => {
    const scored = points.flatMap((point) => (point[line] === null ? [] : [{ point, score: point[line] }]));
    if (scored.length < FEWEST_WINDOWS) return [];
    const steps = scored.slice(1).map(({ score }, i) => Math.abs(score - scored[i]!.score));
    const usual = steps.toSorted((a, b) => a - b)[(steps.length - 1) >> 1]!;
    return scored.flatMap(({ point, score }, i) => {
      const beside = [scored[i - 1], scored[i + 1]].flatMap((other) => (other === undefined ? [] : [other.score]));
      const above = beside.every((other) => score - other > FAR * usual);
      const below = beside.every((other) => other - score > FAR * usual);
      if (i === 0 || usual === 0 || !(above || below)) return [];
      const where = point.step === null ? point.path : `step ${formatStep(point.step)}`;
      return [`${where} ${line === 'single' ? 'alone' : 'merged'} (${formatNumber(score, 4)})`];
    });
  });
  if (found.length === 0) return null;
  const shown = `${found.slice(0, 5).join(', ')}${found.length > 5 ? ', …' : ''}`;
  return `Far from the scores beside it: ${shown}. Either the checkpoint is broken there, or its evaluation went wrong: look at its log before the curve is believed.`;
}

/** What merging gains at a window, with its error where the items or the evaluator tell it. */
export function windowGainText({ difference }: Pick<ForecastPoint, 'difference'>): string {
  return difference === null ? '–' : gainText(difference.gain, difference.error);
}

/** `0.62 ± 0.08 of a real decay, from 3 branches`. */
export function recoveredText({ recovered, branches }: ForecastDocument): string {
  if (recovered === null) return 'not calibrated';
  const spread = recovered.spread === null ? '' : ` ± ${plainNumber(recovered.spread, 2)}`;
  const count = branches.length === 1 ? 'one branch' : `${branches.length} branches`;
  return `${plainNumber(recovered.mean, 3)}${spread} of a real decay, from ${count}`;
}

/** With its band, where there is more than one branch. */
export function decayedText({ decayed }: Pick<ForecastPoint, 'decayed'>): string {
  if (decayed === null) return '–';
  const { score, low, high } = decayed;
  return low < high ? `${formatNumber(score, 6)} (${formatNumber(low, 5)} to ${formatNumber(high, 5)})` : formatNumber(score, 6);
}
