import { formatCount, formatSeconds } from '../../render/format.ts';
import { type Column, table } from '../../render/html/figure.ts';
import { html, type Markup } from '../../render/html/markup.ts';
import { badge, type Tone } from '../../render/html/page.ts';
import { formatNumber, plainNumber } from '../../render/numbers.ts';
import { hasEffect } from '../space/schedule-parameters.ts';
import type { Trial } from '../study/types.ts';
import { KIND_WORDS, paramText, scoreText } from '../study/words.ts';
import type { SearchDocument } from './types.ts';
import { chosenByText, membersText, paramOf } from './words.ts';

/** Beyond these a table of metrics is for the JSON. */
const MOST_METRICS = 24;

const STATUS: Record<Trial['status'], Tone> = { complete: 'neutral', failed: 'bad', skipped: 'notice' };

/** A row a trial, with the columns that any of them fills. @param labels of members by path */
export function trialTable(
  { trials, space, best }: Pick<SearchDocument, 'trials' | 'best'> & { readonly space: Pick<SearchDocument['space'], 'parameters'> },
  labels: ReadonlyMap<string, string>,
): Markup {
  const any = (has: (trial: Trial) => boolean): boolean => trials.some(has);
  const [stderr, repeats, cost] = [any((t) => t.stderr !== null), any((t) => t.repeatOf !== null), any((t) => t.cost !== null)];
  const by = any((t) => t.by !== null);
  const number = (label: string): Column => ({ label, kind: 'number' });
  const columns: Column[] = [
    number('Trial'),
    { label: 'Kind' },
    ...space.parameters.map(({ name, kind }): Column => (kind === 'choice' ? { label: name } : number(name))),
    { label: 'Members' },
    number('Score'),
    ...(stderr ? [number('Standard error')] : []),
    { label: 'Status' },
    ...(by ? [{ label: 'Chosen by' }] : []),
    ...(repeats ? [number('Repeat of')] : []),
    number('Evaluation'),
    number('Merge'),
    ...(cost ? [number('Cost')] : []),
  ];
  const rows = trials.map((trial) => [
    trial.id,
    html`${KIND_WORDS[trial.kind]}${trial.id === best?.trial ? html` ${badge('neutral', 'best')}` : null}`,
    ...space.parameters.map(({ name }) =>
      trial.params !== null && !hasEffect(name, trial.params) ? '–' : paramText(paramOf(trial.params, name)),
    ),
    membersText(trial, labels),
    scoreText(trial.score, null),
    ...(stderr ? [formatNumber(trial.stderr, 3)] : []),
    html`${badge(STATUS[trial.status], trial.status)} ${trial.reason}`,
    ...(by ? [chosenByText(trial.by)] : []),
    ...(repeats ? [trial.repeatOf ?? ''] : []),
    formatSeconds(trial.seconds),
    trial.mergeSeconds === 0 ? '–' : formatSeconds(trial.mergeSeconds),
    ...(cost ? [formatNumber(trial.cost, 4)] : []),
  ]);
  return table(columns, rows);
}

/** What else the evaluator reported, where that is more than the score. */
export function metricParts(trials: readonly Trial[]): Markup[] {
  const names = [...new Set(trials.flatMap(({ metrics }) => Object.keys(metrics)))];
  if (names.length < 2) return [];
  const shown = names.slice(0, MOST_METRICS);
  const rows = trials
    .filter(({ metrics }) => Object.keys(metrics).length > 0)
    .map(({ id, metrics }) => [id, ...shown.map((name) => formatNumber(Object.hasOwn(metrics, name) ? metrics[name]! : null, 5))]);
  const more = names.length > shown.length ? html`<p>And ${formatCount(names.length - shown.length)} more; --json has them all.</p>` : null;
  const columns: Column[] = [{ label: 'Trial', kind: 'number' }, ...shown.map((label): Column => ({ label, kind: 'number' }))];
  return [html`<h3>Every metric</h3>${table(columns, rows)}${more}`];
}

/** Every checkpoint of the pool. @param labels by its place in `members` */
export function poolTable({ members, best }: SearchDocument, labels: readonly string[]): Markup {
  const weights = new Map(best?.weights.map(({ path, weight }) => [path, weight]));
  const rows = members.map(({ path, tokens }, i) => [
    labels[i],
    tokens === null ? '–' : formatCount(tokens),
    ...(best === null ? [] : [plainNumber(weights.get(path) ?? 0, 6)]),
    path,
  ]);
  const columns: Column[] = [
    { label: 'Checkpoint' },
    { label: 'Tokens', kind: 'number' },
    ...(best === null ? [] : [{ label: 'Weight in the best', kind: 'number' } as const]),
    { label: 'Path', kind: 'name' },
  ];
  return table(columns, rows);
}
