import { NORMAL_95 } from '../gaussian-process/normal.ts';

/** 97.5 % quantiles of Student's t with 1 and 2 degrees of freedom, where the series below is too coarse. */
const FIRST = [12.706204736174694, 4.302652729749462];

/**
 * By how much a 95 % interval is wider because its standard error was estimated from few differences: the
 * quantile of Student's t over that of the normal distribution, by the expansion of Cornish and Fisher
 * (Abramowitz and Stegun 26.7.5; to 0.1 % from 3 degrees of freedom on).
 *
 * @param lists differences by item, each list with a mean of its own
 * @returns 1 or more; 1 without lists
 */
export function fewItemsFactor(lists: readonly { readonly length: number }[] | null): number {
  if (lists === null || lists.length === 0) return 1;
  const freedom = lists.reduce((sum, { length }) => sum + length - 1, 0);
  const exact = FIRST[freedom - 1];
  if (exact !== undefined) return exact / NORMAL_95;
  const z = NORMAL_95;
  const terms = [
    (z ** 3 + z) / 4,
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96,
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384,
    (79 * z ** 9 + 776 * z ** 7 + 1482 * z ** 5 - 1920 * z ** 3 - 945 * z) / 92_160,
  ];
  return terms.reduce((sum, term, i) => sum + term / freedom ** (i + 1), z) / z;
}
