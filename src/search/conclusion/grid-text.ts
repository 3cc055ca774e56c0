import { formatCount } from '../../render/format.ts';
import { formatDifference, formatNumber } from '../../render/numbers.ts';
import { amount, betterBy, chanceText, intervalText, listed } from './text.ts';

export interface ArtefactWords {
  readonly chosen: string;
  readonly gainClaimed: boolean;
  readonly gain: number;
  readonly interval: readonly [number, number];
  readonly probability: number;
  readonly observed: number;
  readonly candidates: number;
  /** Items by which they are compared; null where they are unpaired. */
  readonly items: number | null;
  /** Of all references, and of the better one. */
  readonly labels: readonly string[];
  readonly label: string;
  readonly farBelow: readonly string[];
}

/** Whether the best output of a grid is better than its references. */
export function artefactText(words: ArtefactWords): string {
  const { chosen, gainClaimed, gain, interval, probability, observed, candidates, items, labels, label, farBelow } = words;
  const all = listed(labels.map((of) => `the ${of}`));
  const among = candidates > 1 ? `, chosen among ${formatCount(candidates)} outputs` : '';
  const figures = `95 % interval ${intervalText(interval)}${among}`;
  const sentences = [
    gainClaimed
      ? `${capital(chosen)} is better than ${all}: by ${amount(gain, interval)}${labels.length > 1 ? ` over the ${label}` : ''} (${figures}).`
      : `No evidence of a gain: ${chosen}, estimated best, is estimated ${betterBy(gain, interval)} than the ${label} (${figures}), and better with a probability of ${chanceText(probability)}.`,
  ];
  if (candidates > 1 && observed > gain)
    sentences.push(`It scored ${betterBy(observed, interval)}; the best of ${formatCount(candidates)} scores is best partly by luck.`);
  if (gain === interval[1])
    sentences.push(
      'Another output scores nearly the same: given that this one was chosen by a hair little is known of it, and the interval ends at the estimate.',
    );
  sentences.push(
    items === null
      ? 'Unpaired: the scores have standard errors and no items, and are taken for independent, so that the interval is rather too wide.'
      : `The interval covers the choice of the output and of the items (paired over ${formatCount(items)}).`,
  );
  if (farBelow.length > 0) {
    const shown = farBelow.length > 5 ? [...farBelow.slice(0, 4), `${farBelow.length - 4} more`] : farBelow;
    sentences.push(
      `${listed(shown)} scored so far below the others that the estimate leaves ${farBelow.length === 1 ? 'it' : 'them'} out.`,
    );
  }
  return sentences.join(' ');
}

/** Where too little has a score. @param outputs that have one and are no controls @param references that have one */
export function withoutScoresText(outputs: number, references: number): string {
  if (outputs > 0) return 'No gain can be told: neither the newest checkpoint nor a mean has a score.';
  if (references > 0) return 'No output has a score that differs from those it is compared with: nothing can be concluded.';
  return 'No output has a score: nothing can be concluded.';
}

/** Where nothing is known of how far scores err. */
export function unjudgedText(chosen: string, label: string, observed: number): string {
  const scored =
    observed === 0 ? 'the same as the' : `${formatDifference(Math.abs(observed))} ${observed > 0 ? 'better' : 'worse'} than the`;
  return `Not judged: ${chosen} scored best, ${scored} ${label}, but without scores of the same items or standard errors nothing is known of how far scores err. Score by item, or validate on a second set.`;
}

export type RecipesWords =
  | {
      readonly kind: 'unjudged';
      readonly fewest: number;
      /** Endpoints of the recipe that has most, and how many independent ones they are worth. */
      readonly most: { readonly endpoints: number; readonly effective: number };
      /** References without a score beside any recipe; null where none has one. */
      readonly missing: readonly string[] | null;
    }
  | {
      readonly kind: 'judged';
      readonly gainClaimed: boolean;
      readonly chosen: string;
      readonly gain: number;
      readonly interval: readonly [number, number];
      readonly effective: number;
      readonly endpoints: number;
      readonly better: number;
      readonly candidates: number;
      readonly labels: readonly string[];
      readonly label: string;
    };

/** What every judgement of recipes is to be read with. */
export const SAME_ITEMS = 'All endpoints have the same items: the interval is for these alone.';

/** Whether the best recipe of a grid is better than its references over the endpoints of the run. */
export function recipesText(words: RecipesWords): string {
  if (words.kind === 'unjudged') {
    const { fewest, most, missing } = words;
    if (missing === null) return 'Recipes are not judged: at no endpoint have a recipe and a reference a score.';
    if (missing.length > 0)
      return `Recipes are not judged: at no endpoint is there a score of ${listed(missing.map((of) => `the ${of}`))}.`;
    const few = `Recipes are not judged: it takes ${fewest} independent endpoints, and`;
    if (most.effective > most.endpoints - 0.05)
      return `${few} ${formatCount(most.endpoints)} ${most.endpoints === 1 ? 'was' : 'were'} scored. Score more of them.`;
    return `${few} the ${formatCount(most.endpoints)} that were scored are worth ${formatNumber(most.effective, 2)}, since their windows overlap. Score endpoints farther apart, or more of them.`;
  }
  const { gainClaimed, chosen, gain, interval, effective, endpoints, better, candidates, labels, label } = words;
  const among = candidates > 1 ? `, as the best of ${formatCount(candidates)} recipes` : '';
  const figures = `95 % interval ${intervalText(interval)}${among}`;
  const over = `over ${formatCount(endpoints)} endpoints, which are worth ${formatNumber(effective, 2)} independent ones`;
  const headline = gainClaimed
    ? `As a recipe ${chosen} is better than ${listed(labels.map((of) => `the ${of}`))}: by ${amount(gain, interval)}${labels.length > 1 ? ` over the ${label}` : ''} (${figures}) ${over}.`
    : `No evidence that ${chosen} is better as a recipe: ${betterBy(gain, interval)} than the ${label} (${figures}) ${over}.`;
  return `${headline} It was better at ${formatCount(better)} of ${formatCount(endpoints)}. ${SAME_ITEMS}`;
}

/** Which windows recipes were judged of, and which, or which single recipes, have too few endpoints for that. */
export function judgedWindowsText(
  judged: readonly string[],
  dropped: readonly { readonly name: string; readonly endpoints: number; readonly effective: number }[],
  fewest: number,
): string {
  const shown = dropped.map(({ name, endpoints, effective }) =>
    effective > endpoints - 0.05
      ? `${name} (${formatCount(endpoints)})`
      : `${name} (${formatCount(endpoints)}, worth ${formatNumber(effective, 2)})`,
  );
  const some = shown.length > 6 ? [...shown.slice(0, 5), `${formatCount(shown.length - 5)} more`] : shown;
  return `Recipes were judged of the ${judged.length === 1 ? 'window' : 'windows'} ${listed(judged)}; not judged, with fewer than ${fewest} independent endpoints: ${listed(some)}.`;
}

/** What of a conclusion about shapes follows one about all outputs and means. */
export type ShapesWords = Pick<ArtefactWords, 'chosen' | 'candidates' | 'label'> & {
  /** It is what is estimated best of all. */
  readonly isBest: boolean;
  readonly gain: number | null;
  readonly interval: readonly [number, number] | null;
  readonly observed: number;
  readonly onSecondSet: boolean;
};

/** That no output is known to be better than the plain means. */
export function noShapeText(words: ShapesWords): string {
  const { chosen, candidates, label, isBest, gain, interval, observed, onSecondSet } = words;
  if (gain === null)
    return `${isBest ? 'It' : `Of the other shapes ${chosen} scored best: it`} scored ${betterBy(observed, null)} than the ${label}.`;
  const among = candidates > 1 && !onSecondSet ? `, chosen among ${formatCount(candidates)} outputs` : '';
  const figures = interval === null ? '' : ` (95 % interval ${intervalText(interval)}${among})`;
  const difference = `is ${onSecondSet ? 'on the second set' : 'estimated'} ${betterBy(gain, interval)} than the ${label}${figures}.`;
  return isBest
    ? `No evidence that it is better than a plain mean, too: it ${difference}`
    : `No evidence that another shape is better than a plain mean: ${chosen}, estimated best of them, ${difference}`;
}

function capital(text: string): string {
  return text.startsWith('the ') ? `The${text.slice(3)}` : text;
}
