import { dtypeByCode, type FloatDtypeName } from '../../base/dtype.ts';
import { decodeFloat } from '../../base/numbers/float.ts';
import { MXFP4, MXFP4_GROUP } from './types.ts';

/** A scale that no quantiser writes. */
export interface BadScale {
  readonly index: number;
  readonly value: number;
}

/** What the stored scales of a weight say of it. */
export interface ScaleFacts {
  readonly powersOfTwo: boolean;
  /** The first that is zero, negative or not finite. */
  readonly bad: BadScale | null;
}

/** Whether the values of scales decide anything: those of E8M0 are powers of two, and only 255 is none. */
export function mustBeRead(scaleDtype: number): boolean {
  return dtypeByCode(scaleDtype).bits > 8;
}

/** @param bytes scales of a float dtype */
export function scaleFacts(bytes: Uint8Array, dtype: number): ScaleFacts {
  const { name, bits } = dtypeByCode(dtype);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let powersOfTwo = true;
  for (let index = 0; index < (bytes.length * 8) / bits; index++) {
    const value = decodeFloat(name as FloatDtypeName, view, index);
    if (!(value > 0 && value < Number.POSITIVE_INFINITY)) return { powersOfTwo: false, bad: { index, value } };
    if (powersOfTwo && !isPowerOfTwo(value)) powersOfTwo = false;
  }
  return { powersOfTwo, bad: null };
}

const scratch = new DataView(new ArrayBuffer(8));

function isPowerOfTwo(value: number): boolean {
  scratch.setFloat64(0, value);
  // Scales have far fewer bits of exponent than a double, in which even their subnormals are normal numbers.
  return scratch.getUint32(4) === 0 && (scratch.getUint32(0) & 0xfffff) === 0;
}

/**
 * Where the first code of a strip stands that is not finite, as a row and a column. With MXFP4 every code is
 * finite, and only a scale (255) is not.
 * @param codes the strip's codes, `cols` a row
 * @param scales the strip's scales, for MXFP4
 */
export function firstNonfinite(
  encoding: number,
  codes: Uint8Array,
  cols: number,
  scales: Uint8Array | null,
): { row: number; col: number } | null {
  if (encoding === MXFP4) {
    const group = scales?.indexOf(255) ?? -1;
    const across = cols / MXFP4_GROUP;
    return group < 0 ? null : { row: Math.floor(group / across), col: (group % across) * MXFP4_GROUP };
  }
  const { name, bits } = dtypeByCode(encoding);
  const view = new DataView(codes.buffer, codes.byteOffset, codes.length);
  for (let i = 0; i < (codes.length * 8) / bits; i++) {
    if (!Number.isFinite(decodeFloat(name as FloatDtypeName, view, i))) return { row: Math.floor(i / cols), col: i % cols };
  }
  return null;
}
