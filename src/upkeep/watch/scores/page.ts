import { formatSeconds, formatStep, plural } from '../../../render/format.ts';
import { type Column, table } from '../../../render/html/figure.ts';
import { type ChartAxis, type ChartPoint, lineChart, type Series } from '../../../render/html/line-chart.ts';
import type { Live } from '../../../render/html/live.ts';
import { type Content, html } from '../../../render/html/markup.ts';
import { badge, htmlPage, list, type PageSection } from '../../../render/html/page.ts';
import { formatNumber, plainNumber } from '../../../render/numbers.ts';
import { scoreLabel } from '../../../search/optimise/page-figures.ts';
import { firstSentence, gainText, goalWords, trialCounts } from '../../../search/optimise/words.ts';
import { scoreText } from '../../../search/study/words.ts';
import { latestText } from './text.ts';
import type { ScoredModel, WatchedEndpoint, WatchScores } from './types.ts';

/** Windows in a chart that can be told apart. */
const MOST_LINES = 5;
/** Metrics of the training in the table; the document has all. */
const MOST_LOGGED = 4;
/** Endpoints in the table, newest first; the document has all. */
const MOST_ROWS = 200;

/** What is of the moment, beside the scores. */
export interface PageMoment {
  /** Null where the watch has ended. */
  readonly live: Live | null;
  /** Models that have still to be scored. */
  readonly waiting: readonly string[];
  /** Models that have no score, and why; newest last. */
  readonly left: readonly { readonly name: string; readonly reason: string }[];
  /** Checkpoints and merges of the run that could not be made or used, and why; newest last. */
  readonly notMerged: readonly { readonly name: string; readonly reason: string }[];
}

/** The page of a watch: merged against single along the run. */
export function watchPage(document: WatchScores, { live, waiting, left, notMerged }: PageMoment): string {
  const { endpoints, conclusion, trials, warnings } = document;
  const [headline, rest] = conclusion === null ? [latestText(document), ''] : firstSentence(conclusion.text);
  const facts: [string, Content][] = [
    [
      'Endpoints',
      `${plural(endpoints.length, 'checkpoint')} scored${endpoints.length === 0 ? '' : `, up to step ${formatStep(endpoints.at(-1)!.step)}`}`,
    ],
    ['Waiting to be scored', String(waiting.length)],
    ['Score', `${document.metric ?? 'one number'}, ${goalWords(document.goal)}`],
    ['Evaluator', html`<code>${document.evaluator}</code>`],
    ['Trials', `${trials.length}: ${trialCounts(trials)}`],
    ['Spent', `${formatSeconds(document.seconds.evaluating)} evaluating`],
    ['Run', html`<code>${document.run}</code>`],
  ];
  const sections: (PageSection | null)[] = [
    endpoints.length === 0 ? null : { title: 'Along the run', parts: [...charts(document), endpointTable(document)] },
    calibrationSection(document),
    waiting.length === 0 ? null : { title: 'What waits to be scored', parts: [list(waiting.slice(0, MOST_ROWS))] },
    reasons('What has no score', left),
    reasons('What was not merged', notMerged),
    warnings.length === 0 ? null : { title: 'Warnings', parts: [list(warnings.map(({ message }) => message))] },
  ];
  return htmlPage({
    title: 'Merged against single, while the run goes on',
    summary: {
      headline,
      tone: conclusion?.gainClaimed ? 'good' : 'neutral',
      findings: [rest, ...(conclusion === null ? [] : [latestText(document)])].filter((text) => text !== ''),
      facts,
    },
    sections: sections.filter((section) => section !== null),
    ...(live !== null && { live }),
  });
}

/** `5.94M`: an axis has no room for all digits. */
function tokensText(tokens: number): string {
  const [divisor, unit] = tokens >= 1e12 ? [1e12, 'T'] : tokens >= 1e9 ? [1e9, 'B'] : tokens >= 1e6 ? [1e6, 'M'] : [1, ''];
  return `${formatNumber(tokens / divisor, 4)}${unit}`;
}

/** By tokens where every endpoint has them, else by steps. */
function axisOf(endpoints: readonly WatchedEndpoint[]): ChartAxis & { at(endpoint: WatchedEndpoint): number } {
  return endpoints.every(({ tokens }) => tokens !== null)
    ? { label: 'tokens', format: tokensText, at: ({ tokens }) => tokens! }
    : { label: 'step', format: formatStep, at: ({ step }) => step };
}

function charts(document: WatchScores) {
  const { endpoints, calibration } = document;
  const { at, ...x } = axisOf(endpoints);
  const pointsOf = (pick: (endpoint: WatchedEndpoint) => Omit<ChartPoint, 'x'> | null): ChartPoint[] =>
    endpoints.flatMap((endpoint) => {
      const point = pick(endpoint);
      return point === null ? [] : [{ x: at(endpoint), ...point }];
    });
  const scored = (model: ScoredModel | null | undefined) =>
    model?.score == null ? null : { y: model.score, ...(model.stderr !== null && { error: model.stderr }) };
  const recipes = recipesOf(document);
  const lines: Series[] = [
    { label: 'checkpoint alone', points: pointsOf(({ single }) => scored(single)), colour: 0 },
    ...recipes.map((recipe, i) => ({ label: `merged, ${recipe}`, points: pointsOf((one) => scored(mergeOf(one, recipe))), colour: i + 1 })),
  ];
  const forecasts = calibration.filter(({ recovered }) => recovered !== null).map(({ recipe }) => recipe);
  const decayed = forecasts.slice(0, 1).map(
    (recipe): Series => ({
      label: `decayed, by the calibration of ${recipe}`,
      colour: 4,
      points: pointsOf((one) => {
        const found = mergeOf(one, recipe)?.decayed ?? null;
        return found === null ? null : { y: found.score, ...(found.low < found.high && { band: [found.low, found.high] as const }) };
      }),
    }),
  );
  const real = calibration.find(({ recovered }) => recovered !== null)?.recovered?.branches ?? [];
  const branches: Series[] =
    x.label !== 'step' || real.length === 0
      ? []
      : [
          {
            label: 'real decays',
            draw: 'points',
            colour: 3,
            points: real.map(({ step, score }) => ({ x: step, y: score })).sort((a, b) => a.x - b.x),
          },
        ];
  const series = [...lines.slice(0, MOST_LINES + 1), ...decayed, ...branches].filter(({ points }) => points.length > 0);
  const hasErrors = lines.some(({ points }) => points.some(({ error }) => error !== undefined));
  const differences = recipes.map(
    (recipe, i): Series => ({
      label: recipe,
      colour: i + 1,
      points: pointsOf((one) => {
        const over = mergeOf(one, recipe)?.over ?? null;
        return over === null ? null : { y: over.gain, ...(over.error !== null && { error: over.error }) };
      }),
    }),
  );
  const gains = differences.filter(({ points }) => points.length > 0).slice(0, MOST_LINES);
  const paired = endpoints.some(({ merges }) => merges.some(({ over }) => over?.paired === true));
  return [
    ...(series.length === 0
      ? []
      : [
          lineChart({
            title: 'Merged against single',
            note: `${hasErrors ? "Error bars are the evaluator's standard errors, of drawing the same items for all." : 'The evaluator gives no standard errors.'}${decayed.length === 0 ? '' : ' The decayed line is of the calibration, its band of the spread of the branches.'}${lines.length > MOST_LINES + 1 ? ` The first ${MOST_LINES} of ${recipes.length} windows; the table has all.` : ''}`,
            x,
            y: { label: scoreLabel(document) },
            series,
          }),
        ]),
    ...(gains.length === 0
      ? []
      : [
          lineChart({
            title: 'Gain over the checkpoint alone',
            note: `Above 0 the merge is better. ${paired ? 'Error bars are standard errors of differences item by item.' : 'Error bars are of two scores that are taken for independent.'} They are pointwise, each for its endpoint alone: neighbouring windows share members, and all share the items, so that several in a row are not several proofs.`,
            x,
            y: { label: 'gain (+ is better)' },
            series: gains,
            levels: [{ label: 'no difference', y: 0, colour: 0 }],
          }),
        ]),
  ];
}

const recipesOf = ({ endpoints }: WatchScores) => [...new Set(endpoints.flatMap(({ merges }) => merges.map(({ recipe }) => recipe)))];
const mergeOf = ({ merges }: WatchedEndpoint, recipe: string) => merges.find((merge) => merge.recipe === recipe);

function endpointTable(document: WatchScores) {
  const { endpoints, calibration } = document;
  const recipes = recipesOf(document);
  const logged = [...new Set(endpoints.flatMap((endpoint) => Object.keys(endpoint.logged)))].slice(0, MOST_LOGGED);
  const [hasTokens, hasDecays] = [endpoints.some(({ tokens }) => tokens !== null), calibration.some(({ recovered }) => recovered !== null)];
  const cell = (model: ScoredModel | null | undefined) =>
    model == null ? '–' : model.score === null ? badge('bad', 'no score') : scoreText(model.score, model.stderr);
  const number = (label: string): Column => ({ label, kind: 'number' });
  const columns = [
    number('Step'),
    ...(hasTokens ? [number('Tokens')] : []),
    ...logged.map(number),
    number('Alone'),
    ...recipes.flatMap((recipe) => [number(recipe), number('Gain (+ is better)'), ...(hasDecays ? [number('Decayed')] : [])]),
  ];
  const rows = endpoints
    .slice(-MOST_ROWS)
    .toReversed()
    .map((endpoint) => [
      formatStep(endpoint.step),
      ...(hasTokens ? [endpoint.tokens === null ? '–' : tokensText(endpoint.tokens)] : []),
      ...logged.map((name) => (endpoint.logged[name] === undefined ? '–' : plainNumber(endpoint.logged[name], 4))),
      cell(endpoint.single),
      ...recipes.flatMap((recipe) => {
        const merge = mergeOf(endpoint, recipe);
        const over = merge?.over ?? null;
        const decayed = merge?.decayed ?? null;
        return [
          cell(merge),
          over === null ? '–' : gainText(over.gain, over.error),
          ...(hasDecays ? [decayed === null ? '–' : scoreText(decayed.score, null)] : []),
        ];
      }),
    ]);
  return table(columns, rows);
}

function calibrationSection({ calibration }: WatchScores): PageSection | null {
  if (calibration.length === 0) return null;
  const rows = calibration.map(({ recipe, recovered, problem }) => [
    recipe,
    recovered === null ? '–' : `${recovered.mean.toFixed(2)}${recovered.spread === null ? '' : ` ± ${recovered.spread.toFixed(2)}`}`,
    problem ?? '',
  ]);
  return {
    title: 'What real decays say',
    parts: [
      'The recovered fraction is (merged − single) / (decayed − single) at the step where a branch left the run.',
      table([{ label: 'Window', kind: 'name' }, { label: 'Recovered by merging', kind: 'number' }, { label: 'Why there is none' }], rows),
    ],
  };
}

function reasons(title: string, all: readonly { readonly name: string; readonly reason: string }[]): PageSection | null {
  if (all.length === 0) return null;
  const rows = all
    .slice(-MOST_ROWS)
    .toReversed()
    .map(({ name, reason }) => [name, reason]);
  return { title, parts: [table([{ label: 'Name', kind: 'name' }, { label: 'Reason' }], rows)] };
}

/** How long a model has waited, for the line of what is done now. */
export function nowText(names: readonly string[], seconds: number | null): string {
  if (names.length === 0) return '';
  const usual = seconds === null ? '' : `, which takes about ${formatSeconds(seconds)}`;
  return `scoring ${names.join(', ')}${usual}`;
}
