/**
 * FP8 and FP4 by their definition, as arithmetic (see `float.ts`). E4M3 and E5M2: Micikevicius et al., "FP8
 * Formats for Deep Learning", 2022, table 1. The FNUZ forms: Noune et al., "8-bit Numerical Formats for Deep
 * Neural Networks", 2022, section 3. E2M1: OCP Microscaling Formats v1.0, table 5.
 */

interface Layout {
  readonly mantissaBits: number;
  readonly bias: number;
  /** Codes without their sign. */
  readonly codes: number;
  /** Code of the largest finite number. */
  readonly largest: number;
  /** Code of infinity, where the format has one. */
  readonly infinity?: number;
  /** The canonical NaN, where the format has one. Of a FNUZ format the only one, where -0 would be. */
  readonly nan?: number;
  readonly fnuz?: boolean;
  /** Whether finite numbers out of range become the largest one. */
  readonly saturates?: boolean;
}

export interface SmallCode {
  readonly code: number;
  /**
   * A finite number was too large: it became the largest one, infinity or NaN, whichever the format has it.
   */
  readonly overflow: boolean;
}

/** One format: what its codes stand for, and the code nearest to a number. */
class SmallFloat {
  /** What each code stands for. */
  readonly values: Float64Array;
  /** Largest finite number. */
  readonly largest: number;
  readonly #layout: Layout;
  /** The numbers of unsigned codes up to the largest, and the one that would follow. */
  readonly #ascending: Float64Array;

  constructor(layout: Layout) {
    this.#layout = layout;
    this.#ascending = Float64Array.from({ length: layout.largest + 2 }, (_, code) => this.#magnitude(code));
    this.values = Float64Array.from({ length: 2 * layout.codes }, (_, code) => this.#valueOf(code));
    this.largest = this.values[layout.largest]!;
  }

  #valueOf(code: number): number {
    const { codes, infinity, nan, fnuz, largest } = this.#layout;
    const unsigned = code % codes;
    const sign = code < codes ? 1 : -1;
    if (fnuz === true && code === nan) return Number.NaN;
    if (unsigned === infinity) return sign * Number.POSITIVE_INFINITY;
    return unsigned > largest ? Number.NaN : sign * this.#magnitude(unsigned);
  }

  /** The number of an unsigned code as if every exponent were an ordinary one. */
  #magnitude(unsigned: number): number {
    const { mantissaBits, bias } = this.#layout;
    const steps = 2 ** mantissaBits;
    const exponent = Math.floor(unsigned / steps);
    const fraction = (unsigned % steps) / steps;
    return exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias);
  }

  /**
   * The nearest unsigned code, the even one of two; one past the largest for what is as near to the number
   * that would follow.
   */
  #nearest(magnitude: number): number {
    const numbers = this.#ascending;
    let low = 0;
    let high = numbers.length - 1;
    if (magnitude >= numbers[high]!) return high;
    while (high - low > 1) {
      const between = (low + high) >>> 1;
      if (numbers[between]! <= magnitude) low = between;
      else high = between;
    }
    const middle = (numbers[low]! + numbers[high]!) / 2;
    if (magnitude === middle) return low % 2 === 0 ? low : high;
    return magnitude < middle ? low : high;
  }

  /**
   * The code nearest to `value`; of two equally near, the even one. A finite number is out of range where the
   * next code would be as near.
   */
  encode(value: number): SmallCode {
    const { codes, infinity, nan, fnuz, largest, saturates } = this.#layout;
    const negative = value < 0 || Object.is(value, -0);
    const magnitude = Math.abs(value);
    const signed = (unsigned: number) => (negative && !(fnuz === true && unsigned === 0) ? codes + unsigned : unsigned);
    if (Number.isNaN(value)) return { code: nan!, overflow: false };
    if (magnitude === Number.POSITIVE_INFINITY) return { code: infinity === undefined ? nan! : signed(infinity), overflow: false };
    const unsigned = this.#nearest(magnitude);
    if (unsigned <= largest) return { code: signed(unsigned), overflow: false };
    if (saturates === true) return { code: signed(largest), overflow: true };
    return { code: infinity === undefined ? nan! : signed(infinity), overflow: true };
  }
}

const E4M3 = { mantissaBits: 3, codes: 128 } as const;
const E5M2 = { mantissaBits: 2, codes: 128 } as const;

/**
 * The four FP8 dtypes of safetensors, with torch's choice of what overflows to what, and E2M1, the FP4 of
 * MXFP4.
 */
export const SMALL_FLOATS = {
  F8_E5M2: new SmallFloat({ ...E5M2, bias: 15, largest: 0x7b, infinity: 0x7c, nan: 0x7f }),
  F8_E4M3: new SmallFloat({ ...E4M3, bias: 7, largest: 0x7e, nan: 0x7f, saturates: true }),
  F8_E5M2FNUZ: new SmallFloat({ ...E5M2, bias: 16, largest: 0x7f, nan: 0x80, fnuz: true }),
  F8_E4M3FNUZ: new SmallFloat({ ...E4M3, bias: 8, largest: 0x7f, nan: 0x80, fnuz: true }),
  E2M1: new SmallFloat({ mantissaBits: 1, codes: 8, bias: 1, largest: 7, saturates: true }),
} as const;
