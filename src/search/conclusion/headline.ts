import type { Goal } from '../../checkpoints/results/types.ts';
import { NORMAL_95 } from '../gaussian-process/normal.ts';
import { allEqual } from './alike.ts';
import type { Beliefs } from './beliefs.ts';
import { type Comparison, compare } from './compare.ts';
import { difference, type NoiseKind } from './difference.ts';
import type { RecipeScores } from './recipes.ts';
import { againstNewestText, alikeText, baselineText, searchSetText, unknownNoiseText, validationText } from './text.ts';
import type { Baseline, Conclusion, Validation } from './types.ts';
import { type KnownNoise, type Validated, type ValidationResult, type ValidationScores, validate } from './validate.ts';

/** Least probability of being better than all baselines at which a gain is claimed. Ours. */
export const CLAIM_PROBABILITY = 0.95;

/** A baseline that has a score, and where it stands in the list of recipes. */
export type PlacedBaseline = Pick<Baseline, 'name' | 'label'> & { readonly index: number };

export interface HeadlineInput {
  readonly goal: Goal;
  readonly noise: NoiseKind;
  readonly seed: number;
  readonly recipes: readonly RecipeScores[];
  /** Null where nothing is known of the noise. */
  readonly beliefs: Beliefs | null;
  /** Index of the best recipe. */
  readonly best: number;
  readonly baselines: readonly PlacedBaseline[];
  readonly known: KnownNoise;
  /** Whether recipes lie in a space. */
  readonly inSpace: boolean;
  readonly scores: ValidationScores | null;
}

/** What can be said of the best recipe, see `conclude`. */
export function headline(input: HeadlineInput): { readonly conclusion: Conclusion; readonly validation: Validation | null } {
  const { recipes, best, goal, known } = input;
  const baselines = input.baselines.map((baseline) => ({ ...baseline, label: `the ${baseline.label}` }));
  const subject = baselines.find(({ index }) => index === best)?.label ?? `trial ${recipes[best]!.trials[0]!.id}`;
  // A mean over the last 10 is a recipe like any other: shown in reports, but nothing that a search has to
  // beat.
  const rivals = baselines.filter(({ name }) => name !== 'sma');
  const opponents = rivals.filter(({ index }, i) => index !== best && rivals.findIndex((other) => other.index === index) === i);
  const isRival = rivals.some(({ index }) => index === best);
  const idsOf = ({ trials }: RecipeScores) => trials.flatMap(({ id, repeatOf }) => (repeatOf === null ? [id] : [id, repeatOf]));
  const validated = (index: number): Validated => ({ ...recipes[index]!.trials[0]!, ids: idsOf(recipes[index]!) });
  // A validation may be of several searches together, pairs of a chain.
  const own = new Set(recipes.flatMap(idsOf));
  const scores = input.scores === null ? null : { ...input.scores, rows: input.scores.rows.filter(({ trial }) => own.has(trial)) };
  const result =
    scores === null
      ? null
      : validate(
          scores,
          validated(best),
          opponents.map(({ index }) => validated(index)),
          goal,
          known,
        );
  const search = allEqual(recipes)
    ? unfounded(alikeText(recipes.length))
    : isRival
      ? ofBaseline(input, subject, opponents, result !== null)
      : ofSearch(input, subject, opponents);
  if (scores === null || opponents.length === 0) return { conclusion: search, validation: null };
  if (result === null) {
    const text = `${search.text} The second set says nothing of it: ${subject} or every baseline has no score there.`;
    return { conclusion: { ...search, text }, validation: null };
  }
  const against = opponents[result.against]!;
  const claimed = result.interval !== null && result.interval[0] > 0;
  const seen = isRival ? null : { gain: search.gain ?? result.validation.onSearch.gain, claimed: search.gainClaimed };
  const text = validationText(subject, claimed, result, against.label, seen);
  if (isRival) return { conclusion: { ...search, text: `${search.text} ${text}` }, validation: result.validation };
  return { conclusion: ofValidation(result, claimed, text, against), validation: result.validation };
}

/** A conclusion that claims and measures nothing. */
export function unfounded(text: string): Conclusion {
  return { gainClaimed: false, text, probability: null, gain: null, interval: null, basis: null, against: null, resolution: null };
}

/** The best recipe is a baseline itself. @param validated whether what a second set says comes after it */
function ofBaseline(input: HeadlineInput, subject: string, opponents: readonly PlacedBaseline[], validated: boolean): Conclusion {
  const { recipes } = input;
  const text = baselineText(subject, recipes.length, input.inSpace);
  const newest = opponents.find(({ name }) => name === 'newest');
  const comparison = newest === undefined ? null : comparisonWith(input, [newest]);
  if (comparison === null) return unfounded(text);
  // The best single is chosen by the very scores that it is judged by; the mean was there before them.
  const isSingle = ({ trials }: RecipeScores) => trials.some(({ kind }) => kind === 'single');
  const choice = isSingle(recipes[input.best]!)
    ? { of: recipes.filter(isSingle).length, noiseKnown: comparison.coverage.kind === 'paired' || input.known.measured !== null }
    : null;
  return unfounded(`${text} ${againstNewestText(subject, comparison, newest!.label, choice, validated)}`);
}

function ofSearch(input: HeadlineInput, subject: string, opponents: readonly PlacedBaseline[]): Conclusion {
  if (opponents.length === 0)
    return unfounded(`No gain can be told: ${subject} is the best of what was tried, and no baseline has a score.`);
  const comparison = comparisonWith(input, opponents);
  if (comparison === null) {
    const { recipes, best, goal } = input;
    const gains = opponents.map(({ index }) => difference(recipes[best]!.trials[0]!, recipes[index]!.trials[0]!, goal).gain);
    const gain = Math.min(...gains);
    const against = opponents[gains.indexOf(gain)]!;
    return { ...unfounded(unknownNoiseText(subject, against.label, gain, input)), against: nameOf(against) };
  }
  const { gain, interval, probability, coverage } = comparison;
  const against = opponents.find(({ index }) => index === comparison.against)!;
  const resolution = coverage.kind === 'unpaired' ? coverage.resolution : null;
  const gainClaimed = probability >= CLAIM_PROBABILITY && interval[0] > 0 && (resolution === null || gain > resolution);
  const labels = opponents.map(({ label }) => label);
  const text = searchSetText(subject, gainClaimed, comparison, against.label, labels);
  return { gainClaimed, text, probability, gain, interval, basis: 'posterior', against: nameOf(against), resolution };
}

function ofValidation(result: ValidationResult, gainClaimed: boolean, text: string, against: PlacedBaseline): Conclusion {
  const { interval, probability, onlyNoise, validation } = result;
  const { gain, error, paired } = validation.onValidation;
  const resolution = paired || onlyNoise || error === null ? null : NORMAL_95 * error;
  return { gainClaimed, text, probability, gain, interval, basis: 'validation', against: nameOf(against), resolution };
}

function comparisonWith(
  { beliefs, recipes, best, goal, noise, seed }: HeadlineInput,
  opponents: readonly PlacedBaseline[],
): Comparison | null {
  if (beliefs === null) return null;
  return compare(
    beliefs,
    recipes,
    best,
    opponents.map(({ index }) => index),
    { goal, noise, seed },
  );
}

function nameOf({ name }: PlacedBaseline): Conclusion['against'] {
  return name === 'best single' ? 'single' : name === 'sma' ? null : name;
}
