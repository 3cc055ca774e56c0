/** A box within another one, and the element of that which is its first, in row-major order. */
export interface RunBox {
  readonly start: readonly number[];
  readonly size: readonly number[];
  readonly at: number;
}

/**
 * The boxes that a run of a box's elements is, in row-major order: what of its rows is whole, and before and
 * behind that the same of rows in part.
 * @param size of the box; @param from its first element in the run, @param count elements of the run
 */
export function boxesOfRun(size: readonly number[], from: number, count: number): RunBox[] {
  if (count === 0) return [];
  if (size.length === 0) return [{ start: [], size: [], at: from }];
  const rest = size.slice(1);
  const inner = rest.reduce((product, length) => product * length, 1);
  const inRow = (row: number, begin: number, end: number): RunBox[] =>
    boxesOfRun(rest, begin, end - begin).map((box) => ({
      start: [row, ...box.start],
      size: [1, ...box.size],
      at: row * inner + box.at,
    }));
  const end = from + count;
  const [first, last] = [Math.ceil(from / inner), Math.floor(end / inner)];
  // All of it lies within one row.
  if (first > last) return inRow(last, from - last * inner, end - last * inner);
  const whole: RunBox[] =
    first === last ? [] : [{ start: [first, ...rest.map(() => 0)], size: [last - first, ...rest], at: first * inner }];
  const before = from === first * inner ? [] : inRow(first - 1, from - (first - 1) * inner, inner);
  const behind = end === last * inner ? [] : inRow(last, 0, end - last * inner);
  return [...before, ...whole, ...behind];
}
