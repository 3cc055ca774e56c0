// Two generators, because each is a promise of its own. What a search draws (proposals, fits, draws of
// conclusions) comes from xoshiro128**, whose streams are cheap: a resumed search draws the same. Control
// orders of weights, probes of routers and samples of experts come from SplitMix64: docs/schedules.md and the
// recorded seeds name it.

/** Numbers in [0, 1), one a call. */
export type Random = () => number;

/**
 * Random numbers that a seed decides, the same on every machine and for ever: xoshiro128** 1.1 (Blackman and
 * Vigna, 2018), two outputs a number for all 53 bits of a double, its state filled by murmur3's finaliser
 * over the seed and the stream.
 *
 * @param seed integer, 0 to 2^53 − 1
 * @param stream integers that name a use of the seed (a purpose, a round): numbers of different streams have
 *   nothing to do with each other
 */
export function randomOf(seed: number, ...stream: readonly number[]): Random {
  let hash = 0;
  for (const part of [seed, ...stream]) {
    hash = mix(hash ^ (part >>> 0));
    hash = mix(hash + Math.floor(part / 2 ** 32) + 0x9e3779b9);
  }
  const fill = () => {
    hash = (hash + 0x9e3779b9) | 0;
    return mix(hash);
  };
  let [a, b, c, d] = [fill(), fill(), fill(), fill() | 1];
  const next = () => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0;
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = rotate(d, 11);
    return result;
  };
  return () => {
    const high = next() >>> 5;
    return (high * 2 ** 26 + (next() >>> 6)) / 2 ** 53;
  };
}

/** Numbers of the standard normal distribution, by Marsaglia's polar method (SIAM Review 6, 1964). */
export function normalOf(random: Random): Random {
  let spare: number | null = null;
  return () => {
    if (spare !== null) {
      const value = spare;
      spare = null;
      return value;
    }
    for (;;) {
      const u = 2 * random() - 1;
      const v = 2 * random() - 1;
      const s = u * u + v * v;
      if (s === 0 || s >= 1) continue;
      const factor = Math.sqrt((-2 * Math.log(s)) / s);
      spare = v * factor;
      return u * factor;
    }
  };
}

function rotate(x: number, by: number): number {
  return (x << by) | (x >>> (32 - by));
}

/** The finaliser of MurmurHash3, 32 bits: each bit of the input changes about half of the output. */
function mix(x: number): number {
  let h = x;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
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
