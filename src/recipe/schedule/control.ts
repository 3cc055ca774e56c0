import { splitMix64 } from '../../base/numbers/random.ts';

/**
 * Weights in an order that a seed decides, for control experiments: Fisher–Yates from the last place down,
 * place i changed with place ⌊r mod (i + 1)⌋, r the numbers of SplitMix64 (Steele, Lea and Flood, OOPSLA
 * 2014) started at the seed. The order is the same for ever.
 *
 * @param seed integer from 0 to 2^53 − 1
 */
export function scramble(weights: Float64Array, seed: number): Float64Array {
  const next = splitMix64(seed);
  const scrambled = weights.slice();
  for (let i = scrambled.length - 1; i > 0; i--) {
    const j = Number(next() % BigInt(i + 1));
    [scrambled[i], scrambled[j]] = [scrambled[j]!, scrambled[i]!];
  }
  return scrambled;
}
