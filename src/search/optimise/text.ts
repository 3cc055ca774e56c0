import type { Colors } from '../../render/colors.ts';
import { formatTable, plural, printable, withEqualDecimals } from '../../render/format.ts';
import { checkpointLabels } from '../../render/labels.ts';
import { plainNumber } from '../../render/numbers.ts';
import { wrap } from '../../render/wrap.ts';
import type { Trial } from '../study/types.ts';
import { lossAloneText, scoreText } from '../study/words.ts';
import { greedyHeadline, ingredientOutcome } from './soup-words.ts';
import type { BestTrial, SearchDocument } from './types.ts';
import {
  differenceText,
  endingWords,
  gainText,
  goalWords,
  mergesText,
  noiseText,
  pairedWords,
  probabilityText,
  recipeName,
  spentText,
  trialCounts,
} from './words.ts';

const WIDTH = 100;
/** Weights that are written out. */
const MOST_WEIGHTS = 8;
/** Of many members the heaviest. */
const HEAVIEST = 3;
/** Reasons of failures that are shown; the page and the JSON have all. */
const MOST_REASONS = 3;

/**
 * What `search` and `soup` print when they end: the conclusion, the best recipe beside its baselines, and
 * what was spent.
 */
export function searchText(document: SearchDocument, colors: Colors): string {
  const { conclusion, best, onBounds } = document;
  const lossAlone = lossAloneText(document);
  const outdone = conclusion.reference?.beyondNoise === true;
  const paint = best === null ? colors.red : conclusion.gainClaimed && !outdone ? colors.green : colors.bold;
  const lines = [
    ...wrap(printable(conclusion.text), WIDTH).map(paint),
    ...onBounds.flatMap(({ text }) => bullet(text)),
    ...withSpace(best === null ? [] : bestLines(document, best)),
    ...withSpace(baselineTable(document)),
    ...withSpace(greedyLines(document)),
    ...withSpace(pairTable(document)),
    ...withSpace(validationLines(document)),
    ...withSpace(failureLines(document.trials)),
    '',
    ...(lossAlone === null ? [] : wrap(lossAlone, WIDTH, '  ')),
    ...wrap(`noise: ${noiseText(document)}`, WIDTH, '  '),
    `${plural(document.trials.length, 'trial')}: ${trialCounts(document.trials)}; ${endingWords(document.ended)}`,
    `${document.merges === 0 ? '' : `${mergesText(document)}; `}${spentText(document)}`,
  ];
  return `${lines.join('\n')}\n`;
}

function bullet(text: string): string[] {
  return wrap(`  - ${printable(text)}`, WIDTH, '    ');
}

function withSpace(lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', ...lines];
}

function bestLines(document: SearchDocument, { trial, params, weights, score, stderr, posterior }: BestTrial): string[] {
  const chosen = document.trials.find(({ id }) => id === trial);
  const model = posterior === null ? '' : `, by the model ${scoreText(posterior.mean, posterior.std)}`;
  return [
    ...wrap(`best recipe: ${printable(recipeName(trial, params, document.trials))} (trial ${trial})`, WIDTH, '  '),
    `  scored ${scoreText(score, stderr)}${model} (${goalWords(document.goal)})`,
    ...wrap(`  ${weightsText(weights)}`, WIDTH, '  '),
    ...(chosen?.parts ?? []).flatMap((part) =>
      wrap(`  ${printable(part.role)}: ${weightsText(weights.map((of, i) => ({ ...of, weight: part.weights[i] ?? 0 })))}`, WIDTH, '  '),
    ),
  ];
}

function weightsText(weights: BestTrial['weights']): string {
  const members = weights.filter(({ weight }) => weight !== 0);
  const labels = checkpointLabels(members).map(printable);
  const each = (indices: readonly number[]) =>
    withEqualDecimals(indices.map((i) => plainNumber(members[i]!.weight, 4)))
      .map((weight, k) => `${labels[indices[k]!]} × ${weight}`)
      .join(', ');
  const all = members.map((_, i) => i);
  if (members.length === 1) return each(all);
  const span = `${plural(members.length, 'checkpoint')}, ${labels[0]} to ${labels.at(-1)}`;
  if (members.length > 2 && members.every(({ weight }) => weight === members[0]!.weight))
    return `${span}, ${plainNumber(members[0]!.weight, 4)} each`;
  if (members.length <= MOST_WEIGHTS) return each(all);
  return `${span}; heaviest ${each(all.sort((a, b) => members[b]!.weight - members[a]!.weight).slice(0, HEAVIEST))}`;
}

function baselineTable({ baselines, best, chain }: SearchDocument): string[] {
  if (baselines.length === 0) return [];
  const gains = withEqualDecimals(baselines.map((baseline) => (best?.trial === baseline.trial ? 'the same' : differenceText(baseline))));
  const rows = baselines.map((baseline, i) => [
    printable(baseline.label),
    baseline.score === null ? 'no score' : scoreText(baseline.score, baseline.stderr),
    gains[i]!,
    best?.trial === baseline.trial ? '' : pairedWords(baseline.difference),
  ]);
  const head = [chain === null ? 'baseline' : 'baseline of the newest pair', 'score', 'best against it', ''];
  return formatTable([head, ...rows], ['left', 'right', 'right', 'left']);
}

function pairTable({ chain, members, trials }: SearchDocument): string[] {
  if (chain === null) return [];
  const labels = checkpointLabels(members).map(printable);
  const rows = chain.map(({ older, newer, best, single, conclusion }) => [
    `${labels[older]}, ${labels[newer]}`,
    best === null ? '–' : recipeName(best.trial, best.params, trials),
    scoreText(best?.score ?? null, null),
    scoreText(single, null),
    conclusion.gain === null ? '–' : gainText(conclusion.gain),
    conclusion.probability === null ? '–' : probabilityText(conclusion.probability),
    conclusion.gainClaimed ? 'yes' : 'no',
  ]);
  const head = ['pair', 'best', 'score', 'newer alone', 'gain over both', 'probability', 'claimed'];
  return formatTable([head, ...rows], ['left', 'left', 'right', 'right', 'right', 'right', 'left']);
}

function validationLines({ validation }: SearchDocument): string[] {
  if (validation === null) return [];
  const { onSearch, onValidation, command } = validation;
  const side = ({ gain, error, paired }: typeof onSearch): string => `${gainText(gain, error)}${paired ? ', item by item' : ', unpaired'}`;
  return [
    ...wrap(`on a second set, by ${printable(command)}`, WIDTH, '  '),
    `  gain over the better baseline  ${side(onValidation)}`,
    `  on the search set it was       ${side(onSearch)}`,
  ];
}

/** Why trials failed or were skipped, each reason once. */
function failureLines(trials: readonly Trial[]): string[] {
  const reasons = new Map<string, number[]>();
  for (const { id, reason, status } of trials) {
    if (reason === null) continue;
    const text = `${status}: ${reason}`;
    reasons.set(text, [...(reasons.get(text) ?? []), id]);
  }
  const lines = [...reasons].slice(0, MOST_REASONS).flatMap(([text, ids]) => {
    const which = ids.length === 1 ? `trial ${ids[0]}` : `${ids.length} trials from ${ids[0]} on`;
    return wrap(`${which} ${printable(text)}`, WIDTH, '  ');
  });
  const more = reasons.size - MOST_REASONS;
  return more > 0 ? [...lines, `and ${plural(more, 'more reason')}, all of them on the page`] : lines;
}

/** How the greedy soup came about, a line an ingredient; empty where there is none. */
function greedyLines({ greedy, members, best }: SearchDocument): string[] {
  if (greedy === undefined) return [];
  const labels = checkpointLabels(members);
  const labelOf = new Map(members.map(({ path }, i) => [path, labels[i]!]));
  const rows = greedy.tried.map((ingredient) => [
    printable(labelOf.get(ingredient.path) ?? ingredient.path),
    scoreText(ingredient.alone, null),
    scoreText(ingredient.score, null),
    ingredientOutcome(ingredient),
  ]);
  return [
    ...wrap(greedyHeadline(greedy, members.length, best), WIDTH),
    ...formatTable([['', 'alone', 'soup with it', ''], ...rows], ['left', 'right', 'right', 'left']),
  ];
}
