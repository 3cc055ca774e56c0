import { randomOf } from '../../base/numbers/random.ts';
import type { Point } from './cube.ts';

/**
 * Primitive polynomials and first direction numbers of dimensions 2 to 21: degree, coefficients,
 * m_1…m_degree. From Joe and Kuo, "Constructing Sobol sequences with better two-dimensional projections",
 * SIAM J. Sci. Comput. 30 (2008), file new-joe-kuo-6.21201.
 */
const JOE_KUO: readonly (readonly [degree: number, coefficients: number, first: readonly number[]])[] = [
  [1, 0, [1]],
  [2, 1, [1, 3]],
  [3, 1, [1, 3, 1]],
  [3, 2, [1, 1, 1]],
  [4, 1, [1, 1, 3, 3]],
  [4, 4, [1, 3, 5, 13]],
  [5, 2, [1, 1, 5, 5, 17]],
  [5, 4, [1, 1, 5, 5, 5]],
  [5, 7, [1, 1, 7, 11, 19]],
  [5, 11, [1, 1, 5, 1, 1]],
  [5, 13, [1, 1, 1, 3, 11]],
  [5, 14, [1, 3, 5, 5, 31]],
  [6, 1, [1, 3, 3, 9, 7, 49]],
  [6, 13, [1, 1, 1, 15, 21, 21]],
  [6, 16, [1, 3, 1, 13, 27, 49]],
  [6, 19, [1, 1, 1, 15, 7, 5]],
  [6, 22, [1, 3, 1, 15, 13, 25]],
  [6, 25, [1, 1, 5, 5, 19, 61]],
  [7, 1, [1, 3, 7, 11, 23, 15, 103]],
  [7, 4, [1, 3, 7, 13, 13, 15, 69]],
];

/** Dimensions that have direction numbers of their own. */
const BLOCK = JOE_KUO.length + 1;
const BITS = 32;

/**
 * Points `first` to `first + count - 1` of a Sobol sequence in the cube [0, 1)^dimensions, each coordinate
 * scrambled by Owen's nested uniform scrambling through hashes (Burley, "Practical hash-based Owen
 * scrambling", JCGT 9(4), 2020): the first 2^m points lie one in each interval of 2^-m on every axis.
 * Dimensions beyond 21 take the direction numbers again, in a shuffled order of points (Burley's padding).
 *
 * @param seed integer that decides the scrambling; null for the plain sequence, whose point 0 is the corner
 */
export function sobolPoints(dimensions: number, count: number, seed: number | null, first = 0): Point[] {
  const scrambles = Array.from({ length: dimensions }, (_, d) => ({
    shuffle: seed === null || d < BLOCK ? null : hashSeed(seed, 1, Math.floor(d / BLOCK)),
    scramble: seed === null ? null : hashSeed(seed, 0, d),
    numbers: directionNumbers()[d % BLOCK]!,
  }));
  return Array.from({ length: count }, (_, i) =>
    scrambles.map(({ shuffle, scramble, numbers }) => {
      const bits = sobolBits(shuffle === null ? first + i : nestedScramble(first + i, shuffle), numbers);
      return (scramble === null ? bits : nestedScramble(bits, scramble)) / 2 ** BITS;
    }),
  );
}

const hashSeed = (seed: number, use: number, place: number): number => Math.floor(randomOf(seed, use, place)() * 2 ** BITS);

let table: readonly Uint32Array[] | undefined;

/** Row d holds v_1…v_32 of dimension d, as 32-bit fractions. */
function directionNumbers(): readonly Uint32Array[] {
  table ??= [
    Uint32Array.from({ length: BITS }, (_, k) => 2 ** (BITS - 1 - k)),
    ...JOE_KUO.map(([degree, coefficients, first]) => {
      const v = Uint32Array.from({ length: BITS }, (_, k) => (first[k] ?? 0) * 2 ** (BITS - 1 - k));
      for (let k = degree; k < BITS; k++) {
        let bits = v[k - degree]! ^ (v[k - degree]! >>> degree);
        for (let j = 1; j < degree; j++) if ((coefficients >> (degree - 1 - j)) & 1) bits ^= v[k - j]!;
        v[k] = bits;
      }
      return v;
    }),
  ];
  return table;
}

/** Point `index` in the order of the Gray code (Antonov and Saleev 1979), as other libraries number them. */
function sobolBits(index: number, v: Uint32Array): number {
  let bits = 0;
  for (let gray = (index ^ (index >>> 1)) >>> 0, k = 0; gray !== 0; gray >>>= 1, k++) if (gray & 1) bits ^= v[k]!;
  return bits >>> 0;
}

/**
 * A permutation of 32-bit fractions that decides each bit by the bits before it: Laine and Karras's hash on
 * the reversed bits.
 */
function nestedScramble(bits: number, seed: number): number {
  let x = reversed(bits) + seed;
  x ^= Math.imul(x, 0x6c50b47c);
  x ^= Math.imul(x, 0xb82f1e52);
  x ^= Math.imul(x, 0xc7afe638);
  x ^= Math.imul(x, 0x8d22f6e6);
  return reversed(x);
}

function reversed(bits: number): number {
  let x = bits;
  x = ((x >>> 1) & 0x55555555) | ((x & 0x55555555) << 1);
  x = ((x >>> 2) & 0x33333333) | ((x & 0x33333333) << 2);
  x = ((x >>> 4) & 0x0f0f0f0f) | ((x & 0x0f0f0f0f) << 4);
  x = ((x >>> 8) & 0x00ff00ff) | ((x & 0x00ff00ff) << 8);
  return ((x >>> 16) | (x << 16)) >>> 0;
}
