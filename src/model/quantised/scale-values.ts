import { dtypeByCode, type FloatDtypeName } from '../../base/dtype.ts';
import { decodeFloat } from '../../base/numbers/float.ts';

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
