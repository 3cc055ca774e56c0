import type { FloatDtypeName } from '../dtype.ts';
import { decodeFloat, FLOAT_BYTES } from './float.ts';

/**
 * The numbers of a range of elements, exactly; {@link decodeFloat} for many of them, and quick for BF16 and
 * F32.
 * @param out as long as the elements are many; a new array when absent
 */
export function decodeFloats(
  dtype: FloatDtypeName,
  bytes: Uint8Array,
  out: Float64Array = new Float64Array(bytes.length / FLOAT_BYTES[dtype]),
): Float64Array {
  const count = out.length;
  // Elements may begin anywhere; the typed views of a buffer only where their size divides the offset.
  const aligned = bytes.byteOffset % FLOAT_BYTES[dtype] === 0 ? bytes : new Uint8Array(bytes);
  const { buffer, byteOffset } = aligned;
  if (dtype === 'F32') out.set(new Float32Array(buffer, byteOffset, count));
  else if (dtype === 'F64') out.set(new Float64Array(buffer, byteOffset, count));
  else if (dtype === 'BF16') {
    // A BF16 is the upper half of a float32.
    const halves = new Uint16Array(buffer, byteOffset, count);
    const whole = new Uint32Array(1);
    const value = new Float32Array(whole.buffer);
    for (let i = 0; i < count; i++) {
      whole[0] = halves[i]! << 16;
      out[i] = value[0]!;
    }
  } else {
    const view = new DataView(buffer, byteOffset, bytes.length);
    for (let i = 0; i < count; i++) out[i] = decodeFloat(dtype, view, i);
  }
  return out;
}
