import type { ForecastDocument } from '../../src/search/forecast/types.ts';
import type { GridScores } from '../../src/search/grid/types.ts';
import type { SearchDocument } from '../../src/search/optimise/types.ts';

/**
 * A document without what differs from one run of the program to the next: times, places and how the work
 * fell into runs.
 */
export function withoutTimes({ trials, ...document }: SearchDocument | ForecastDocument | GridScores): object {
  const { seconds, reads, merges, folder, output, ended, ...rest } = document as Partial<SearchDocument>;
  return { ...rest, trials: trials.map(({ seconds, mergeSeconds, time, ...trial }) => trial) };
}
