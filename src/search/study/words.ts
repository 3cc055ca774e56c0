import { formatNumber, plainNumber } from '../../render/numbers.ts';

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
