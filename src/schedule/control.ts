/**
 * Weights in an order that a seed decides, for control experiments: Fisher–Yates from the last place down, place i changed with place
 * ⌊r mod (i + 1)⌋, r the numbers of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) started at the seed. The order is the same for ever.
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

/** SplitMix64: 64-bit numbers that a seed decides. */
export function splitMix64(seed: number): () => bigint {
  let state = BigInt(seed);
  return () => {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
    let z = state;
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return z ^ (z >> 31n);
  };
}
