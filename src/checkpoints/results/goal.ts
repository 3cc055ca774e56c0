import { MergeError } from '../../base/errors.ts';
import type { ReadOptions } from './metric.ts';
import type { Goal, Score } from './types.ts';

/** What follows from which scores are better. */
export interface Direction {
  /** Times a score: a number of which larger is better. */
  readonly sign: 1 | -1;
  /** Which scores are better, in a word. */
  readonly which: 'higher' | 'lower';
  better(a: number, b: number): boolean;
  /** @param scores at least one */
  best(scores: readonly number[]): number;
}

const DIRECTIONS: Readonly<Record<Goal, Direction>> = {
  maximize: { sign: 1, which: 'higher', better: (a, b) => a > b, best: (scores) => Math.max(...scores) },
  minimize: { sign: -1, which: 'lower', better: (a, b) => a < b, best: (scores) => Math.min(...scores) },
};

/** The goal of a study before anybody said it: until the first score nothing depends on it. */
export const UNSAID: Goal = 'maximize';

export function directionOf(goal: Goal): Direction {
  return DIRECTIONS[goal];
}

/** The goal by what an evaluator says. */
export function goalWhere(higherIsBetter: boolean): Goal {
  return higherIsBetter ? 'maximize' : 'minimize';
}

/**
 * Which scores are better: what the user says, or else what the evaluator says of the metrics that make the
 * score.
 * @throws MergeError E_GOAL where neither says it
 */
export function goalOf(given: Goal | undefined, score: Pick<Score, 'higherIsBetter' | 'source'>, { metrics = [] }: ReadOptions): Goal {
  if (given !== undefined) return given;
  if (score.higherIsBetter !== null) return goalWhere(score.higherIsBetter);
  const names = metrics.map(({ name }) => name).join(', ');
  throw new MergeError(
    'E_GOAL',
    metrics.length > 1
      ? `are larger or smaller sums of ${names} better? ${score.source} does not say it of every one of them, or they disagree under their weights`
      : `are larger or smaller scores better? ${score.source} does not say it${names === '' ? '' : ` of ${names}`}`,
  );
}
