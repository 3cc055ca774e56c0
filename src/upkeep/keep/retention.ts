/**
 * Which saves to keep so that windows of the future can be merged: pure, in numbers alone.
 *
 * A window of length L is to hold n members at every save from now on, so the line of training is cut into
 * buckets of length L/n or less, and the first save of each bucket is kept for as long as it lies in the window
 * (T − L, T]. Whether a save is the first is known when it is made, and never changes, so nothing that was let go
 * is missed later; a half-open window of n buckets holds at least n of these saves, wherever it ends, as long as
 * there is a save in each bucket. Buckets of wider windows are made of whole ones of narrower windows, so that the
 * same saves serve both. With shares of the training for windows the line is its logarithm: buckets grow with it.
 */

export type Spacing = 'uniform' | 'ratio';

/** A window: a length of training, or with `ratio` a share of it in (0, 1). */
export interface RetainedWindow {
  readonly length: number;
  /** Saves that it holds at least, from when so many were made in it. */
  readonly members: number;
  /** Length of its buckets; with `ratio` in logarithms. */
  readonly bucket: number;
}

/** Saves that are simulated at most: a run of thirty windows of 160 saves. */
const MOST_SAVES = 5000;
/** Of these the most that are followed for where saves may lie in their buckets: above that the need is known to one save. */
const MOST_PLACES = 1000;
/** Times its length so far that a run is followed where windows are shares of it. */
const GROWTH = 4;
/** Buckets a hair shorter than they may be, so that rounding of logarithms costs no member. */
const HAIR = 1e-9;
/** Takes from a quotient what rounding may have added: the end of a bucket, as 144 / 4.8, is in it. */
const ROUNDED = 1 - 2 ** -48;

/** Where a save stands on the line that is cut into buckets. */
function measured(position: number, spacing: Spacing): number {
  return spacing === 'uniform' ? position : Math.log(position);
}

function lengthOf(window: number, spacing: Spacing): number {
  return spacing === 'uniform' ? window : -Math.log1p(-window);
}

/** Saves that a half-open window (T − L, T] holds wherever it ends at one: all T − k · interval of which k · interval < L. */
export function savesWithin(length: number, interval: number): number {
  return Math.ceil(length / interval);
}

/**
 * The buckets of windows that are to hold so many members each, narrowest first.
 * @param lengths rising
 * @param interval between saves; a window of fewer saves than `members` holds all of its own
 */
export function windowsFor(lengths: readonly number[], members: number, spacing: Spacing, interval: number): RetainedWindow[] {
  const windows: RetainedWindow[] = [];
  for (const length of lengths) {
    const own = spacing === 'uniform' ? Math.min(members, savesWithin(length, interval)) : members;
    const most = (lengthOf(length, spacing) / own) * (spacing === 'uniform' ? 1 : 1 - HAIR);
    const narrower = windows.at(-1)?.bucket;
    const bucket = narrower === undefined ? most : narrower * Math.max(1, Math.floor(most / narrower + HAIR));
    windows.push({ length, members: own, bucket });
  }
  return windows;
}

/**
 * For each window the saves that are kept for it, as indices: the first of each bucket, and where these are too few
 * (a run that is younger than the window, a hole) the newest of the others; the newest save ends every window.
 * @param positions rising, over 0 with `ratio`
 */
export function retainedBy(positions: readonly number[], windows: readonly RetainedWindow[], spacing: Spacing): number[][] {
  const newest = positions.at(-1)!;
  const from = windows.map(({ length }) => (spacing === 'uniform' ? newest - length : newest * (1 - length)));
  const kept = windows.map(({ bucket }, w) => {
    let before = Number.NEGATIVE_INFINITY;
    return positions.flatMap((position, i) => {
      const at = Math.ceil((measured(position, spacing) / bucket) * ROUNDED);
      const first = at > before && position > from[w]!;
      before = at;
      return first ? [i] : [];
    });
  });
  const all = new Set(kept.flat());
  for (const [w, { members }] of windows.entries()) {
    let held = [...all].filter((i) => positions[i]! > from[w]!).length;
    for (let i = positions.length - 1; i >= 0 && positions[i]! > from[w]! && held < members; i--) {
      if (all.has(i)) continue;
      all.add(i);
      kept[w]!.push(i);
      held++;
    }
  }
  return kept;
}

/** All that is kept: for some window, the newest, and what is held fast, as indices. */
export function retained(
  positions: readonly number[],
  windows: readonly RetainedWindow[],
  spacing: Spacing,
  fast: ReadonlySet<number> = new Set(),
): ReadonlySet<number> {
  const held = positions.flatMap((position, i) => (fast.has(position) ? [i] : []));
  return new Set([...retainedBy(positions, windows, spacing).flat(), positions.length - 1, ...held]);
}

/**
 * The most saves that are kept at once from now on, one more being made every `interval`.
 * @param fast positions that are never let go
 */
export function mostKept(
  positions: readonly number[],
  windows: readonly RetainedWindow[],
  { spacing, interval, fast }: { readonly spacing: Spacing; readonly interval: number; readonly fast: ReadonlySet<number> },
): number {
  const newest = positions.at(-1)!;
  const ahead = spacing === 'uniform' ? 3 * windows.at(-1)!.length : (GROWTH - 1) * newest;
  const places = spacing === 'uniform' ? Math.min(MOST_PLACES, placesInBuckets(windows, interval)) : 0;
  const saves = Math.min(MOST_SAVES, Math.ceil(ahead / interval) + places);
  let left = [...positions];
  let most = 0;
  for (let save = 0; save <= saves; save++) {
    if (save > 0) left.push(newest + save * interval);
    const kept = retained(left, windows, spacing, fast);
    left = left.filter((_, i) => kept.has(i));
    most = Math.max(most, left.length);
  }
  return most;
}

/**
 * After how many saves they lie in their buckets as they did before: buckets of wider windows are whole ones of the
 * narrowest, so that the widest decides. Infinite where numbers are too large to say.
 */
function placesInBuckets(windows: readonly RetainedWindow[], interval: number): number {
  const [{ length, members, bucket }, widest] = [windows[0]!, windows.at(-1)!];
  const [widestTimes, intervalTimes] = [length * Math.round(widest.bucket / bucket), interval * members];
  if (!Number.isSafeInteger(widestTimes) || !Number.isSafeInteger(intervalTimes)) return Number.POSITIVE_INFINITY;
  let [a, b] = [widestTimes, intervalTimes];
  while (b !== 0) [a, b] = [b, a % b];
  return widestTimes / a;
}
