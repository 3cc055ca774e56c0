import type { Random } from '../../base/numbers/random.ts';

/** Width of a first interval, in the logarithms of hyperparameters that are sampled here. */
const WIDTH = 2;
/** Steps that an interval grows by to a side, at most; a tail without end must not hold up a sweep. */
const STEPS_OUT = 6;

/**
 * One sweep of slice sampling: each coordinate in turn is drawn anew given the others (Neal, Annals of
 * Statistics 31, 2003: stepping out, figure 3, and shrinkage, figure 5).
 *
 * @param density log density, up to a constant; −∞ where there is none
 * @param x where it is finite
 */
export function sliceSweep(density: (x: Float64Array) => number, x: Float64Array, random: Random): Float64Array {
  let at = x;
  let height = density(at);
  for (let i = 0; i < x.length; i++) {
    const level = height + Math.log(1 - random());
    const origin = at[i]!;
    const heightAt = (value: number) => density(at.with(i, value));
    let low = origin - WIDTH * random();
    let high = low + WIDTH;
    // The steps out are dealt to the two sides at random, which a limit on them needs to stay exact.
    let [left, right] = dealt(random);
    while (left-- > 0 && heightAt(low) > level) low -= WIDTH;
    while (right-- > 0 && heightAt(high) > level) high += WIDTH;
    for (;;) {
      const value = low + random() * (high - low);
      const there = value === origin ? height : heightAt(value);
      if (there > level || value === origin) {
        at = at.with(i, value);
        height = there;
        break;
      }
      if (value < origin) low = value;
      else high = value;
    }
  }
  return at;
}

function dealt(random: Random): [number, number] {
  const left = Math.floor(random() * STEPS_OUT);
  return [left, STEPS_OUT - 1 - left];
}
