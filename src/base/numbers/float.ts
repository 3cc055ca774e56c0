/**
 * The float formats by their definition: what number a bit pattern stands for, and which bit pattern is
 * nearest to a number. Written as arithmetic, not as bit manipulation, so that it shares no mistake with the
 * kernels that it is compared with.
 */
import type { AveragedDtypeName } from '../dtype.ts';
import { SMALL_FLOATS } from './small-float.ts';

/** Bytes of one element. */
export const FLOAT_BYTES: Readonly<Record<AveragedDtypeName, number>> = {
  BF16: 2,
  F16: 2,
  F32: 4,
  F64: 8,
  F8_E5M2: 1,
  F8_E4M3: 1,
  F8_E5M2FNUZ: 1,
  F8_E4M3FNUZ: 1,
};

/** A 16-bit format: one sign bit, then the exponent, then `fractionBits` of fraction. */
class Format16 {
  /** What each of the 65,536 codes stands for. */
  readonly values: Float64Array;
  /** Code of +infinity; codes above it (sign aside) are NaNs. */
  readonly #infinity: number;
  readonly #canonicalNaN: number;
  /**
   * The numbers of codes 0 to infinity, in order; infinity as the power of two that would follow the largest
   * finite number.
   */
  readonly #ascending: Float64Array;

  constructor(fractionBits: number, minExponent: number, infinity: number, canonicalNaN: number) {
    const steps = 2 ** fractionBits;
    const magnitude = (code: number) => {
      const exponentField = Math.floor(code / steps);
      const fraction = (code % steps) / steps;
      return exponentField === 0 ? fraction * 2 ** minExponent : (1 + fraction) * 2 ** (minExponent + exponentField - 1);
    };
    this.#infinity = infinity;
    this.#canonicalNaN = canonicalNaN;
    this.#ascending = Float64Array.from({ length: infinity + 1 }, (_, code) => magnitude(code));
    this.values = Float64Array.from({ length: 2 * SIGN }, (_, code) => {
      const unsigned = code % SIGN;
      const value = unsigned > infinity ? Number.NaN : unsigned === infinity ? Number.POSITIVE_INFINITY : magnitude(unsigned);
      return code < SIGN ? value : -value;
    });
  }

  /** The code whose number is nearest to `value`; of two equally near, the even one. */
  encode(value: number): number {
    if (Number.isNaN(value)) return this.#canonicalNaN;
    if (value < 0 || Object.is(value, -0)) return SIGN + this.encode(-value);
    const numbers = this.#ascending;
    if (value >= numbers[this.#infinity]!) return this.#infinity;
    let low = 0;
    let high = this.#infinity;
    while (high - low > 1) {
      const between = (low + high) >>> 1;
      if (numbers[between]! <= value) low = between;
      else high = between;
    }
    const middle = (numbers[low]! + numbers[high]!) / 2;
    if (value === middle) return low % 2 === 0 ? low : high;
    return value < middle ? low : high;
  }
}

/** First code with the sign bit. */
const SIGN = 0x8000;
/** Made at first use: not every command does arithmetic. */
let bf16: Format16 | undefined;
let f16: Format16 | undefined;
const bf16Format = () => (bf16 ??= new Format16(7, -126, 0x7f80, 0x7fc0));
const f16Format = () => (f16 ??= new Format16(10, -14, 0x7c00, 0x7e00));

/**
 * The number that element `index` of `view` stands for, exactly. Little-endian; `view` may start at any byte.
 */
export function decodeFloat(dtype: AveragedDtypeName, view: DataView, index: number): number {
  switch (dtype) {
    case 'BF16':
      return bf16Format().values[view.getUint16(index * 2, true)]!;
    case 'F16':
      return f16Format().values[view.getUint16(index * 2, true)]!;
    case 'F32':
      return view.getFloat32(index * 4, true);
    case 'F64':
      return view.getFloat64(index * 8, true);
    default:
      return SMALL_FLOATS[dtype].values[view.getUint8(index)]!;
  }
}

/**
 * Writes `value` as element `index` of `view`, as the arithmetic promise has it: to float32 first, then to
 * the dtype (two roundings to nearest even for the 16-bit and 8-bit dtypes, none for F64), and every NaN as
 * the canonical one.
 *
 * @returns the number that was written.
 */
export function encodeFloat(dtype: AveragedDtypeName, value: number, view: DataView, index: number): number {
  switch (dtype) {
    case 'BF16':
      view.setUint16(index * 2, bf16Format().encode(Math.fround(value)), true);
      break;
    case 'F16':
      view.setUint16(index * 2, f16Format().encode(Math.fround(value)), true);
      break;
    case 'F32':
      if (Number.isNaN(value)) view.setUint32(index * 4, 0x7fc00000, true);
      else view.setFloat32(index * 4, value, true);
      break;
    case 'F64':
      if (Number.isNaN(value)) view.setBigUint64(index * 8, 0x7ff8000000000000n, true);
      else view.setFloat64(index * 8, value, true);
      break;
    default:
      view.setUint8(index, SMALL_FLOATS[dtype].encode(Math.fround(value)).code);
  }
  return decodeFloat(dtype, view, index);
}
