import type { FloatDtypeName } from '../dtype.ts';
import { decodeFloat, FLOAT_BYTES } from './float.ts';

/** The numbers of a range of elements, exactly; {@link decodeFloat} for many of them, and quick for BF16 and F32. */
export function decodeFloats(dtype: FloatDtypeName, bytes: Uint8Array): Float64Array {
  const count = bytes.length / FLOAT_BYTES[dtype];
  const out = new Float64Array(count);
  // A buffer of its own begins where every element may begin.
  const { buffer } = new Uint8Array(bytes);
  if (dtype === 'F32') out.set(new Float32Array(buffer));
  else if (dtype === 'F64') out.set(new Float64Array(buffer));
  else if (dtype === 'BF16') {
    // A BF16 is the upper half of a float32.
    const halves = new Uint16Array(buffer);
    const words = new Uint32Array(count);
    for (let i = 0; i < count; i++) words[i] = halves[i]! << 16;
    out.set(new Float32Array(words.buffer));
  } else {
    const view = new DataView(buffer);
    for (let i = 0; i < count; i++) out[i] = decodeFloat(dtype, view, i);
  }
  return out;
}
