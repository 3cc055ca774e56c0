import { didYouMean } from '../../base/did-you-mean.ts';
import { MergeError } from '../../base/errors.ts';
import { worded } from '../../base/option-words.ts';
import { shellQuote } from '../../base/process/shell-quote.ts';
import { formatNumber } from '../../render/numbers.ts';
import { addUpTo } from './items.ts';
import { type Metric, MOST_SCORE, noScore, type Report } from './report.ts';
import type { ItemScores, Score } from './types.ts';

/** A metric that is asked for, and its weight in the score. */
export interface MetricTerm {
  /** `task/metric,filter`, `task/metric` where one filter exists, or a JSON pointer with `--metric-file`. */
  readonly name: string;
  /** Finite, not 0. */
  readonly weight: number;
}

/** Metrics that an error lists; a harness's groups have hundreds. */
const SHOWN = 20;

/**
 * A `--metric`: `arc_easy/acc,none`, or `arc_easy/acc,none=0.5` with a weight.
 * @throws MergeError E_OPTION where the name is empty, or the weight is no number, infinite or 0
 */
export function parseMetric(text: string): MetricTerm {
  const equals = text.lastIndexOf('=');
  const [name, weight] = equals < 0 ? [text, '1'] : [text.slice(0, equals), text.slice(equals + 1)];
  const help = "Write 'task/metric,filter', or with a weight 'task/metric,filter=0.5'; where the name itself ends like a weight, add '=1'.";
  if (name.trim() === '') throw new MergeError('E_OPTION', worded`--metric '${text}' names no metric`, { help });
  const number = weight.trim() === '' ? Number.NaN : Number(weight);
  if (!Number.isFinite(number) || number === 0) {
    throw new MergeError('E_OPTION', worded`--metric '${text}': the weight '${weight}' is no finite number other than 0`, { help });
  }
  return { name: name.trim(), weight: number };
}

/**
 * The score of a report: the weighted sum of the metrics asked for, or the one that there is.
 *
 * The standard error of a sum takes its metrics as independent, √Σ(w·stderr)², which holds for different
 * tasks; its direction is known where every metric has one and the weights' signs make them agree.
 *
 * @throws MergeError E_METRIC where a name fits no metric or several, or none is given and there are several;
 *   E_EVALUATOR where the value is not finite, or beyond {@link MOST_SCORE}
 */
export async function scoreOf(report: Report, terms: readonly MetricTerm[]): Promise<Score> {
  const chosen = terms.length === 0 ? [{ metric: theOne(report), weight: 1 }] : find(report, terms);
  const unsound = chosen.filter(({ metric }) => !Number.isFinite(metric.value));
  if (unsound.length > 0) {
    const names = unsound.map(({ metric }) => metric.name || 'the score').join(', ');
    throw noScore(`${names} is NaN or infinite in ${report.source}`);
  }
  const score = chosen.reduce((sum, { metric, weight }) => sum + weight * metric.value, 0);
  if (!Number.isFinite(score)) throw noScore(`the weighted sum of metrics overflows in ${report.source}`);
  if (Math.abs(score) > MOST_SCORE) {
    const size = `beyond ±${MOST_SCORE.toExponential().replace('e+', 'e')}, which nothing can be compared with`;
    throw noScore(`the score is ${formatNumber(score)} in ${report.source}: ${size}`);
  }
  const errors = chosen.map(({ metric, weight }) => (metric.stderr === null ? null : weight * metric.stderr));
  const directions = new Set(
    chosen.map(({ metric, weight }) => (metric.higherIsBetter === null ? null : metric.higherIsBetter === weight > 0)),
  );
  return {
    score,
    stderr: errors.includes(null) ? null : Math.hypot(...(errors as number[])),
    items: await itemsOfMetrics(chosen),
    metrics: Object.fromEntries(report.metrics.flatMap(({ name, value }) => (Number.isFinite(value) ? [[name, value]] : []))),
    higherIsBetter: directions.size === 1 ? [...directions][0]! : null,
    source: report.source,
    cost: report.cost,
  };
}

interface Chosen {
  readonly metric: Metric;
  readonly weight: number;
}

/**
 * Null as soon as one metric has no items: half a sum compared item by item would leave out the noise of the
 * other half.
 */
async function itemsOfMetrics(chosen: readonly Chosen[]): Promise<readonly ItemScores[] | null> {
  const items: ItemScores[] = [];
  for (const { metric, weight } of chosen) {
    const lists = await metric.items?.();
    if (lists == null || !addUpTo(metric.value, lists)) return null;
    items.push(...lists.map(({ name, share, digest, scores }) => ({ name, weight: weight * share, digest, scores })));
  }
  return items;
}

function theOne({ source, score, metrics }: Report): Metric {
  if (score !== null) return score;
  const offered = metrics.filter(({ aside }) => !aside);
  if (offered.length === 1) return offered[0]!;
  if (offered.length === 0) throw noScore(`there is no metric in ${source}`);
  throw new MergeError('E_METRIC', `which metric is the score? ${source} has ${offered.length}:\n${listed(offered)}`);
}

function find({ source, metrics }: Report, terms: readonly MetricTerm[]): Chosen[] {
  const problems: string[] = [];
  const chosen = terms.flatMap((term): Chosen[] => {
    const { name, weight } = term;
    const exact = metrics.find((metric) => metric.name === name);
    if (exact) return [{ metric: exact, weight }];
    const filters = metrics.filter((metric) => withoutFilter(metric.name) === name);
    if (filters.length === 1) return [{ metric: filters[0]!, weight }];
    // Metrics of lighteval end like a weight: `pass@k:k=1`.
    const whole = metrics.find((metric) => metric.name === `${name}=${weight}`);
    if (whole) return [{ metric: whole, weight: 1 }];
    problems.push(
      filters.length > 1
        ? `'${name}' has ${filters.length} filters:\n${listed(filters)}`
        : `'${name}' is none of them; ${near(name, metrics)}`,
    );
    return [];
  });
  if (problems.length > 0) throw new MergeError('E_METRIC', worded`--metric does not fit the metrics in ${source}: ${problems.join('\n')}`);
  return chosen;
}

function withoutFilter(name: string): string | null {
  const comma = name.lastIndexOf(',');
  return comma < 0 ? null : name.slice(0, comma);
}

/** What may be meant: the nearest name, or else those that share a part of it, or else all. */
function near(name: string, metrics: readonly Metric[]): string {
  const all = metrics.map((metric) => metric.name);
  const short = new Map(all.map((whole) => [whole.split(',')[0]!, whole]));
  const guess = didYouMean(name, [...all, ...short.keys()]);
  if (guess !== null) return worded`did you mean --metric ${shellQuote(short.get(guess) ?? guess)}?`;
  const parts = name
    .toLowerCase()
    .split(/[/,|]/)
    .filter((part) => part.length > 1);
  const alike = metrics.filter((metric) => parts.some((part) => metric.name.toLowerCase().includes(part)));
  if (metrics.length === 0) return 'it has none with a name';
  return `there ${alike.length > 0 ? 'are like it' : 'are'}\n${listed(alike.length > 0 ? alike : metrics)}`;
}

/** Ready to paste, with the values of this evaluation. */
function listed(metrics: readonly Metric[]): string {
  const lines = metrics.slice(0, SHOWN).map(({ name, value, higherIsBetter }) => {
    const direction = higherIsBetter === null ? '' : higherIsBetter ? ', higher is better' : ', lower is better';
    return worded`  --metric ${shellQuote(name)}   (${Number.isFinite(value) ? Number(value.toPrecision(6)) : 'NaN or infinite'}${direction})`;
  });
  return [...lines, ...(metrics.length > SHOWN ? [`  and ${metrics.length - SHOWN} more`] : [])].join('\n');
}

export interface ReadOptions {
  /** The metrics whose weighted sum is the score. Without them there has to be one only. */
  readonly metrics?: readonly MetricTerm[];
  /** Glob of a file, under the folder of results or absolute; `{out}` stands for that folder. */
  readonly metricFile?: string;
  /** Its first group, or the one named `score`, is the score; one named `stderr` its standard error. */
  readonly metricRegex?: string;
}
