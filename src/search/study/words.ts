import type { Goal } from '../../checkpoints/results/types.ts';
import { formatNumber, plainNumber } from '../../render/numbers.ts';
import { hasEffect } from '../space/schedule-parameters.ts';
import type { Params } from '../space/types.ts';
import type { TrialKind } from './types.ts';

/**
 * A score to six digits, with its standard error to two: on the same items merges differ far below that
 * error.
 */
export function scoreText(score: number | null, stderr: number | null): string {
  if (score === null) return '–';
  return stderr === null
    ? formatNumber(score, 6)
    : `${formatNumber(score, 6)} ± ${stderr >= 1e5 ? formatNumber(stderr, 2) : plainNumber(stderr, 2)}`;
}

/** Metrics that are a language-model loss, or follow from one. */
const LOSS = /loss|perplexity|ppl|nll|bits_per|entropy/i;

/**
 * What to say where models are scored by a loss and nothing else; null elsewhere. A number without a name that is
 * to be small is taken for one.
 * @param metric the metrics of the score, with white space between
 */
export function lossAloneText({ goal, metric }: { readonly goal: Goal; readonly metric: string | null }): string | null {
  if (goal !== 'minimize' || !(metric ?? 'loss').split(' ').every((name) => LOSS.test(name))) return null;
  return 'scored by a loss alone: a lower loss is not always a better model (in the one published comparison with a decay the merge had the higher loss and the better benchmarks); score tasks, too, before a choice (docs/search.md)';
}

/** What trials are called. */
export const KIND_WORDS: Record<TrialKind, string> = {
  newest: 'newest',
  uniform: 'uniform mean',
  sma: 'SMA',
  single: 'single',
  trial: 'trial',
  soup: 'soup',
  window: 'window',
  mean: 'plain mean',
  output: 'output',
};

/**
 * `window 6, method ema, alpha 0.2`, less what decides nothing (an alpha of a simple mean); what is outside
 * the space has no parameters.
 */
export function paramsText(params: Params | null): string {
  if (params === null) return '';
  return Object.entries(params)
    .filter(([name]) => hasEffect(name, params))
    .map(([name, value]) => `${name} ${paramText(value)}`)
    .join(', ');
}

export function paramText(value: number | string | undefined): string {
  return typeof value === 'number' ? plainNumber(value, 4) : (value ?? '–');
}
