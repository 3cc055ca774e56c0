import { type AveragedDtypeName, dtypeByName } from '../dtype.ts';
import { decodeFloat, encodeFloat } from './float.ts';

/**
 * Where numbers are not what others are when rounded: the first element of `rounded` that is not the bytes of
 * the same element of `numbers`, rounded to nearest even; -1 where there is none. Any NaN is any other.
 * @param numbers of dtype `from`; @param rounded as many, of dtype `to`
 */
export function firstNotRounded(numbers: Buffer, from: AveragedDtypeName, rounded: Buffer, to: AveragedDtypeName): number {
  const count = (numbers.length * 8) / dtypeByName(from)!.bits;
  if (from === 'F32' && to === 'BF16') return firstNotBf16(wordsOf(numbers, Uint32Array), wordsOf(rounded, Uint16Array));
  const [wide, narrow] = [viewOf(numbers), viewOf(rounded)];
  const size = dtypeByName(to)!.bits / 8;
  const own = new DataView(new ArrayBuffer(size));
  for (let i = 0; i < count; i++) {
    const written = encodeFloat(to, decodeFloat(from, wide, i), own, 0);
    if (Number.isNaN(written) && Number.isNaN(decodeFloat(to, narrow, i))) continue;
    for (let byte = 0; byte < size; byte++) if (own.getUint8(byte) !== narrow.getUint8(i * size + byte)) return i;
  }
  return -1;
}

/** What most of it is, in bits: weights of billions of elements are compared in whole. */
function firstNotBf16(numbers: Uint32Array, rounded: Uint16Array): number {
  for (let i = 0; i < numbers.length; i++) {
    const bits = numbers[i]!;
    if ((bits & 0x7fffffff) > 0x7f800000) {
      if ((rounded[i]! & 0x7fff) <= 0x7f80) return i;
    } else if ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16 !== rounded[i]) return i;
  }
  return -1;
}

/** Little-endian, as this program's machines are; copied where the bytes are not aligned. */
function wordsOf<T>(
  bytes: Buffer,
  Words: { new (buffer: ArrayBufferLike, offset: number, length: number): T; readonly BYTES_PER_ELEMENT: number },
): T {
  const aligned = bytes.byteOffset % Words.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes);
  return new Words(aligned.buffer, aligned.byteOffset, bytes.length / Words.BYTES_PER_ELEMENT);
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
