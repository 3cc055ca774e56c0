/**
 * The four float formats by their definition: what number a bit pattern stands for, and which bit pattern is nearest to a number. Written as
 * arithmetic, not as bit manipulation, so that it shares no mistake with the kernels that it is compared with.
 */
import type { FloatDtypeName } from '../dtype.ts';

/** Bytes of one element. */
export const FLOAT_BYTES: Readonly<Record<FloatDtypeName, number>> = { BF16: 2, F16: 2, F32: 4, F64: 8 };

/** A 16-bit format: sign, exponent, `fractionBits` of fraction. */
interface Format16 {
  readonly fractionBits: number;
  /** Exponent of the smallest normal number, which subnormal numbers share. */
  readonly minExponent: number;
  /** Bit pattern of +infinity: every pattern above it (sign aside) is a NaN. */
  readonly infinity: number;
  readonly canonicalNaN: number;
}

const BF16: Format16 = { fractionBits: 7, minExponent: -126, infinity: 0x7f80, canonicalNaN: 0x7fc0 };
const F16: Format16 = { fractionBits: 10, minExponent: -14, infinity: 0x7c00, canonicalNaN: 0x7e00 };
const SIGN = 0x8000;

function decode16(format: Format16, code: number): number {
  if (code >= SIGN) return -decode16(format, code - SIGN);
  if (code > format.infinity) return Number.NaN;
  if (code === format.infinity) return Number.POSITIVE_INFINITY;
  const steps = 2 ** format.fractionBits;
  const exponentField = Math.floor(code / steps);
  const fraction = code % steps;
  if (exponentField === 0) return (fraction / steps) * 2 ** format.minExponent;
  return (1 + fraction / steps) * 2 ** (format.minExponent + exponentField - 1);
}

/** The integer nearest to `x` >= 0; of two equally near, the even one. */
function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  if (rest < 0.5 || (rest === 0.5 && below % 2 === 0)) return below;
  return below + 1;
}

/** The e for which 2^e <= x < 2^(e+1), for finite x > 0. The logarithm may be off by one next to a power of two. */
function exponentOf(x: number): number {
  const guess = Math.floor(Math.log2(x));
  if (2 ** guess > x) return guess - 1;
  return 2 ** (guess + 1) <= x ? guess + 1 : guess;
}

function encode16(format: Format16, value: number): number {
  if (Number.isNaN(value)) return format.canonicalNaN;
  if (value < 0 || Object.is(value, -0)) return SIGN + encode16(format, Math.abs(value));
  if (value === 0) return 0;
  if (value === Number.POSITIVE_INFINITY) return format.infinity;
  // Neighbouring numbers with exponent e lie one unit apart, and patterns count up by one from each to the next, across exponents too.
  const exponent = Math.max(exponentOf(value), format.minExponent);
  const unit = 2 ** (exponent - format.fractionBits);
  const code = (exponent - format.minExponent) * 2 ** format.fractionBits + roundHalfEven(value / unit);
  return Math.min(code, format.infinity);
}

const decodeTable = (format: Format16) => Float64Array.from({ length: 65536 }, (_, code) => decode16(format, code));
let bf16Values: Float64Array | undefined;
let f16Values: Float64Array | undefined;

/** The number that element `index` of `view` stands for, exactly. Little-endian; `view` may start at any byte. */
export function decodeFloat(dtype: FloatDtypeName, view: DataView, index: number): number {
  switch (dtype) {
    case 'BF16':
      bf16Values ??= decodeTable(BF16);
      return bf16Values[view.getUint16(index * 2, true)]!;
    case 'F16':
      f16Values ??= decodeTable(F16);
      return f16Values[view.getUint16(index * 2, true)]!;
    case 'F32':
      return view.getFloat32(index * 4, true);
    case 'F64':
      return view.getFloat64(index * 8, true);
  }
}

/**
 * Writes `value` as element `index` of `view`, as the arithmetic promise has it: to float32 first, then to the dtype (two roundings to nearest
 * even for the 16-bit dtypes, none for F64), and every NaN as the canonical one.
 *
 * @returns the number that was written.
 */
export function encodeFloat(dtype: FloatDtypeName, value: number, view: DataView, index: number): number {
  switch (dtype) {
    case 'BF16':
      view.setUint16(index * 2, encode16(BF16, Math.fround(value)), true);
      break;
    case 'F16':
      view.setUint16(index * 2, encode16(F16, Math.fround(value)), true);
      break;
    case 'F32':
      if (Number.isNaN(value)) view.setUint32(index * 4, 0x7fc00000, true);
      else view.setFloat32(index * 4, value, true);
      break;
    case 'F64':
      if (Number.isNaN(value)) view.setBigUint64(index * 8, 0x7ff8000000000000n, true);
      else view.setFloat64(index * 8, value, true);
      break;
  }
  return decodeFloat(dtype, view, index);
}
