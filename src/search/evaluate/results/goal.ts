import { MergeError } from '../../../base/errors.ts';
import type { Goal, Score } from '../types.ts';
import type { ReadOptions } from './metric.ts';

/**
 * Which scores are better: what the user says, or else what the evaluator says of the metrics that make the
 * score.
 * @throws MergeError E_GOAL where neither says it
 */
export function goalOf(given: Goal | undefined, score: Pick<Score, 'higherIsBetter' | 'source'>, { metrics = [] }: ReadOptions): Goal {
  if (given !== undefined) return given;
  if (score.higherIsBetter !== null) return score.higherIsBetter ? 'maximize' : 'minimize';
  const names = metrics.map(({ name }) => name).join(', ');
  throw new MergeError(
    'E_GOAL',
    metrics.length > 1
      ? `are larger or smaller sums of ${names} better? ${score.source} does not say it of every one of them, or they disagree under their weights`
      : `are larger or smaller scores better? ${score.source} does not say it${names === '' ? '' : ` of ${names}`}`,
  );
}
