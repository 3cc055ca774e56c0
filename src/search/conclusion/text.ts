import { formatCount } from '../../render/format.ts';
import { formatDifference, formatNumber } from '../../render/numbers.ts';
import type { NoDifferences } from './alike.ts';
import type { Comparison, Coverage } from './compare.ts';
import type { Drift } from './drift.ts';
import type { BetterReference } from './types.ts';
import type { ValidationResult } from './validate.ts';

/** The headline of a search without a validation. @param opponents labels of all baselines compared with */
export function searchSetText(
  subject: string,
  claimed: boolean,
  comparison: Comparison,
  against: string,
  opponents: readonly string[],
): string {
  const { gain, interval, probability, coverage } = comparison;
  const all = listed(opponents);
  const figures = `95 % interval ${intervalText(interval)}`;
  const headline = claimed
    ? `${capital(subject)} is better than ${all}: by ${amount(gain, interval)}${opponents.length > 1 ? ` over ${against}` : ''} (${figures}, probability ${chanceText(probability)}).`
    : `No evidence of a gain: ${subject} is estimated ${betterBy(gain, interval)} than ${against} (${figures})${opponents.length > 1 ? `, and better than ${opponents.length === 2 ? 'both' : 'each of'} ${all}` : ', better'} with a probability of ${chanceText(probability)}.`;
  return `${headline} ${coverageText(coverage, gain)}`;
}

/** What the interval covers, and what cannot be judged. */
function coverageText(coverage: Coverage, gain: number): string {
  switch (coverage.kind) {
    case 'paired':
      return `The interval covers the noise of evaluations and the choice of items (paired over ${formatCount(coverage.items)}).`;
    case 'independent':
      return 'The interval covers the noise of evaluations, in which the choice of items is, as they are drawn anew each time.';
    case 'unpaired': {
      const rest = gain <= coverage.resolution ? ', and this one is below' : '; the interval is for these items alone';
      return `Unpaired: differences below ${formatNumber(coverage.resolution, 2)} cannot be judged on this set${rest}.`;
    }
    case 'unknown':
      return 'The interval covers the noise of evaluations alone: without scores of items or a standard error, nothing is known of other items.';
  }
}

/**
 * A mean that is only there to be compared with scored better than the best of the search, within the noise.
 */
export function referenceText(label: string, { gain, error, paired, command }: BetterReference): string {
  const judged = error === null ? '' : ` ± ${formatNumber(error, 2)}${paired ? ', item by item' : ''}`;
  return `The ${label} scores better still, by ${formatDifference(gain)}${judged}: it is no part of what was searched${toMakeIt(command)}.`;
}

function toMakeIt(command: string | undefined): string {
  return command === undefined ? '' : `; to make it: \`${command}\``;
}

/** The same, beyond the noise: what comes before all else. @param own score of the best of the search */
export function referenceFirstText(label: string, { score, command }: BetterReference, best: number, own: number): string {
  return `The ${label} scored better than the best recipe of the search, beyond the noise: ${formatNumber(score, 4)}, where trial ${best} scored ${formatNumber(own, 4)}; it is no part of what was searched, and so not the output${toMakeIt(command)}.`;
}

/** Nothing that was tried differs from anything else by more than the noise. */
export function noDifferencesText({ recipes, most }: NoDifferences): string {
  return `No differences: ${formatCount(recipes)} recipes score alike within the noise, and no recipe of the space is likely to be better by more than ${formatNumber(most, 2)}.`;
}

/** Scores of the newest checkpoint changed by more than the noise. */
export function driftText({ trials, scores: [low, high], noise }: Drift): string {
  const times = noise === 0 ? '' : `, ${formatNumber((high - low) / noise, 2)} times the noise of a score`;
  return `The evaluator drifts: the newest scored ${formatNumber(low, 4)} to ${formatNumber(high, 4)} in ${formatCount(trials.length)} evaluations${times}, so that scores of different times differ by as much without a reason in the models.`;
}

/** The model would have another recipe, which was measured to be worse than a baseline. */
export function overruledText(trial: number, own: { readonly score: number }, label: string, baseline: { readonly score: number }): string {
  return `The model would have trial ${trial}, which scored ${formatNumber(own.score, 4)}: worse than the ${label} (${formatNumber(baseline.score, 4)}) beyond the noise, so it is not the answer.`;
}

/** A trial with a score far from the others'. */
interface FarTrial {
  readonly trial: number;
  readonly score: number;
}

/**
 * Scores far below the others. @param modelled a model takes them for better than they are; else they stand
 * for themselves @param against label of the baseline of the gain where its score is one of them, else null
 */
export function boundedText(trials: readonly FarTrial[], modelled: boolean, against: string | null): string {
  const one = trials.length === 1;
  const far = `${farTrials(trials)} scored far worse than the others`;
  if (!modelled)
    return `${far}: ${one ? 'the log of its evaluation says' : 'the logs of their evaluations say'} whether that is the model.`;
  const gain = against === null ? '' : ` The ${against} is one of them: the gain over it is rather larger than it says here.`;
  return `${far}: the model takes ${one ? 'it' : 'them'} for less bad, so that the better ones can be told apart.${gain}`;
}

/**
 * Scores far above all others: a find, or a fault of the evaluator. @param of how they are taken: as they
 * are; by a model for less good than they are, and whether the best is one of them; or as checkpoints that
 * training left, beside which there are only merges
 */
export function tooGoodText(trials: readonly FarTrial[], of: 'as it is' | 'as the best' | 'as another' | 'beside merges'): string {
  const one = trials.length === 1;
  const far = `${farTrials(trials)} scored so far better than`;
  const look = `look at the ${one ? 'log' : 'logs'} before ${one ? 'it is' : 'they are'} believed.`;
  if (of === 'beside merges')
    return `${far} everything that was merged that either merging breaks these models, or the evaluation went wrong: ${look}`;
  const gain = {
    'as it is': '',
    'as the best': ' What is said of its gain is in units of the others.',
    'as another': ' The answer goes by the others.',
  }[of];
  return `${far} all others that ${one ? 'it' : 'they'} may be a fault of the evaluator: ${look}${gain}`;
}

function farTrials(trials: readonly FarTrial[]): string {
  const shown = trials.slice(0, 5).map(({ trial, score }) => `${trial} (${formatNumber(score, 4)})`);
  if (trials.length <= 5) return `Trial${trials.length === 1 ? '' : 's'} ${listed(shown)}`;
  return `${formatCount(trials.length)} trials (${shown.join(', ')}, …)`;
}

/**
 * The headline of a validated search. @param search the gain on the search's own set, by its model where
 * there is one; null where the best is a baseline, to which nothing was fitted, and of which the gain on the
 * search's own set is said already
 */
export function validationText(
  subject: string,
  claimed: boolean,
  result: ValidationResult,
  against: string,
  search: { readonly gain: number; readonly claimed: boolean } | null,
): string {
  const { validation, interval, items, onlyNoise, other, alike } = result;
  if (alike !== null) return search === null ? capital(alikeOnSecondSet(alike)) : `No evidence of a gain: ${alikeOnSecondSet(alike)}`;
  const { gain } = validation.onValidation;
  const figures =
    interval === null
      ? ''
      : ` (95 % interval ${intervalText(interval)}${items === null ? '' : `, paired over ${formatCount(items)} items`})`;
  const sentences = [
    claimed
      ? `Validated: ${subject} is better than ${against} by ${amount(gain, interval)} on the second set, which the search never saw${figures}.`
      : search === null
        ? `On the second set, which the search never saw, ${subject} is ${betterBy(gain, interval)} than ${against}${figures}${interval === null ? '' : interval[1] < 0 ? ', beyond the noise' : ': within the noise there'}.`
        : `No evidence of a gain: on the second set, which the search never saw, ${subject} is ${betterBy(gain, interval)} than ${against}${figures}.`,
  ];
  if (interval === null)
    sentences.push(
      'Nothing is known of the error of that difference: score by item, give a standard error, or score a recipe several times.',
    );
  else if (onlyNoise)
    sentences.push(
      "The interval covers the noise of evaluations alone, as it was on the search's own set: nothing is known of other items.",
    );
  if (search !== null) {
    const seen = amount(Math.abs(search.gain), interval);
    if (search.claimed && !claimed) sentences.push(`The gain of ${seen} on the search's own set is not there: the search fitted that set.`);
    else if (interval !== null && search.gain > interval[1]) {
      sentences.push(`On the search's own set the gain was ${seen}: a part of it was fitted to that set.`);
    }
  }
  if (other !== null) {
    sentences.push(`Trial ${other} scores better there; but what is chosen by the second set would need a third to be judged.`);
  }
  return sentences.join(' ');
}

function alikeOnSecondSet(scored: number): string {
  return `${scored === 2 ? 'both' : `all ${formatCount(scored)}`} recipes that were scored on the second set, which the search never saw, have the very same score there, so that it tells nothing apart. Check that its evaluator scores {model}, or choose a score that does.`;
}

/** Where nothing that was tried makes a difference. */
export function alikeText(tried: number): string {
  return `No differences: ${tried === 2 ? 'both' : `all ${formatCount(tried)}`} recipes have the very same score, and so there is no evidence of a gain. Check that the evaluator scores {model}, or choose a score that tells merges apart.`;
}

/** Where a baseline is the best. @param searched whether a space was; else members and their means */
export function baselineText(subject: string, tried: number, searched: boolean): string {
  return tried > 1
    ? `No gain by the ${searched ? 'search: of what was searched' : 'soup: of its checkpoints and their means'}, ${subject} is estimated best.`
    : `Only ${subject} has a score: there is nothing to compare it with.`;
}

/**
 * A second comparison, of a baseline that is the best with the newest checkpoint.
 * @param choice among how many it was chosen by these scores, null where it was not: it has to be surer by so
 * much (Bonferroni's inequality), and that only where noise was measured. What a model of the space learns of
 * it is no measure for checkpoints outside.
 * @param validated whether what a second set says comes after it
 */
export function againstNewestText(
  subject: string,
  comparison: Comparison,
  newest: string,
  choice: { readonly of: number; readonly noiseKnown: boolean } | null,
  validated: boolean,
): string {
  const { gain, interval, coverage, probability } = comparison;
  const judged = coverage.kind !== 'unpaired' || gain > coverage.resolution;
  const sure = interval[0] > 0 && judged;
  const despiteChoice = choice === null || (choice.noiseKnown && 1 - probability <= 0.025 / choice.of);
  const verdict = sure && despiteChoice ? `is better than ${newest}:` : `is not known to be better than ${newest}: estimated`;
  const chosen = sure && !despiteChoice ? `, as the best of ${formatCount(choice.of)} by these very scores` : '';
  return `${validated ? `On the search's own set ${subject}` : capital(subject)} ${verdict} by ${amount(gain, interval)} (95 % interval ${intervalText(interval)})${chosen}. ${coverageText(coverage, gain)}`;
}

/** Where nothing is known of the noise. */
export function unknownNoiseText(subject: string, against: string, gain: number, { inSpace }: { readonly inSpace: boolean }): string {
  // Only of recipes in a space does the model learn the noise from one score each.
  const advice = inSpace ? 'Try more recipes, score one several times' : 'Score recipes several times';
  return `No evidence of a gain: ${subject} scored ${betterBy(gain, null)} than ${against}, but nothing is known of the noise of a score. ${advice}, score by item, or validate on a second set.`;
}

/** `A`, `A and B`, `A, B and C`. */
export function listed(labels: readonly string[]): string {
  return labels.length < 2 ? (labels[0] ?? '') : `${labels.slice(0, -1).join(', ')} and ${labels.at(-1)}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** `0.012 better`, `0.012 worse`, `no better`. */
export function betterBy(gain: number, interval: readonly [number, number] | null): string {
  return gain === 0 ? 'no better' : `${amount(Math.abs(gain), interval)} ${gain < 0 ? 'worse' : 'better'}`;
}

/** A gain to the second digit of half its interval. */
export function amount(value: number, interval: readonly [number, number] | null): string {
  return interval === null ? formatDifference(value) : toDigit(value, (interval[1] - interval[0]) / 2);
}

export function intervalText([low, high]: readonly [number, number]): string {
  const half = (high - low) / 2;
  return `${toDigit(low, half)} to ${toDigit(high, half)}`;
}

function toDigit(value: number, error: number): string {
  const decimals = 1 - Math.floor(Math.log10(error));
  if (!(decimals >= 0 && decimals <= 12)) return formatNumber(value, 3);
  // No negative zero in a sentence.
  return value.toFixed(decimals).replace(/^-(0(?:\.0*)?)$/, '$1');
}

export function chanceText(probability: number): string {
  if (probability > 0.999) return 'over 0.999';
  if (probability < 0.001) return 'below 0.001';
  // Rounded towards 1/2, so that 0.9499 is not shown as the 0.95 that a claim needs.
  const rounded = probability > 0.5 ? Math.floor(probability * 1000) / 1000 : Math.ceil(probability * 1000) / 1000;
  return String(rounded);
}
