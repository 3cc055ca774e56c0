import { normalCdf, normalQuantile } from '../gaussian-process/normal.ts';

/** Error of the interval for all at once, as a share of the whole: the tenth that Andrews, Kitagawa and McCloskey recommend. */
const FOR_ALL = 0.1;
/** Values at which it is looked who would have been chosen, and halvings to find where that changes. */
const LOOKS = 64;
const HALVINGS = 12;

/** A comparison that was chosen by the very data that it is judged by. */
export interface ChosenDifference {
  /** The observed difference, and its standard error. */
  readonly value: number;
  readonly error: number;
  /** Comparisons that could have been chosen, this one among them. */
  readonly of: number;
  /**
   * Whether the same would have been chosen, had the difference been t, with everything that is independent
   * of it as it is.
   */
  chosenAt(t: number): boolean;
}

/**
 * Interval for the true difference of what was chosen as the best of several: the hybrid interval of Andrews,
 * Kitagawa and McCloskey (Inference on Winners, Quarterly Journal of Economics 139, 2024, section 4). Given
 * that it was chosen, and what is independent of it, the difference is a normal one cut to the values at
 * which it would have been chosen; given also that it lies in an interval that holds for all comparisons at
 * once (Šidák's inequality), it is cut to that as well. Its quantiles give an interval that holds the truth
 * as often as it says, or a tenth of the error less often, whatever the true differences are, by whatever
 * rule it was chosen: the article takes that tenth from the quantiles, and here it stands against what
 * {@link concludeArtefact} widens the interval by.
 *
 * @param level as 0.95
 */
export function chosenInterval(chosen: ChosenDifference, level: number): readonly [low: number, high: number] {
  const { value, error } = chosen;
  const forAll = FOR_ALL * (1 - level);
  const reach = normalQuantile((1 + (1 - forAll) ** (1 / chosen.of)) / 2) * error;
  const tail = (1 - level) / 2;
  const pieces = chosenPieces(chosen, value - 2 * reach, value + 2 * reach);
  /** The true difference under which an observed one is at most this with probability p: falls with p. */
  const at = (p: number) => {
    let [low, high] = [value - reach, value + reach];
    for (let step = 0; step < 60; step++) {
      const middle = (low + high) / 2;
      if (cutCdf(value, middle, error, pieces, reach) > p) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  };
  return [at(1 - tail), at(tail)];
}

type Piece = readonly [from: number, to: number];

/** Where between two values the same would have been chosen. */
function chosenPieces({ value, chosenAt }: ChosenDifference, low: number, high: number): readonly Piece[] {
  // An even number of steps has the value itself in the middle, of which it is known.
  const looks = Array.from({ length: LOOKS + 1 }, (_, i) => {
    const t = i === LOOKS / 2 ? value : low + ((high - low) * i) / LOOKS;
    return { t, is: i === LOOKS / 2 || chosenAt(t) };
  });
  const pieces: Piece[] = [];
  let from = low;
  for (let i = 1; i <= LOOKS; i++) {
    const [before, after] = [looks[i - 1]!, looks[i]!];
    if (before.is === after.is) continue;
    let [a, b] = [before.t, after.t];
    for (let step = 0; step < HALVINGS; step++) {
      const middle = (a + b) / 2;
      if (chosenAt(middle) === before.is) a = middle;
      else b = middle;
    }
    if (after.is) from = b;
    else pieces.push([from, a]);
  }
  return looks[LOOKS]!.is ? [...pieces, [from, high]] : pieces;
}

/** P(V ≤ value) of a normal V around a centre, cut to the pieces and to within reach of the centre. */
function cutCdf(value: number, centre: number, error: number, pieces: readonly Piece[], reach: number): number {
  let [below, total] = [0, 0];
  for (const [from, to] of pieces) {
    const [low, high] = [Math.max(from, centre - reach), Math.min(to, centre + reach)];
    if (low >= high) continue;
    const mass = between((low - centre) / error, (high - centre) / error);
    total += mass;
    if (value > low) below += value >= high ? mass : between((low - centre) / error, (value - centre) / error);
  }
  return total === 0 ? 0.5 : below / total;
}

function between(low: number, high: number): number {
  return low > 0 ? normalCdf(-low) - normalCdf(-high) : normalCdf(high) - normalCdf(low);
}
