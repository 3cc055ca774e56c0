import { isJsonObject, type JsonObject } from '../../base/json/parse.ts';
import { type ItemList, mean, namedItems, unnamedItems } from './items.ts';
import { amountOf, type Metric, MOST_SCORE, noScore, type Report, stderrOf } from './report.ts';

/**
 * A decimal number as programs print it; `nan` and `inf` too, since a line with one is the score that the
 * evaluator meant.
 */
const NUMBER = /^[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|nan|inf(?:inity)?)$/i;

/** @returns null for what is no number; NaN for `nan` and `inf` */
export function numberOf(text: string): number | null {
  return NUMBER.test(text) ? Number(text) : null;
}

/** The report of an evaluator that said one number and nothing else. */
export function bareNumber(value: number, source: string, stderr: number | null = null): Report {
  return { source, score: { name: '', value, stderr, higherIsBetter: null }, metrics: [], cost: null };
}

/** Whether an object is of the form that {@link scoreReport} reads. */
export function isScoreJson(json: unknown): json is JsonObject {
  return isJsonObject(json) && ['score', 'scores', 'metrics'].some((key) => Object.hasOwn(json, key));
}

/**
 * The JSON of our own convention:
 * `{"score", "stderr", "items" or "scores", "metrics", "higher_is_better", "constraints", "cost"}`, of which
 * `score`, `scores` or `metrics` is needed. Without `score` it is the mean of a list of `scores`. Items are a
 * list of numbers, or an object of numbers by the items' names.
 * @throws MergeError E_EVALUATOR where the score or its standard error is no such number, or a constraint does not hold
 */
export function scoreReport(json: JsonObject, source: string): Report {
  const { score, stderr, metrics, higher_is_better: direction, cost } = json;
  holdConstraints(json.constraints, source);
  const items = itemScoresOf(json.items ?? json.scores);
  // An object may well hold metrics by name, of which nobody asked for the mean.
  const value = score === undefined && items !== null && Array.isArray(json.scores) ? mean(items.scores) : score;
  if (value !== undefined && typeof value !== 'number') throw noScore(`"score" is ${JSON.stringify(value)} in ${source}`);
  const error = stderrOf(stderr, 'stderr', source);
  return {
    source,
    score: value === undefined ? null : { ...named('', value, direction), stderr: error, items: async () => items && [items] },
    metrics: isJsonObject(metrics)
      ? Object.entries(metrics).flatMap(([name, value]) => (typeof value === 'number' ? [named(name, value, direction)] : []))
      : [],
    cost: amountOf(cost),
  };
}

function named(name: string, value: number, direction: unknown): Metric {
  const said = isJsonObject(direction) ? direction[name] : name === '' ? direction : null;
  return { name, value, stderr: null, higherIsBetter: typeof said === 'boolean' ? said : null };
}

/** As in Optuna, a constraint holds where it is at most 0; `true` holds too. */
function holdConstraints(constraints: unknown, source: string): void {
  if (!isJsonObject(constraints)) return;
  const broken = Object.entries(constraints).filter(([, value]) => !(value === true || (typeof value === 'number' && value <= 0)));
  if (broken.length === 0) return;
  const list = broken.map(([name, value]) => `${name} is ${JSON.stringify(value)}`).join(', ');
  throw noScore(`constraints do not hold in ${source} (they do at 0 and below, and at true): ${list}`);
}

function itemScoresOf(items: unknown): ItemList | null {
  const numbers = Array.isArray(items) || isJsonObject(items) ? Object.values(items) : [];
  if (numbers.length === 0 || !numbers.every((item) => typeof item === 'number' && Math.abs(item) <= MOST_SCORE)) return null;
  return Array.isArray(items) ? unnamedItems('', numbers as number[]) : namedItems('', Object.entries(items as Record<string, number>));
}
