import { formatStep } from '../../render/format.ts';
import { plainNumber } from '../../render/numbers.ts';
import type { Goal } from '../evaluate/types.ts';
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
  return low < high ? `${plainNumber(score, 6)} (${plainNumber(low, 5)} to ${plainNumber(high, 5)})` : plainNumber(score, 6);
}
