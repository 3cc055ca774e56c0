/** CRC32C (Castagnoli), a byte at a time: the twin of the native checksum. */

/** The polynomial with bit 31 standing for x^0, as all reflected CRCs write it. */
const POLYNOMIAL = 0x82f63b78;
/** x^0 in that notation. */
const ONE = 0x80000000;

/** `value` times x, modulo the polynomial. */
function timesX(value: number): number {
  return ((value & 1 ? POLYNOMIAL : 0) ^ (value >>> 1)) >>> 0;
}

/** The product of two polynomials over GF(2), modulo the polynomial. */
function multiply(a: number, b: number): number {
  let product = 0;
  let shifted = b;
  for (let bit = 31; bit >= 0; bit--) {
    if ((a >>> bit) & 1) product ^= shifted;
    shifted = timesX(shifted);
  }
  return product >>> 0;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = timesX(value);
  return value;
});

/** CRC32C of `bytes`; `seed` is the CRC of what comes before them (0 for nothing). */
export function crc32cReference(bytes: Uint8Array, seed = 0): number {
  let crc = ~seed >>> 0;
  for (const byte of bytes) crc = (TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8)) >>> 0;
  return ~crc >>> 0;
}

/**
 * CRC32C of a concatenation from the CRCs of its two parts; `length` is the bytes of the second part, up to
 * 2^53.
 */
export function crc32cCombineReference(first: number, second: number, length: number): number {
  // Appending n bytes multiplies the first part by x^(8n); the inversions at both ends cancel out.
  let power = ONE;
  let square = timesX(ONE);
  for (let i = 0; i < 3; i++) square = multiply(square, square);
  for (let rest = length; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) power = multiply(power, square);
    square = multiply(square, square);
  }
  return (multiply(first, power) ^ second) >>> 0;
}
