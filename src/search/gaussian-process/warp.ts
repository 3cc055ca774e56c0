import { normalQuantile } from './normal.ts';

/** Values as a model is to see them. */
export interface Warped {
  /** In the units of the values; those of the better half are the values themselves. */
  readonly values: readonly number[];
  /** Of each, how many of the warped units one of its own comes to: 1 where it was left alone. */
  readonly slopes: readonly number[];
  /** Indices of those that were lifted, ascending. */
  readonly lifted: readonly number[];
}

/**
 * How many times the distance of a normal quantile a value may lie below the middle before it is lifted: a
 * smooth score that was tried mostly near its maximum stays within it. Ours, as is how far below the middle
 * lifted ones then lie, which leaves the better half an eighth of all spread.
 */
const FAR = 30;
const LIFTED_TO = 4;

/**
 * Values of which larger is better, so that those far below the better half do not decide what a model says
 * of it: a Gaussian process on a loss that explodes here and there knows nothing but the explosions. The
 * better half stays in its own units; the worse is bounded by rank, as in the half-rank warping of Vizier
 * (Song et al. 2024, arXiv 2408.11527, section 3): a value of it that lies {@link FAR} times as far below the
 * middle as the normal quantile of its rank would, with the spread of the better half, is lifted to a few
 * times that distance, or to just below all that were left alone. So most lists stay as they are; order is
 * kept.
 *
 * @param middle what counts as the better half: values from it on. The median where absent
 */
export function warpWorse(values: readonly number[], middle = medianOf(values)): Warped {
  const none = { values, slopes: values.map(() => 1), lifted: [] };
  const better = values.filter((value) => value >= middle);
  const worse = [...new Set(values.filter((value) => value < middle))].sort((a, b) => a - b);
  if (worse.length === 0 || better.length < 2) return none;
  const farthest = Math.max(...better) - middle;
  // In units of the farthest, whose square is then no overflow.
  const spread = farthest * Math.sqrt(better.reduce((sum, value) => sum + ((value - middle) / (farthest || 1)) ** 2 / better.length, 0));
  // A better half without any spread has no unit to measure the others by.
  if (!(spread > 0) || !Number.isFinite(spread)) return none;
  const quantiles = worse.map((_, rank) => normalQuantile((0.5 * (rank + 0.5)) / worse.length));
  // Outliers are the first of the worse: what stands above one that is none, is none.
  const kept = worse.findIndex((value, rank) => value >= middle + FAR * spread * quantiles[rank]!);
  const count = kept < 0 ? worse.length : kept;
  if (count === 0) return none;
  const highest = quantiles[count - 1]!;
  const below = Math.min(middle + LIFTED_TO * spread * highest, kept < 0 ? middle : worse[kept]! - spread / 2);
  const bounds = new Map(worse.slice(0, count).map((value, rank) => [value, below + spread * (quantiles[rank]! - highest)]));
  const bounded = values.map((value) => bounds.get(value) ?? value);
  return {
    values: bounded,
    slopes: values.map((value, i) => (bounds.has(value) ? (middle - bounded[i]!) / (middle - value) : 1)),
    lifted: values.flatMap((value, i) => (bounds.has(value) ? [i] : [])),
  };
}

/**
 * How many times the distance from the middle to the next better value lies between that and a value that is
 * too good: far beyond what a peak is over the plain around it. Ours; at a thousandth of all spread a model
 * tells the others no more.
 */
const TOO_GOOD = 1000;
/**
 * Of so many values one may be too good; more of them are a finding. Below the least nothing is known of what
 * is usual.
 */
const RARE = 8;
const LEAST = 4;

/**
 * The same on the other side: values so far above all others that they are an evaluation that went wrong, or
 * decide as much as one. They stay the best, in order, just above the next of the others.
 */
export function warpBetter(values: readonly number[]): Warped & { /** Their indices, ascending. */ readonly lowered: readonly number[] } {
  const none = { values, slopes: values.map(() => 1), lifted: [], lowered: [] };
  if (values.length < LEAST) return none;
  const sorted = [...values].sort((a, b) => b - a);
  for (let count = Math.max(1, Math.floor(values.length / RARE)); count > 0; count--) {
    const next = sorted[count]!;
    const middle = medianOf(sorted.slice(count));
    const unit = next - middle;
    if (!(unit > 0) || !(sorted[count - 1]! - next > TOO_GOOD * unit)) continue;
    const bounds = new Map([...new Set(sorted.slice(0, count))].reverse().map((value, rank) => [value, next + unit * (rank + 1)]));
    const bounded = values.map((value) => bounds.get(value) ?? value);
    return {
      values: bounded,
      slopes: values.map((value, i) => (bounds.has(value) ? (bounded[i]! - middle) / (value - middle) : 1)),
      lifted: [],
      lowered: values.flatMap((value, i) => (bounds.has(value) ? [i] : [])),
    };
  }
  return none;
}

/** The value in the middle, of an even number the lower one: at least half of them lie from it on. */
export function medianOf(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[(values.length - 1) >> 1]!;
}
