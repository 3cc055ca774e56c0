/**
 * Dequantise, average, quantise anew, one block at a time: the slow obvious twin of the engine's `requantise`
 * (`src/merge/native/requantise.ts`), for tests and for recomputing a merge.
 *
 * With c the code and s the scale of an element's block, member i holds x_i = c s, exact in float64. M = w_1
 * x_1 + w_2 x_2 + ... as in `combine.ts`. The output's scale is float32(amax / largest), or 2^ceil(log2(amax
 * / largest)), and its code is that of float32(M / scale).
 */
import type { AveragedDtypeName } from '../../../base/dtype.ts';
import { decodeFloat, encodeFloat, FLOAT_BYTES } from '../../../base/numbers/float.ts';
import { SMALL_FLOATS } from '../../../base/numbers/small-float.ts';
import { combineElement } from './combine.ts';

/** How elements are stored: a float dtype, or FP4 two a byte, low nibble first. */
export type Encoding = AveragedDtypeName | 'MXFP4';
export type SmallEncoding = Extract<AveragedDtypeName, `F8_${string}`> | 'MXFP4';
/** E8M0: the power of two 2^(byte - 127); 255 is NaN. U8 holds the same. */
export type ScaleDtype = 'F32' | 'BF16' | 'F16' | 'F8_E8M0' | 'U8';

export interface MatrixShape {
  readonly rows: number;
  readonly cols: number;
  /** A scale serves a block of this many rows and columns; blocks at the edges may be partial. */
  readonly blockRows: number;
  readonly blockCols: number;
}

/** A member's codes row by row, and its scales block-row by block-row (null: none, which counts as 1). */
export interface QuantisedMember {
  readonly encoding: Encoding;
  readonly codes: Uint8Array;
  readonly scales: { readonly dtype: ScaleDtype; readonly bytes: Uint8Array } | null;
  /** 0: takes no part. */
  readonly weight: number;
}

export interface QuantisedForm {
  readonly encoding: SmallEncoding;
  readonly scaleDtype: ScaleDtype;
  readonly powerOfTwo: boolean;
  /** Amax to make all scales from; that of each block when absent. */
  readonly amax?: number;
  /** Member that `change` is measured from, and that a block of zeros takes its E8M0 scale from; -1: none. */
  readonly newest: number;
}

export interface RequantiseReference {
  readonly codes: Uint8Array;
  readonly scales: Uint8Array;
  /** Largest finite |M|. */
  readonly amax: number;
  /** Sum of (Q - M)^2, Q being what codes and scales say. */
  readonly error: number;
  /** Sum of (M - newest)^2. */
  readonly change: number;
  /** Finite values out of the encoding's range. */
  readonly saturated: number;
  /**
   * In every block all members that take part have the same codes and scale, and they are stored as the
   * output is.
   */
  readonly identical: boolean;
}

/** Bytes of `count` elements. */
export function encodedBytes(encoding: Encoding, count: number): number {
  return encoding === 'MXFP4' ? count / 2 : count * FLOAT_BYTES[encoding];
}

/** Bytes of one scale. */
export const SCALE_BYTES: Readonly<Record<ScaleDtype, number>> = { F32: 4, BF16: 2, F16: 2, F8_E8M0: 1, U8: 1 };

/** The number that element `index` of a run stands for, its scale apart. */
export function decodeElement(encoding: Encoding, view: DataView, index: number): number {
  if (encoding !== 'MXFP4') return decodeFloat(encoding, view, index);
  return SMALL_FLOATS.E2M1.values[(view.getUint8(index >> 1) >> (4 * (index & 1))) & 15]!;
}

/** The number that scale `index` stands for. */
export function decodeScale(dtype: ScaleDtype, view: DataView, index: number): number {
  if (dtype !== 'F8_E8M0' && dtype !== 'U8') return decodeFloat(dtype, view, index);
  const byte = view.getUint8(index);
  return byte === 255 ? Number.NaN : 2 ** (byte - 127);
}

/** x = code x scale of every element, row by row. */
export function dequantise(shape: MatrixShape, { encoding, codes, scales }: Omit<QuantisedMember, 'weight'>): Float64Array {
  const view = viewOf(codes);
  const scaleView = scales === null ? null : viewOf(scales.bytes);
  return Float64Array.from({ length: shape.rows * shape.cols }, (_, i) => {
    const code = decodeElement(encoding, view, i);
    return scaleView === null ? code : code * decodeScale(scales!.dtype, scaleView, blockOf(shape, i));
  });
}

/** M of every element, row by row. @throws MergeError E_WEIGHTS when no weight differs from 0. */
export function mergeQuantised(shape: MatrixShape, members: readonly QuantisedMember[]): Float64Array {
  const parts = members.filter((member) => member.weight !== 0);
  const weights = parts.map((member) => member.weight);
  const matrices = parts.map((member) => dequantise(shape, member));
  const values = weights.map(() => 0);
  return Float64Array.from({ length: shape.rows * shape.cols }, (_, i) => {
    for (let m = 0; m < matrices.length; m++) values[m] = matrices[m]![i]!;
    return combineElement(values, weights);
  });
}

/** The merged matrix in the output's encoding. @throws MergeError E_WEIGHTS when no weight differs from 0. */
export function requantiseReference(shape: MatrixShape, members: readonly QuantisedMember[], out: QuantisedForm): RequantiseReference {
  const merged = mergeQuantised(shape, members);
  const format = SMALL_FLOATS[out.encoding === 'MXFP4' ? 'E2M1' : out.encoding];
  const blocks = Array.from(
    { length: Math.ceil(shape.rows / shape.blockRows) * Math.ceil(shape.cols / shape.blockCols) },
    () => [] as number[],
  );
  for (let i = 0; i < merged.length; i++) blocks[blockOf(shape, i)]!.push(i);
  const codes = new Uint8Array(encodedBytes(out.encoding, merged.length));
  const scales = new Uint8Array(blocks.length * SCALE_BYTES[out.scaleDtype]);
  const codeView = viewOf(codes);
  const scaleView = viewOf(scales);
  const newest = out.newest < 0 ? null : dequantise(shape, members[out.newest]!);
  const parts = members.filter((member) => member.weight !== 0);
  const comparable = storedAlike(parts, out);
  let identical = comparable;
  let first: Float64Array | undefined;
  let [amax, error, change, saturated] = [0, 0, 0, 0];

  for (const [b, elements] of blocks.entries()) {
    const same = comparable && parts.every((member) => sameBlock(member, parts[0]!, elements, b));
    identical &&= same;
    const copied = same && out.amax === undefined;
    if (copied) {
      first ??= dequantise(shape, parts[0]!);
      for (const i of elements) merged[i] = first[i]!;
    }
    const finite = elements.map((i) => Math.abs(merged[i]!)).filter(Number.isFinite);
    const peak = finite.reduce((most, x) => Math.max(most, x), 0);
    amax = Math.max(amax, peak);

    if (copied) {
      scales.set(
        parts[0]!.scales!.bytes.subarray(b * SCALE_BYTES[out.scaleDtype], (b + 1) * SCALE_BYTES[out.scaleDtype]),
        b * SCALE_BYTES[out.scaleDtype],
      );
    } else if (out.encoding === 'MXFP4' && finite.length < elements.length) {
      scales[b] = 255;
    } else {
      storeScale(out, out.amax ?? peak, format.largest, zeroScale(members[out.newest], b), scaleView, b);
    }
    const scale = decodeScale(out.scaleDtype, scaleView, b);
    for (const i of elements) {
      if (copied) copyCode(out.encoding, parts[0]!.codes, codes, i);
      else if (storeCode(out.encoding, merged[i]!, scale, codes, i)) saturated++;
      error += (decodeElement(out.encoding, codeView, i) * scale - merged[i]!) ** 2;
      if (newest !== null) change += (merged[i]! - newest[i]!) ** 2;
    }
  }
  return { codes, scales, amax, error, change, saturated, identical };
}

/** Whether blocks of these members can be copied to the output when they are the same. */
function storedAlike(parts: readonly QuantisedMember[], out: QuantisedForm): boolean {
  const alike = (a: ScaleDtype, b: ScaleDtype) => a === b || (SCALE_BYTES[a] === 1 && SCALE_BYTES[b] === 1);
  const sum = parts.reduce((total, member) => total + member.weight, 0);
  return (
    Math.abs(sum - 1) <= 1e-9 &&
    parts.every(({ encoding, scales }) => encoding === out.encoding && scales !== null && alike(scales.dtype, out.scaleDtype))
  );
}

function sameBlock(member: QuantisedMember, first: QuantisedMember, elements: readonly number[], block: number): boolean {
  const size = SCALE_BYTES[member.scales!.dtype];
  for (let byte = block * size; byte < (block + 1) * size; byte++) {
    if (member.scales!.bytes[byte] !== first.scales!.bytes[byte]) return false;
  }
  const half = member.encoding === 'MXFP4' ? 1 : 0;
  return elements.every((i) => member.codes[i >> half] === first.codes[i >> half]);
}

/** The E8M0 byte for a block of zeros. */
function zeroScale(newest: QuantisedMember | undefined, block: number): number {
  if (newest === undefined || newest.scales === null || SCALE_BYTES[newest.scales.dtype] !== 1) return 127;
  const byte = newest.scales.bytes[block]!;
  return byte === 255 ? 127 : byte;
}

/** Exponents of the powers of two that a scale dtype holds. */
const EXPONENTS = { F32: [-149, 127], BF16: [-133, 127], F16: [-24, 15], F8_E8M0: [-127, 127], U8: [-127, 127] } as const;
/** Largest finite number of the scale dtypes that hold more than powers of two. */
const LARGEST_SCALE = { F32: 2 ** 127 * (2 - 2 ** -23), BF16: 2 ** 127 * (2 - 2 ** -7), F16: 65504 } as const;

/** Stores the scale for amax; one that would be 0 or infinity as the nearest finite positive one. */
function storeScale(
  { scaleDtype, powerOfTwo }: QuantisedForm,
  amax: number,
  largest: number,
  zero: number,
  view: DataView,
  index: number,
): void {
  const [least, most] = EXPONENTS[scaleDtype];
  const wanted = amax === 0 ? 1 : amax / largest;
  const exponent = wanted === 0 ? least : Math.min(Math.max(ceilLog2(wanted), least), most);
  if (scaleDtype === 'F8_E8M0' || scaleDtype === 'U8') {
    view.setUint8(index, amax === 0 ? zero : exponent + 127);
  } else {
    const exact = powerOfTwo ? 2 ** exponent : wanted;
    const written = encodeFloat(scaleDtype, exact, view, index);
    if (written === 0) encodeFloat(scaleDtype, 2 ** least, view, index);
    else if (written === Number.POSITIVE_INFINITY) encodeFloat(scaleDtype, LARGEST_SCALE[scaleDtype], view, index);
  }
}

function ceilLog2(value: number): number {
  let exponent = Math.round(Math.log2(value));
  while (2 ** exponent < value) exponent++;
  while (2 ** (exponent - 1) >= value) exponent--;
  return exponent;
}

/** Stores a value's code. @returns whether a finite value was out of range. */
function storeCode(encoding: SmallEncoding, value: number, scale: number, codes: Uint8Array, index: number): boolean {
  const quotient = Math.fround(value / scale);
  if (encoding !== 'MXFP4') {
    const { code, overflow } = SMALL_FLOATS[encoding].encode(quotient);
    codes[index] = code;
    return (overflow || !Number.isFinite(quotient)) && Number.isFinite(value);
  }
  // FP4 has neither NaN nor infinity: what is not finite is a zero under a scale that is NaN.
  const finite = Number.isFinite(value) && !Number.isNaN(quotient);
  const { code, overflow } = SMALL_FLOATS.E2M1.encode(finite ? Math.min(Math.max(quotient, -100), 100) : 0);
  codes[index >> 1]! |= code << (4 * (index & 1));
  return overflow;
}

function copyCode(encoding: SmallEncoding, from: Uint8Array, to: Uint8Array, index: number): void {
  const byte = encoding === 'MXFP4' ? index >> 1 : index;
  to[byte] = from[byte]!;
}

function blockOf({ cols, blockRows, blockCols }: MatrixShape, element: number): number {
  const row = Math.floor(element / cols);
  return Math.floor(row / blockRows) * Math.ceil(cols / blockCols) + Math.floor((element % cols) / blockCols);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
