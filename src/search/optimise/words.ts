import { inReadersWords } from '../../base/option-words.ts';
import { directionOf } from '../../checkpoints/results/goal.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import { formatSeconds, formatStep, plural } from '../../render/format.ts';
import { formatDifference, formatEstimate, plainNumber } from '../../render/numbers.ts';
import type { Baseline, Conclusion } from '../conclusion/types.ts';
import type { Params, ParamValue, SpaceParameter } from '../space/types.ts';
import type { Ending, Trial } from '../study/types.ts';
import { KIND_WORDS, paramsText, paramText } from '../study/words.ts';
import type { SearchDocument } from './types.ts';

/** Words that a search's page and its text in the terminal share. */

export const BASELINE_WORDS: Record<Baseline['name'], string> = {
  newest: 'newest',
  uniform: 'uniform mean',
  sma: 'SMA',
  'best single': 'best single',
};

/** Names of acquisition functions as papers write them. */
const CHOSEN_BY: Readonly<Record<string, string>> = { ei: 'EI', pi: 'PI', ucb: 'UCB', logei: 'logEI' };

/** What chose a trial. */
export function chosenByText(by: string | null): string {
  return by === null ? '' : ((Object.hasOwn(CHOSEN_BY, by) ? CHOSEN_BY[by] : undefined) ?? by);
}

const ENDINGS: Record<Ending, string> = {
  trials: 'all trials that were asked for are done',
  budget: 'the budget is spent',
  patience: 'no better score for as long as the patience lasts',
  alike: 'no differences that more trials would show; --all-trials tries them all',
  exhausted: 'nothing is left to try',
  driver: 'the driver ended it',
  interrupted: 'interrupted; --resume goes on',
};

export function endingWords(ended: Ending): string {
  return inReadersWords(ENDINGS[ended]);
}

export function goalWords(goal: Goal): string {
  return `${directionOf(goal).which} is better`;
}

/** A difference with its sign, positive is better: `+0.0087 ± 0.0009`. */
export function gainText(gain: number, error: number | null = null): string {
  const text = error === null ? formatDifference(gain) : formatEstimate(gain, error);
  return gain > 0 ? `+${text}` : text;
}

/**
 * The headline gain with its 95 % interval, to the second digit of what the interval leaves open:
 * `+0.0087 (95 % interval +0.0061 to +0.0112)`.
 */
export function conclusionGain({ gain, interval }: Conclusion): string | null {
  if (gain === null) return null;
  if (interval === null) return gainText(gain);
  const error = (interval[1] - interval[0]) / 2;
  const decimals = error > 0 ? Math.max(0, Math.min(12, 1 - Math.floor(Math.log10(error)))) : 6;
  const [middle, low, high] = [gain, ...interval].map((value) => `${value > 0 ? '+' : ''}${value.toFixed(decimals)}`);
  return `${middle} (95 % interval ${low} to ${high})`;
}

const AGAINST = { newest: 'the newest', uniform: 'the uniform mean', single: 'the best single checkpoint' } as const;

/** `over the uniform mean, on the second set`: what the headline gain is over and rests on. */
export function gainBasis({ against, basis }: Conclusion): string {
  const over = against === null ? '' : `over ${AGAINST[against]}`;
  const source = basis === 'validation' ? 'on the second set' : basis === 'posterior' ? "by the model's means" : '';
  return [over, source].filter((text) => text !== '').join(', ');
}

/** What a trial tried of a parameter; undefined where it has none of that name. */
export function paramOf(params: Params | null | undefined, name: string): ParamValue | undefined {
  return params != null && Object.hasOwn(params, name) ? params[name] : undefined;
}

/** What a recipe is called: its parameters, or what it is where it lies outside the space. */
export function recipeName(trial: number, params: Params | null, trials: readonly Trial[]): string {
  return params === null ? KIND_WORDS[trials.find(({ id }) => id === trial)?.kind ?? 'trial'] : paramsText(params);
}

/** `window 2 to 10, alpha 0.05 to 0.5 (log), method sma | ema`. */
export function parameterText({ name, low, high, log, values }: SpaceParameter): string {
  if (values !== undefined) return `${name} ${values.map(paramText).join(' | ')}`;
  if (low === undefined || high === undefined) return name;
  return `${name} ${paramText(low)} to ${paramText(high)}${log ? ' (log)' : ''}`;
}

/**
 * Who takes part: `step 6,000` of one, `5 from step 5,200` of several. @param labels of members by path; SMA
 * may reach back beyond them
 */
export function membersText({ weights }: Pick<Trial, 'weights'>, labels: ReadonlyMap<string, string>): string {
  const names = weights
    .filter(({ weight }) => weight !== 0)
    .map(({ path, step }) => labels.get(path) ?? (step === null ? path : `step ${formatStep(step)}`));
  return names.length < 2 ? (names[0] ?? '–') : `${names.length} from ${names[0]}`;
}

/** The first sentence of a text, and the others. */
export function firstSentence(text: string): [string, string] {
  const end = /[.!?] (?=[A-Z])/.exec(text);
  return end === null ? [text, ''] : [text.slice(0, end.index + 1), text.slice(end.index + 2)];
}

/** `22 scored, 2 failed, 1 skipped`. */
export function trialCounts(trials: readonly Trial[]): string {
  const count = (status: Trial['status']): number => trials.filter((trial) => trial.status === status).length;
  const [failed, skipped, repeats] = [count('failed'), count('skipped'), trials.filter(({ repeatOf }) => repeatOf !== null).length];
  const parts = [
    `${count('complete')} scored`,
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
    ...(repeats > 0 ? [plural(repeats, 'repeat')] : []),
  ];
  return parts.join(', ');
}

/** What the last run of the program merged: `15 merges in 4 reads of the inputs`. */
export function mergesText({ merges, reads }: Pick<SearchDocument, 'merges' | 'reads'>): string {
  return `${plural(merges, 'merge')} in ${plural(reads, 'read')} of the inputs`;
}

/** `12 min evaluating, 30 s merging`, and what was reported of cost. */
export function spentText({ seconds, cost }: Pick<SearchDocument, 'seconds' | 'cost'>): string {
  const money = cost === null ? '' : `, cost ${plainNumber(cost, 6)}`;
  return `${formatSeconds(seconds.evaluating)} evaluating, ${formatSeconds(seconds.merging)} merging${money}`;
}

/**
 * How far a score moves from one evaluation of a recipe to the next, and what the evaluator's own standard
 * errors, if it has any, are taken for.
 */
export function noiseText({ noise, noiseStd, trials }: Pick<SearchDocument, 'noise' | 'noiseStd' | 'trials'>): string {
  const meaning =
    noise === 'shared'
      ? "; the evaluator's errors are of drawing its items, common to all trials"
      : "; the evaluator's errors are of each trial by itself";
  const errors = trials.some(({ stderr }) => stderr !== null) ? meaning : '';
  if (noiseStd === null) return `not known from one evaluation to the next${errors}`;
  const source = noiseStd.from === 'repeats' ? 'by repeats' : "by the model's fit";
  return `${plainNumber(noiseStd.value, 2)} from one evaluation to the next, ${source}${errors}`;
}

/** `97 %`; never certain. */
export function probabilityText(probability: number): string {
  if (probability >= 0.995) return 'over 99 %';
  return probability < 0.005 ? 'under 1 %' : `${Math.round(100 * probability)} %`;
}

/** How the best recipe compares with a baseline: observed scores, item by item where that is known. */
export function differenceText({ difference }: Pick<Baseline, 'difference'>): string {
  if (difference === null) return '–';
  return gainText(difference.gain, difference.error);
}

export function pairedWords(difference: Baseline['difference']): string {
  return difference === null ? '' : difference.paired ? 'item by item' : 'unpaired';
}
