import type { Goal } from '../../checkpoints/results/types.ts';
import { formatCount, formatSeconds, formatStep, plural } from '../../render/format.ts';
import { type Column, table } from '../../render/html/figure.ts';
import { type ChartAxis, type ChartPoint, lineChart } from '../../render/html/line-chart.ts';
import { type Content, html, type Markup } from '../../render/html/markup.ts';
import { badge, htmlPage, list, type PageSection } from '../../render/html/page.ts';
import { checkpointLabels } from '../../render/labels.ts';
import { plainNumber } from '../../render/numbers.ts';
import type { StudyUnderWay } from '../optimise/live-page.ts';
import { scoreLabel } from '../optimise/page-figures.ts';
import { goalWords, spentText, trialCounts } from '../optimise/words.ts';
import { scoreText } from '../study/words.ts';
import { forecastDocument } from './document.ts';
import type { ForecastDocument, ForecastPoint } from './types.ts';
import { decayedText, estimateText, forecastHeadline, outlierText, recoveredText, windowGainText } from './words.ts';

/** What its page is called. */
export const FORECAST_TITLE = 'Forecast of the merged score';

/** What the scores so far show of a forecast under way. */
export function liveForecast({ identity, trials, warnings }: StudyUnderWay, goal: Goal): readonly PageSection[] {
  const document = forecastDocument({ identity, goal, trials, branches: [], reads: 0, warnings });
  return [{ title: 'Along the run', parts: [forecastChart(document)] }];
}

/** The report of `merge forecast` as one HTML document. */
export function forecastPage(document: ForecastDocument): string {
  const { points, warnings, method, window, trials } = document;
  const labels = checkpointLabels(points);
  const facts: ([string, Content] | null)[] = [
    ['Windows', `${plural(points.length, 'window')} of ${plural(window, 'checkpoint')}, ${method}`],
    points.length === 0 ? null : ['Along the run', points.length === 1 ? labels[0] : `${labels[0]} to ${labels.at(-1)}`],
    document.recovered === null
      ? ['Calibrated', 'no: nothing is said of a decayed score']
      : ['Recovered by merging', recoveredText(document)],
    ['Evaluator', html`<code>${document.evaluator}</code>`],
    ['Score', `${document.metric ?? 'one number'}, ${goalWords(document.goal)}`],
    ['Trials', `${trials.length}: ${trialCounts(trials)}`],
    document.reads === 0 ? null : ['The run was read', document.reads === 1 ? 'once' : `${document.reads} times`],
    ['Spent', spentText(document)],
    ['Inputs', html`<code>${document.inputs.join(' ')}</code>`],
  ];
  const scored = points.some(({ single, merged }) => single !== null || merged !== null);
  const sections: (PageSection | null)[] = [
    scored ? { title: 'Along the run', parts: [forecastChart(document), pointTable(document, labels)] } : null,
    branchSection(document),
    failureSection(document),
    warnings.length === 0 ? null : { title: 'Warnings', parts: [list(warnings.map(({ message }) => message))] },
  ];
  return htmlPage({
    title: FORECAST_TITLE,
    summary: {
      headline: forecastHeadline(document),
      tone: scored ? 'neutral' : 'bad',
      findings: [outlierText(document), estimateText(document.goal)].filter((text) => text !== null),
      facts: facts.filter((fact) => fact !== null),
    },
    sections: sections.filter((section) => section !== null),
  });
}

/** Steps along the x axis where all are known and rise, else the windows counted. */
function placeOf(points: readonly ForecastPoint[]): ChartAxis & { at: (index: number) => number } {
  const known = points.every(({ step }, i) => step !== null && step > (points[i - 1]?.step ?? -1));
  return known
    ? { label: 'step', format: formatStep, at: (index) => points[index]!.step! }
    : { label: 'window, oldest first', at: (index) => index + 1 };
}

function forecastChart(document: ForecastDocument) {
  const { points, branches } = document;
  const { at, ...x } = placeOf(points);
  const line = (pick: (point: ForecastPoint) => Omit<ChartPoint, 'x'> | null): ChartPoint[] =>
    points.flatMap((point, i) => {
      const y = pick(point);
      return y === null ? [] : [{ x: at(i), ...y }];
    });
  const estimate = (score: number | null, stderr: number | null) =>
    score === null ? null : { y: score, ...(stderr === null ? {} : { error: stderr }) };
  const decayed = line(({ decayed: at }) =>
    at === null ? null : { y: at.score, ...(at.low < at.high ? { band: [at.low, at.high] as const } : {}) },
  );
  const hasErrors = points.some(({ singleStderr, mergedStderr }) => singleStderr !== null || mergedStderr !== null);
  const real = x.label === 'step' ? branches.map(({ step, score }) => ({ x: step, y: score })) : [];
  return lineChart({
    title: 'Merged against single',
    note: `${hasErrors ? "Error bars are the evaluator's standard errors, of drawing the same items for all." : 'The evaluator gives no standard errors.'}${
      decayed.length === 0 ? '' : ' The decayed line is of the calibration, its band of the spread of the branches.'
    }`,
    x,
    y: { label: scoreLabel(document) },
    series: [
      { label: `merged, window of ${document.window}`, points: line((point) => estimate(point.merged, point.mergedStderr)), colour: 1 },
      { label: 'checkpoint alone', points: line((point) => estimate(point.single, point.singleStderr)), colour: 0 },
      ...(decayed.length === 0 ? [] : [{ label: 'decayed, by the calibration', points: decayed, colour: 2 }]),
      ...(real.length === 0
        ? []
        : [{ label: 'real decays', points: [...real].sort((a, b) => a.x - b.x), draw: 'points', colour: 3 } as const]),
    ],
  });
}

function pointTable({ points }: ForecastDocument, labels: readonly string[]): Markup {
  const [tokens, decayed] = [points.some((point) => point.tokens !== null), points.some((point) => point.decayed !== null)];
  const rows = points.map((point, i) => [
    labels[i],
    ...(tokens ? [point.tokens === null ? '–' : formatCount(point.tokens)] : []),
    scoreText(point.single, point.singleStderr),
    scoreText(point.merged, point.mergedStderr),
    windowGainText(point),
    ...(decayed ? [decayedText(point)] : []),
  ]);
  const number = (label: string): Column => ({ label, kind: 'number' });
  const columns = [
    { label: 'Window up to' },
    ...(tokens ? [number('Tokens')] : []),
    number('Alone'),
    number('Merged'),
    number('Gain by merging'),
    ...(decayed ? [number('Decayed, by the calibration')] : []),
  ];
  return table(columns, rows);
}

function branchSection({ branches, recovered }: ForecastDocument): PageSection | null {
  if (branches.length === 0) return null;
  const rows = branches.map((branch) => [formatStep(branch.step), plainNumber(branch.score, 6), plainNumber(branch.recovered, 3)]);
  const columns = [
    { label: 'Left the run at step', kind: 'number' },
    { label: 'Ended with', kind: 'number' },
    { label: 'Recovered by merging', kind: 'number' },
  ] as const;
  const meaning = html`<p>The recovered fraction is (merged − single) / (decayed − single) at the step where a branch left the run.</p>`;
  const one = recovered !== null && recovered.spread === null ? ['One branch has no spread: the decayed line has no band.'] : [];
  return { title: 'Real decays', parts: [meaning, table(columns, rows), ...one] };
}

function failureSection({ trials }: ForecastDocument): PageSection | null {
  const rows = trials
    .filter(({ status }) => status !== 'complete')
    .map(({ id, weights, status, reason, seconds }) => [
      id,
      weights.at(-1)?.path ?? '',
      badge(status === 'failed' ? 'bad' : 'notice', status),
      reason,
      formatSeconds(seconds),
    ]);
  if (rows.length === 0) return null;
  const columns = [
    { label: 'Trial', kind: 'number' },
    { label: 'Window up to', kind: 'name' },
    { label: 'Status' },
    { label: 'Reason' },
    { label: 'Evaluation', kind: 'number' },
  ] as const;
  return { title: 'What has no score', parts: [table(columns, rows)] };
}
