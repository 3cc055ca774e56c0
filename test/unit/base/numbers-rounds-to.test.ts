import { expect, it } from 'vitest';
import type { AveragedDtypeName } from '../../../src/base/dtype.ts';
import { encodeFloat, FLOAT_BYTES } from '../../../src/base/numbers/float.ts';
import { firstNotRounded } from '../../../src/base/numbers/rounds-to.ts';

/** Every exponent with fractions at, just below and just above what bfloat16 and float16 keep, and what is no number. */
const BITS = Uint32Array.from(
  Array.from({ length: 512 }, (_, high) =>
    [0, 1, 0x7fff, 0x8000, 0x8001, 0x10000, 0x17fff, 0x18000, 0x18001, 0x7fffff].map((low) => high * 2 ** 23 + low),
  ).flat(),
);
const numbers = Buffer.from(BITS.buffer);

function rounded(dtype: AveragedDtypeName): Buffer {
  const out = Buffer.alloc(BITS.length * FLOAT_BYTES[dtype]);
  const view = new DataView(out.buffer, out.byteOffset, out.length);
  for (const [i, value] of new Float32Array(BITS.buffer).entries()) encodeFloat(dtype, value, view, i);
  return out;
}

it.each(['BF16', 'F16', 'F32'] as const)('numbers are their own rounding to %s, and any other bit is found', (dtype) => {
  const own = rounded(dtype);
  expect(firstNotRounded(numbers, 'F32', own, dtype)).toBe(-1);
  // At an address that is no multiple of anything.
  const shifted = Buffer.concat([Buffer.alloc(1), own]).subarray(1);
  expect(firstNotRounded(Buffer.concat([Buffer.alloc(1), numbers]).subarray(1), 'F32', shifted, dtype)).toBe(-1);
  const size = FLOAT_BYTES[dtype];
  const finite = [...new Float32Array(BITS.buffer)].findLastIndex((value) => Number.isFinite(value));
  for (const i of [0, 7, finite]) {
    const other = Buffer.from(own);
    other[i * size]! ^= 1;
    expect(firstNotRounded(numbers, 'F32', other, dtype)).toBe(i);
  }
});

it('takes any NaN for any other, and none for a number', () => {
  const nan = Buffer.from(Uint32Array.of(0x7f800001, 0xffc00000).buffer);
  expect(firstNotRounded(nan, 'F32', Buffer.from(Uint16Array.of(0x7fc0, 0x7f81).buffer), 'BF16')).toBe(-1);
  expect(firstNotRounded(nan, 'F32', Buffer.from(Uint16Array.of(0x7fc0, 0x7f80).buffer), 'BF16')).toBe(1);
  expect(firstNotRounded(Buffer.from(Uint32Array.of(0x7f800000).buffer), 'F32', Buffer.from(Uint16Array.of(0x7fc0).buffer), 'BF16')).toBe(
    0,
  );
});
