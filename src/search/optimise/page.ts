import { groupBy } from '../../base/group-by.ts';
import { barChart } from '../../render/html/bar-chart.ts';
import { type Column, type Figure, table } from '../../render/html/figure.ts';
import { type Content, html, type Markup } from '../../render/html/markup.ts';
import { badge, htmlPage, list, type PageSection, type Tone } from '../../render/html/page.ts';
import { checkpointLabels } from '../../render/labels.ts';
import { formatNumber } from '../../render/numbers.ts';
import { scoreText } from '../study/words.ts';
import { chainCharts, progressChart, scoredTrials, trialName, weightsFigure } from './page-figures.ts';
import { greedySection } from './page-soup.ts';
import { spaceFigures } from './page-space.ts';
import { metricParts, poolTable, trialTable } from './page-tables.ts';
import type { SearchDocument } from './types.ts';
import {
  BASELINE_WORDS,
  chosenByText,
  conclusionGain,
  differenceText,
  endingWords,
  firstSentence,
  gainBasis,
  goalWords,
  mergesText,
  noiseText,
  pairedWords,
  parameterText,
  probabilityText,
  recipeName,
  spentText,
  trialCounts,
} from './words.ts';

/** Parameters that a title names. */
const MOST_NAMED = 3;

/** The report of `merge search` and `merge soup` as one HTML document. */
export function searchPage(document: SearchDocument): string {
  const { members, conclusion, best } = document;
  const labels = checkpointLabels(members);
  const byPath = new Map(members.map(({ path }, i) => [path, labels[i]!]));
  const scored = scoredTrials(document.trials);
  const sections = [
    scored.length === 0 ? null : comparisonSection(document),
    validationSection(document),
    greedySection(document, byPath),
    chainSection(document, labels),
    scored.length === 0
      ? null
      : {
          title: 'How the search went',
          parts: [progressChart({ ...document, isChain: document.chain !== null }), ...choiceParts(document)],
        },
    section(document.chain === null ? 'What it learned' : 'What it learned of the newest pair', spaceFigures(document)),
    section(
      'Who weighs how much',
      [weightsFigure(document)].filter((figure) => figure !== null),
    ),
    { title: 'Every trial', parts: [trialTable(document, byPath), ...metricParts(document.trials)] },
    { title: 'Members', parts: [poolTable(document, labels)] },
    document.warnings.length === 0 ? null : { title: 'Warnings', parts: [list(document.warnings.map(({ message }) => message))] },
  ];
  const [headline, more] = firstSentence(conclusion.text);
  const outdone = conclusion.reference?.beyondNoise === true;
  const tone: Tone = best === null ? 'bad' : conclusion.gainClaimed && !outdone ? 'good' : 'neutral';
  return htmlPage({
    title: searchTitle({ kind: document.kind, ...document.space, members: document.members.length, pairs: document.chain?.length ?? null }),
    summary: {
      headline,
      tone,
      findings: [...(more === '' ? [] : [more]), ...document.onBounds.map(({ text }) => text)],
      facts: facts(document, labels),
    },
    sections: sections.filter((one) => one !== null),
  });
}

/** What the page of a search or a soup is called. @param pairs of a chain */
export function searchTitle({
  kind,
  parameters,
  members,
  pairs,
}: {
  readonly kind: SearchDocument['kind'];
  readonly parameters: SearchDocument['space']['parameters'];
  readonly members: number;
  readonly pairs: number | null;
}): string {
  if (kind === 'soup') return `Soup of ${members} checkpoints`;
  const names = parameters.map(({ name }) => name);
  if (pairs !== null) return `Search of λ over ${pairs} adjacent pairs`;
  return `Search over ${names.length > MOST_NAMED || names.length === 0 ? `${names.length} parameters` : names.join(', ')}`;
}

function facts(document: SearchDocument, labels: readonly string[]): [string, Content][] {
  const { conclusion, space, sampler, seed, metric, goal, noiseStd, trials } = document;
  const gain = conclusionGain(conclusion);
  const source = trials.find(({ id }) => id === document.best?.trial)?.source ?? null;
  const all: ([string, Content] | null)[] = [
    conclusion.probability === null ? null : ['Probability of a gain', probabilityText(conclusion.probability)],
    gain === null ? null : ['Gain', `${gain} ${gainBasis(conclusion)}`],
    ['Members', labels.length < 2 ? (labels[0] ?? 'none') : `${labels.length}: ${labels[0]} to ${labels.at(-1)}`],
    document.kind === 'soup'
      ? null
      : ['Space', space.parameters.length === 0 ? space.name : `${space.name}: ${space.parameters.map(parameterText).join(', ')}`],
    document.kind === 'soup' ? null : ['Sampler', `${sampler}, seed ${seed}`],
    ['Evaluator', html`<code>${document.evaluator}</code>`],
    ['Score', `${metric ?? 'one number'}, ${goalWords(goal)}`],
    source === null ? null : ['Read from', source],
    conclusion.resolution === null ? null : ['Smallest difference that can be judged unpaired', formatNumber(conclusion.resolution, 2)],
    [noiseStd === null ? 'Noise' : 'Noise, a standard deviation', noiseText(document)],
    ['Trials', `${trials.length}: ${trialCounts(trials)}`],
    document.merges === 0 ? null : ['Merges, in the last run', mergesText(document)],
    ['Spent', spentText(document)],
    ['Ended', endingWords(document.ended)],
    document.output === null || document.best === null ? null : ['Best merge', html`<code>${document.output}</code>`],
    ['Inputs', html`<code>${document.inputs.join(' ')}</code>`],
  ];
  return all.filter((fact) => fact !== null);
}

function section(title: string, figures: readonly Figure[]): PageSection | null {
  return figures.length === 0 ? null : { title, parts: figures };
}

function comparisonSection({ best, baselines, trials, chain }: SearchDocument): PageSection {
  const chosen = trials.find(({ id }) => id === best?.trial);
  const columns: Column[] = [
    { label: 'Recipe' },
    { label: 'Score', kind: 'number' },
    { label: 'By the model', kind: 'number' },
    { label: 'Best against it', kind: 'number' },
    { label: 'Compared' },
    { label: 'Trial', kind: 'number' },
  ];
  const rows: Content[][] = baselines.map((baseline) => [
    baseline.label,
    scoreText(baseline.score, baseline.stderr),
    '',
    best?.trial === baseline.trial ? 'the same' : differenceText(baseline),
    best?.trial === baseline.trial ? '' : pairedWords(baseline.difference),
    baseline.trial,
  ]);
  if (best !== null && chosen !== undefined) {
    const model = best.posterior === null ? '' : scoreText(best.posterior.mean, best.posterior.std);
    const name = html`<b>${recipeName(best.trial, best.params, trials)}</b> ${badge('neutral', 'best')}`;
    rows.unshift([name, html`<b>${scoreText(best.score, best.stderr)}</b>`, model, '', '', best.trial]);
  }
  const note = html`<p>Differences are of observed scores, positive where the best recipe is better. A recipe that was chosen for its score looks better than it is: what can be claimed is said at the top.</p>`;
  const title = chain === null ? 'The best recipe and its baselines' : 'The newest pair: its best recipe and baselines';
  return { title, parts: [table(columns, rows), note] };
}

function validationSection({ validation, trials, best, baselines }: SearchDocument): PageSection | null {
  if (validation === null) return null;
  const rows = validation.rows.map(({ trial, score, stderr }) => {
    const before = trials.find(({ id }) => id === trial);
    const names = [
      ...(best?.trial === trial ? [badge('neutral', 'best')] : []),
      ...baselines.filter((baseline) => baseline.trial === trial).map(({ name }) => badge('neutral', BASELINE_WORDS[name])),
    ];
    return [
      html`${before === undefined ? `trial ${trial}` : trialName(before)} ${names}`,
      scoreText(before?.score ?? null, before?.stderr ?? null),
      scoreText(score, stderr),
    ];
  });
  const columns = [
    { label: 'Recipe' },
    { label: 'On the search set', kind: 'number' },
    { label: 'On the second set', kind: 'number' },
  ] as const;
  const { onSearch, onValidation } = validation;
  const bars = barChart({
    title: 'Gain of the best over the better baseline',
    note: 'In the direction of the goal, with one standard error where it is known. A gain that is there only on the search set was fitted to that set.',
    label: 'gain',
    bars: [
      { label: `search set (${onSearch.paired ? 'item by item' : 'unpaired'})`, value: onSearch.gain, ...errorOf(onSearch.error) },
      {
        label: `second set (${onValidation.paired ? 'item by item' : 'unpaired'})`,
        value: onValidation.gain,
        ...errorOf(onValidation.error),
        marked: true,
      },
    ],
  });
  const source = html`<p>Scored again with <code>${validation.command}</code>, on what the search never saw. ${remaining(onSearch.gain, onValidation.gain)}</p>`;
  return { title: 'On a second set', parts: [source, bars, table(columns, rows)] };
}

function errorOf(error: number | null): { error?: number } {
  return error === null ? {} : { error };
}

function remaining(before: number, after: number): string {
  if (before <= 0) return '';
  if (after <= 0) return 'The gain on the search set is gone here: it was fitted to that set.';
  return `${formatNumber((100 * after) / before, 3)} % of the gain on the search set is found here, too.`;
}

function chainSection(document: SearchDocument, labels: readonly string[]): PageSection | null {
  if (document.chain === null) return null;
  const rows = document.chain.map(({ older, newer, best, single, singleStderr, conclusion }) => [
    `${labels[older]} → ${labels[newer]}`,
    best === null ? '–' : recipeName(best.trial, best.params, document.trials),
    scoreText(best?.score ?? null, best?.stderr ?? null),
    scoreText(single, singleStderr),
    conclusionGain(conclusion) ?? '–',
    conclusion.probability === null ? '–' : probabilityText(conclusion.probability),
    conclusion.gainClaimed ? badge('good', 'yes') : badge('neutral', 'no'),
  ]);
  const columns = [
    { label: 'Pair' },
    { label: 'Best' },
    { label: 'Score of the best merge', kind: 'number' },
    { label: 'Newer alone', kind: 'number' },
    { label: 'Gain', kind: 'number' },
    { label: 'Probability', kind: 'number' },
    { label: 'Gain claimed' },
  ] as const;
  return { title: 'Pair by pair', parts: [...chainCharts(document), table(columns, rows)] };
}

/** How many of the trials came from where. */
function choiceParts({ trials, kind }: SearchDocument): Markup[] {
  const chosen = trials.flatMap(({ by, repeatOf }) => (by === null || repeatOf !== null ? [] : by));
  if (chosen.length === 0 || kind === 'soup') return [];
  const counts = [...groupBy(chosen, (by) => by)].map(([by, of]) => `${chosenByText(by)} ${of.length}`);
  return [html`<p>Chosen by: ${counts.join(', ')}.</p>`];
}
