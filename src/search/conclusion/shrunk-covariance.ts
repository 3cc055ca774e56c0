import { medianOf } from '../gaussian-process/warp.ts';

/**
 * Covariance of the means of several quantities over the same items, shrunk as Schäfer and Strimmer do it
 * (Statistical Applications in Genetics and Molecular Biology 4, 2005, article 32; variances: Opgen-Rhein and
 * Strimmer, ibid. 6, 2007, article 9): correlations towards none and variances towards their median, each by
 * the share that minimises the expected squared error, estimated from the items. So it is positive definite
 * with fewer items than quantities, too, and an arm that differs on no item by luck is not taken for exact.
 *
 * @param rows one list of values by item for each quantity, all of the same length of at least 2
 * @returns [quantities x quantities], row after row
 */
export function shrunkCovarianceOfMeans(rows: readonly Float64Array[]): Float64Array {
  const size = rows.length;
  const items = rows[0]!.length;
  const centred = rows.map((row) => {
    const mean = row.reduce((sum, value) => sum + value, 0) / items;
    return row.map((value) => value - mean);
  });
  const found = centred.map((row) => row.reduce((sum, value) => sum + value * value, 0) / (items - 1));
  const variances = shrunkVariances(centred, found);
  const scale = found.map((variance) => (variance > 0 ? 1 / Math.sqrt(variance) : 0));
  const correlations = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < i; j++) {
      const [a, b] = [centred[i]!, centred[j]!];
      let sum = 0;
      for (let item = 0; item < items; item++) sum += a[item]! * b[item]!;
      correlations[i * size + j] = (sum * scale[i]! * scale[j]!) / (items - 1);
    }
  }
  const kept = 1 - correlationShrinkage(centred, scale, correlations);
  return Float64Array.from({ length: size * size }, (_, at) => {
    const [i, j] = [Math.floor(at / size), at % size];
    const correlation = i === j ? 1 : kept * correlations[i > j ? i * size + j : j * size + i]!;
    return (correlation * Math.sqrt(variances[i]! * variances[j]!)) / items;
  });
}

/** Variances pulled towards their median, by as much as their own errors explain their spread. */
function shrunkVariances(centred: readonly Float64Array[], found: readonly number[]): number[] {
  const items = centred[0]!.length;
  const target = medianOf(found);
  let errors = 0;
  centred.forEach((row, i) => {
    // The variance is n/(n − 1) times the mean of squares: its own variance is that of this mean.
    const mean = ((items - 1) / items) * found[i]!;
    errors += row.reduce((sum, value) => sum + (value * value - mean) ** 2, 0) * (items / (items - 1) ** 3);
  });
  const spread = found.reduce((sum, variance) => sum + (variance - target) ** 2, 0);
  const pulled = spread === 0 ? 0 : Math.min(1, errors / spread);
  return found.map((variance) => variance + pulled * (target - variance));
}

/** By how much correlations are pulled to 0: the sum of their variances over that of their squares. */
function correlationShrinkage(centred: readonly Float64Array[], scale: readonly number[], correlations: Float64Array): number {
  const items = centred[0]!.length;
  // Σ over pairs of (z_i z_j)² is the square of Σ z² less Σ z⁴: no loop over pairs for each item.
  let products = 0;
  for (let item = 0; item < items; item++) {
    let [squares, fourths] = [0, 0];
    for (let i = 0; i < centred.length; i++) {
      const square = (centred[i]![item]! * scale[i]!) ** 2;
      squares += square;
      fourths += square * square;
    }
    products += squares * squares - fourths;
  }
  const squared = 2 * correlations.reduce((sum, value) => sum + value * value, 0);
  if (squared === 0) return 1;
  const mean = ((items - 1) / items) ** 2;
  const errors = (products - items * mean * squared) * (items / (items - 1) ** 3);
  return Math.min(1, Math.max(0, errors / squared));
}

/**
 * Degrees of freedom that the variance of the mean of a quantity rests on (Satterthwaite, Biometrics Bulletin
 * 2, 1946): items less one where values are normal, and about
 * twice the number of items that differ where few do.
 *
 * @param lists values by item, lists of different items, each with a mean of its own and at least two items
 * @returns items less one of each list where nothing varies, too
 */
export function varianceFreedom(lists: readonly Float64Array[]): number {
  let [total, errors] = [0, 0];
  for (const list of lists) {
    const items = list.length;
    const mean = list.reduce((sum, value) => sum + value, 0) / items;
    const squares = list.map((value) => (value - mean) ** 2);
    const variance = squares.reduce((sum, value) => sum + value, 0) / items;
    total += variance / items;
    errors += squares.reduce((sum, value) => sum + (value - variance) ** 2, 0) / items ** 4;
  }
  // Of two items the squares are equal: no more is known than their number says.
  const most = lists.reduce((sum, { length }) => sum + length - 1, 0);
  return errors === 0 ? most : Math.min(most, (2 * total * total) / errors);
}
